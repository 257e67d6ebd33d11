#!/usr/bin/env bash
# Plants wrong lines, one at a time, in a copy of the sources, and checks that the tests notice each of them.
# Takes perhaps 40 minutes; ONLY="3 7" plants just those. Not part of the test command.
set -uo pipefail
cd "$(dirname "$0")/.."
unset DUEL_ONLY DUEL_ORDER
export GOMP_SPINCOUNT=2000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$work"
cd "$work"

# preset @ test cases @ file @ what stands there @ what is planted      (\n: the end of a line)
# The second part is a GPU's path, executed on the CPU. `race` stands where every result may still be right: nothing but a
# check of each access finds these.
mutants=$(cat <<'LIST'
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@return -sum_to(c.dy, sb);@return sum_to(c.dy, sb);
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@return sum_to(mul(c.dy, b), a.shape());@return sum_to(mul(c.dy, a), a.shape());
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@return -sum_to(div(mul(c.dy, div(a, b)), b), b.shape());@return -sum_to(div(mul(c.dy, a), b), b.shape());
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@Grads{mul(affine(c.dy, 2, 0), x)}@Grads{mul(affine(c.dy, 2, 0), detach(x))}
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@Grads{-mul(c.dy, sin(x))}@Grads{mul(c.dy, sin(x))}
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@mul(in[0], 1.0 - square(in[1]))@mul(in[0], 1.0 - in[1])
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@mul(in[0], mul(in[1], 1.0 - in[1]))@mul(in[0], mul(in[1], 1.0 + in[1]))
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@Grads{mul(c.dy, sigmoid(x))}@Grads{mul(c.dy, detach(sigmoid(x)))}
cpu@ops*,golden*,tape*@engine/ops_elementwise.cpp@mul(c.dy, sub(b, a))@mul(c.dy, sub(a, b))
cpu@ops*,golden*,tape*@engine/ops_reduce.cpp@Grads{mul(c.y, c.dy - sum(mul(c.dy, c.y), {-1}, keep_axes))}@Grads{mul(c.y, c.dy)}
cpu@ops*,golden*,tape*@engine/ops_reduce.cpp@mul(c.dy, inverse_or_zero(c.y))@mul(c.dy, detach(inverse_or_zero(c.y)))
cpu@ops*,golden*,tape*@engine/ops_shape.cpp@slice(c.dy, a, at[i], at[i + 1])@slice(c.dy, a, at[i + 1] - (at[i + 1] - at[i]), at[i + 1]) * 0.5
cpu@ops*,golden*,tape*@engine/ops_shape.cpp@return Grads{scatter(c.dy, index, rows)};@return Grads{detach(scatter(c.dy, index, rows))};
cpu@ops*,golden*,tape*@engine/ops_product.cpp@ta ? matmul(b, c.dy, tb, true) : matmul(c.dy, b, false, !tb)@ta ? matmul(b, c.dy, tb, true) : matmul(detach(c.dy), b, false, !tb)
cpu@ops*,golden*,tape*@engine/ops_product.cpp@: s == c.first() ? first : second;@: s == c.first() ? second : first;
cpu@ops*,golden*,tape*@engine/tape.cpp@z.push_back(outer ? alias(x) : detach(x));@z.push_back(x);
cpu@ops*,golden*,tape*@engine/tape.cpp@sum = sum ? add(sum, d[i]) : d[i];@sum = d[i];
cpu@ops*,golden*,tape*@kernels/norm_cpu.cpp@dv * gamma[i] - mean_dv[i] - (x[i] - mean[i]) * rstd[i] * mean_dvx[i]@dv * gamma[i] - mean_dv[i] - (x[i] - mean[i]) * mean_dvx[i]
cpu@ops*,golden*,tape*@kernels/norm_cpu.cpp@products[i] += dv * ((x[i] - mean[i]) * rstd[i]);@products[i] += dv * ((x[i] + mean[i]) * rstd[i]);
cpu@ops*,golden*,tape*@kernels/resize_cpu.cpp@2 * (n - 1) - i : i; }@2 * n - 1 - i : i; }
cpu@ops*,golden*,tape*@engine/ops_reduce.cpp@(2 * scale) * centred()@(2 * scale) * detach(centred())
cpu@regularisers*@engine/weight_form.cpp@detach(unit(matmul(u_, detach(matrix))))@unit(matmul(u_, matrix))
cpu@regularisers*@engine/weight_form.cpp@ema_update({u_, v_}, {u, v}, 0);@assign(u_, u), assign(v_, v);
cpu@regularisers*@models/critic_input.cpp@{0, 2, 3, 1, 4}@{0, 2, 3, 4, 1}
cpu@regularisers*@models/critic_input.cpp@relu(1.0 - iteration_number()@(1.0 - iteration_number()
cpu@regularisers*@losses/penalty.cpp@0.5 * sqrt(variance@sqrt(variance
cpu@engines*@kernels/gpu/tuner.cpp@record.right = e <= tolerance;@record.right = e < 1e9;
cpu@engines*@kernels/gpu/tuner.cpp@(i == 0 ? 1 : margin)@(i == 0 ? margin : 1)
cpu@engines*@kernels/gpu/tuner.cpp@if (deterministic_) return wanted[0];@if (deterministic_) return wanted.back();
cpu@engines*@kernels/gpu/tuner.cpp@if (engines[i].deterministic || !deterministic_) wanted@wanted
cpu@engines*@kernels/gpu/tuner.cpp@all["environments"].find(environment_);@all["environments"].begin();
cpu@verify*@tools/verification.cpp@        overwrite(y, r.values);@
cpu@verify*@engine/optim.cpp@if (const GradientHook& hook = gradient_hook()) hook(names_, gradients);@
cpu@verify*@tools/verification_tables.cpp@look("state", v.state, whole_tolerance);@
cpu@evaluation*@tools/evaluation/metrics.cpp@- 2 * cross;@- cross;
cpu@evaluation*@tools/evaluation/metrics.cpp@if (same && i == j) continue;@if (same && i == j && n == 0) continue;
cpu@evaluation*@tools/evaluation/metrics.cpp@inside += row[j] < far;@inside += row[j] <= far;
cpu@evaluation*@tools/evaluation/classes.cpp@if (reduced < slack[j]) slack[j] = reduced, before[j] = column;@if (reduced < slack[j]) slack[j] = reduced, before[j] = 0;
cpu@evaluation*@tools/evaluation/linear_classifier.cpp@system.diagonal().array() += lambda;@system.diagonal().array() += 2 * lambda;
cpu@net file*@engine/chain_net.cpp@channels_first ? permute(x, {0, 3, 1, 2}) : x@channels_first ? permute(x, {0, 3, 2, 1}) : x
cpu@net file*@engine/net_file.cpp@static_cast<float>(l.eps - 1e-5)@static_cast<float>(0 * l.eps)
cpu@profile*@tools/profile.cpp@start += duration;@start = duration;
cpu@profile*@kernels/optimizer.h@n += row[i] ? size[i]@n += row[0] ? 1
cpu@cuda_host: reduce at*@kernels/reduce.cu@of_thread[e][t] = s[e];\n  __syncthreads();@of_thread[e][t] = s[e];
cpu@cuda_host: reduce at*@kernels/reduce.cu@    }\n    __syncthreads();\n  }\n  if (ty > 0@    }\n  }\n  if (ty > 0
cpu@cuda_host: reduce at*@kernels/reduce.cu@l.each = (l.n + pieces - 1) / pieces;@l.each = l.n / pieces;
cpu@cuda_host: reduce at*@kernels/reduce.cu@for (int c = tx; c < columns; c += row_threads)@for (int c = tx; c <= columns; c += row_threads)
cpu@cuda_host: reduce at*@kernels/reduce.cu@int distance = lanes / 2; distance > 0@int distance = lanes / 2; distance > 1
race@cuda_host: every row in bf16*@engine/ops_reduce.cpp@scratch = empty({outer, pieces, inner}, DType::f32)@scratch = empty({outer, pieces - 1, inner}, DType::f32)
cpu@cuda_host: softmax*@kernels/softmax.cu@of_warp[threadIdx.x / warp] = v;\n    __syncthreads();@of_warp[threadIdx.x / warp] = v;
cpu@cuda_host: softmax*@kernels/softmax.cu@for (unsigned w = 1; w < blockDim.x / warp; ++w)@for (unsigned w = 1; w + 1 < blockDim.x / warp; ++w)
race@cuda_host: softmax*@kernels/softmax.cu@if (row >= rows) return;@if (row > rows) return;
cpu@cuda_host: softmax*@kernels/softmax.cu@int lanes = warp / 2; lanes > 0@int lanes = warp / 4; lanes > 0
cpu@cuda_host: norm*@kernels/norm.cu@found.count[warp] = of_warp;\n  __syncthreads();@found.count[warp] = of_warp;
cpu@cuda_host: norm*@kernels/norm.cu@  __syncthreads();\n  const int c = part.tile + t;\n  if (t >= static_cast<int>(blockDim.x) * V || c >= n.c) return;\n  float2@  const int c = part.tile + t;\n  if (t >= static_cast<int>(blockDim.x) * V || c >= n.c) return;\n  float2
cpu@cuda_host: norm*@kernels/norm.cu@int o = static_cast<int>(blockDim.x); o < 32@int o = 2 * static_cast<int>(blockDim.x); o < 32
race@cuda_host: norm*@kernels/norm.cu@if (t >= static_cast<int>(blockDim.x) * V || c >= n.c) return;\n  float2@if (t >= static_cast<int>(blockDim.x) * V) return;\n  float2
cpu@cuda_host: norm*@kernels/norm.cu@return static_cast<float>(left < n.piece ? left : n.piece);@return static_cast<float>(left < n.piece ? n.piece : n.piece);
cpu@cuda_host: norm*@kernels/norm.cu@if (dbeta) dbeta[item] = static_cast<T>(first);@if (dbeta) dbeta[item] = static_cast<T>(second);
cpu@cuda_host: norm*@kernels/norm.cu@if (i >= n || (finite && *finite == 0)) return;@if (i >= n || (finite && *finite == 2)) return;
cpu@cuda_host: norm*@kernels/norm.cu@packed.at[i] = static_cast<T>(v[i]);@if constexpr (sizeof(T) == 2) packed.at[i].bits = static_cast<std::uint16_t>(__float_as_uint(v[i]) >> 16); else packed.at[i] = v[i];
race@cuda_host: norm*@kernels/norm.h@norm_pieces(n) + n.g);@norm_pieces(n));
cpu@cuda_host: matrix products*@kernels/product.cu@    __syncthreads();  // this step@    // this step
cpu@cuda_host: matrix products*@kernels/product.cu@copy_async_wait<stages - 2>();@copy_async_wait<stages - 1>();
cpu@cuda_host:*convol*@kernels/product.cu@s < splits; s += adders@s < splits - 1; s += adders
race@cuda_host:*convol*@kernels/product.cu@static_cast<std::size_t>(plan.cut.splits * p.out_size)@static_cast<std::size_t>((plan.cut.splits - 1) * p.out_size)
race@cuda_host: matrix products at*@kernels/product.cu@} else if (at >= 0 && n < columns) {@} else if (at >= 0) {
cpu@cuda_host: matrix products*@kernels/gpu/cores.cuh@b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1], T{}@b[j / 2][j % 2 * 2 + 1], b[j / 2][j % 2 * 2], T{}
cpu@cuda_host: matrix products*@kernels/gpu/cores.cuh@8 * (k_first ? matrix / 2 : matrix % 2);@8 * (k_first ? matrix % 2 : matrix / 2);
cpu@cuda_host: tf32*@kernels/gpu/cores.cuh@for (unsigned& word : f) word = to_tf32(word);@for (unsigned& word : f) word = word;
cpu@cuda_host:*convol*@kernels/gpu/product.h@const int tap = (phase + a.pad) % a.stride;@const int tap = (phase + a.pad + 1) % a.stride;
cpu@cuda_host:*convol*@kernels/gpu/operands.cuh@if (y >= g.h.grid || x >= g.w.grid) return -1;@
cpu@cuda_host:*convol*@kernels/gpu/operands.cuh@< static_cast<unsigned>(g.h.image) &&@<= static_cast<unsigned>(g.h.image) &&
cpu@cuda_host: convolutions with few*@kernels/gpu/conv_few.cuh@  __syncthreads();\n  const Image<T> of@  const Image<T> of
cpu@cuda_host: convolutions with few*@kernels/gpu/conv_few.cuh@first += few_slice) {\n    __syncthreads();@first += few_slice) {
cpu@cuda_host: convolutions with few*@kernels/gpu/conv_few.cuh@int distance = 4; distance > 0@int distance = 2; distance > 0
cpu@cuda_host: matrix products at*@kernels/matmul.cu@part[warp][j] = sum[j];\n    __syncthreads();@part[warp][j] = sum[j];
race@cuda_host: matrix products at*@kernels/matmul.cu@if (lane > 0 || batch >= d.batch) return;@if (lane > 0) return;
cpu@cuda_host: rows*@kernels/index.cu@: Word{0};\n    __syncthreads();@: Word{0};
cpu@cuda_host: rows*@kernels/index.cu@row >= 0 && row < rows ? x@row >= 0 && row <= rows ? x
cpu@cuda_host: rows*@kernels/index.cu@first < mine ? first : mine@first
cpu@cuda_host: nothing is written*@kernels/optimizer.cu@if (finite && *finite == 0) return;@if (finite && *finite == 2) return;
cpu@cuda_host: updates*@kernels/optimizer.cu@numbers = rule.numbers();\n  __syncthreads();@numbers = rule.numbers();
race@cuda_host: updates of packs*@kernels/optimizer.cu@if (left >= 4)\n      update_run@if (left > 0)\n      update_run
cpu@cuda_host: the squares*@kernels/optimizer.cu@of_warp[threadIdx.x / 32] = v;\n  __syncthreads();@of_warp[threadIdx.x / 32] = v;
cpu@cuda_host: the squares*@kernels/optimizer.cu@blocks, parts.as<const double>()@blocks - 1, parts.as<const double>()
race@cuda_host: map*@kernels/elementwise.cu@if (l.rows_of_packs && first + width <= l.size) {@if (l.rows_of_packs) {
cpu@cuda_host: map*@kernels/elementwise.cu@result.at[e] = static_cast<T>(apply<F>(v[e], p, q));@if constexpr (sizeof(T) == 2) result.at[e].bits = static_cast<std::uint16_t>(__float_as_uint(apply<F>(v[e], p, q)) >> 16); else result.at[e] = apply<F>(v[e], p, q);
race@cuda_host: every row in bf16*@kernels/copy.cu@if (i < n) y[i] = value;@if (i <= n) y[i] = value;
cpu@cuda_host: every row in bf16*@kernels/copy.cu@for (int k = extent.rank - 1; k >= 0; --k)@for (int k = extent.rank - 1; k > 0; --k)
cpu@cuda_host: reflection*@kernels/resize.cu@i <= n - 2 && i >= n - 1 - p@i <= n - 1 && i >= n - 1 - p
cpu@cuda_host: random*@kernels/random.cu@four.at[k] = static_cast<T>(v[k]);@four.at[k] = static_cast<T>(v[k ^ 1]);
cpu@cuda_host: norm*@engine/tensor.cpp@driver(x.device()).copy_out(host_values, x.storage()->data, bytes);@__builtin_memcpy(host_values, x.storage()->data, bytes);
cpu@cuda_host: norm*@kernels/device.cpp@on_host::copy_out(host, from, bytes);\n    on_host::synchronize();@on_host::copy_out(host, from, bytes);
cpu@cuda_host: every model*@engine/step.cpp@on_driver([&] { driver(f.plan->staging.device()).wait(f.done); });@(void)f.done;
cpu@cuda_host: iterations in flight*@engine/step.cpp@submitted_ % most_in_flight;@submitted_ % 1;
cpu@step: iterations in flight*@engine/data/prefetcher.cpp@slot.flip[at] = flip && is_flipped(ahead);@slot.flip[at] = 0;
cpu@cuda_host: the op that*@engine/bad_value.cpp@driver(device).copy_out(values.data(), v.data, values.size());@driver(device).synchronize(), __builtin_memcpy(values.data(), v.data, values.size());
cpu@cuda_host: every row in bf16*@engine/ops_reduce.cpp@kernels::reduce, x.device(), f@kernels::reduce, Device::cpu, f
race@cuda_host: every row in bf16*@engine/ops_norm.cpp@norm_grad_scratch(in[0].device(), n.shape)@norm_grad_scratch(Device::cpu, n.shape)
cpu@on_host*@kernels/on_host/stream.cpp@staged = std::vector<std::byte>(p, p + bytes)@staged = std::span<const std::byte>(p, bytes)
race@cuda_host: the convolution triangle*@kernels/product.cu@    __syncthreads();  // this step's tiles are complete, and nobody reads the last step's any more\n    fetch(step + stages - 1);@    fetch(step + stages - 1);\n    __syncthreads();
race@cuda_host: convolutions with few*@kernels/gpu/conv_few.cuh@if (c < left) v[c]@if (c <= left) v[c]
race@cuda_host: random*@kernels/random.cu@if (4 * i + k < n)@if (4 * i + k <= n)
cpu@cuda_host: the places*@kernels/index.cu@if (!(v > largest)) continue;@if (!(v >= largest)) continue;
cpu@cuda_host: the gradient is*@kernels/optimizer.cu@if (!(squares - squares == 0)) *finite = 0;@if (squares < 0) *finite = 0;
cpu@cuda_host: bf16*@engine/optim.cpp@  refresh_copies(average);@
cpu@cuda_host: bf16*@engine/optim.cpp@  refresh_copies(parameters);@
cpu@cuda_host: bf16*@engine/optim.cpp@  refresh_copies(parameters_);@
cpu@cuda_host: bf16*@engine/tensor.cpp@  refresh_bf16_copy(x);@
cpu@cuda_host: bf16*@engine/bf16_copy.cpp@Grads{convert(c.dy, t)}@Grads{detach(convert(c.dy, t))}
cpu@cuda_host: bf16*@kernels/optimizer.cu@copy.at[i] = bf16(p.at[i]);@copy.at[i].bits = static_cast<std::uint16_t>(__float_as_uint(p.at[i]) >> 16);
cpu@cuda_host: norm*@kernels/norm.cu@__shfl_xor_sync(0xffffffffu, v, o)@__shfl_xor_sync(0xffffu, v, o)
cpu@cuda_host: convolutions with bias*@kernels/product.cu@exists |= writer.row(core.row(r)) >= 0 ? 1u << r : 0u;@exists |= writer.row(core.row(r)) >= -1 ? 1u << r : 0u;
cpu@cuda_host: convolutions with bias*@kernels/product.cu@static_cast<float>(T(v > 0 ? v : f.slope * v))@(v > 0 ? v : f.slope * v)
race@cuda_host: convolutions with bias*@kernels/product.cu@  __syncthreads();  // nobody reads the tiles any more\n@
cpu@cuda_host: convolutions with bias*@kernels/norm.cu@return counts[i % n.pieces];@return counts[0];
cpu@cuda_host: convolutions with bias*@kernels/product.cu@static_cast<int>(i % channels)@static_cast<int>(i % channels) / 2
cpu@ops*@engine/ops_product.cpp@tanh ? tanh_grad(call.dy, call.y)@tanh ? tanh_grad(call.dy, call.dy)
cpu@iterations*@models/catgan.cpp@loss_d = sure - even - unsure;@loss_d = sure - even + unsure;
cpu@iterations*@models/catgan.cpp@conditional_entropy(a) - marginal_entropy(a);@conditional_entropy(a) + marginal_entropy(a);
cpu@iterations*@models/sgan.cpp@smoothed_discriminator(d_real, d_fake, smoothing_)@smoothed_discriminator(d_fake, d_real, smoothing_)
cpu@iterations*@models/acgan.cpp@cross_entropy(fake.classes, class_of(z))@cross_entropy(fake.classes, c)
cpu@iterations*@models/cgan.cpp@loss_.generator(d_(with_class_maps(show(g_(zy)), y)))@loss_.generator(d_(with_class_maps(show(g_(zy)), one_hot(batches[0].labels, data_.classes))))
cpu@iterations*@models/infogan.cpp@loss_.generator(score_(f)) - l_i.weighted;@loss_.generator(score_(f)) + l_i.weighted;
cpu@iterations*@losses/adversarial.cpp@mean(relu(1.0 - d_real))@mean(relu(1.0 + d_real))
cpu@r3gan: an iteration*@models/r3gan.cpp@relativistic_generator(d_(show(batch.images)), d_(show(g_(noise(batch.size())))))@relativistic_generator(d_(show(g_(noise(batch.size())))), d_(show(batch.images)))
cpu@regularisers: spectral*@models/infogan.cpp@of_d.norm && !of_d.critic.spectral_norm@of_d.norm
cpu@r3gan: an iteration*@losses/adversarial.cpp@return mean(softplus(d_fake - d_real));@return mean(softplus(d_real - d_fake));
cpu@r3gan: both losses*@losses/penalty.cpp@Tensor slope = widen(grad(sum(d), {x}, keep_graph)[0]);@Tensor slope = detach(widen(grad(sum(d), {x}, keep_graph)[0]));
cpu@r3gan: an optimizer*@kernels/optimizer_cpu.cpp@  k.beta2 = read(state.beta2, k.beta2);\n@
cpu@cuda_host: updates*@kernels/optimizer.cu@beta2 ? *beta2 : k.beta2@k.beta2
cpu@progressive: replayed*@models/unconditional.cpp@if (level_begins()) restart_optimizers();@
cpu@progressive: a new level*@models/progressive.cpp@static_cast<double>(level * g.phase)@static_cast<double>((level - 1) * g.phase)
LIST
)

# Each preset is built once, and what shall notice the mutants passes without them.
prepare() {  # preset, test cases
  cmake --preset "$1" >/dev/null && cmake --build --preset "$1" --target duel_tests >"$work/log" 2>&1 || exit 1
  "build/$1/bin/duel_tests" -tc="$2" >"$work/log" 2>&1 && return
  echo "mutants: the tests of preset $1 fail without any"
  exit 1
}
wanted() { [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]; }

number=0
declare -A cases_of=()
while IFS=@ read -r preset cases _; do
  number=$((number + 1))
  if wanted $number; then cases_of[$preset]+="$cases,"; fi
done <<<"$mutants"
for preset in "${!cases_of[@]}"; do prepare "$preset" "${cases_of[$preset]}"; done

caught=0 missed=0 number=0
while IFS=@ read -r preset cases file from to; do
  number=$((number + 1))
  wanted $number || continue
  cp "$file" "$work/original"
  if ! python3 - "$file" "$from" "$to" <<'PY'
import sys
path, a, b = sys.argv[1], *(s.replace("\\n", "\n") for s in sys.argv[2:])
text = open(path).read()
if a not in text or a == b: sys.exit(1)
open(path, "w").write(text.replace(a, b, 1))
PY
  then verdict="no longer stands there: $from"
  elif ! cmake --build --preset "$preset" --target duel_tests >"$work/log" 2>&1; then verdict="does not build: $to"
  elif { timeout 900 "build/$preset/bin/duel_tests" -aa=1 -tc="$cases"; } >"$work/log" 2>&1; then
    verdict="NOT CAUGHT: $to"
  else verdict=caught
  fi
  cp "$work/original" "$file"
  if [ "$verdict" = caught ]; then caught=$((caught + 1)); else missed=$((missed + 1)); fi
  echo "mutant $number, preset $preset, $file: $verdict"
done <<<"$mutants"
echo "mutants: $caught caught, $missed not"
[ "$missed" -eq 0 ]
