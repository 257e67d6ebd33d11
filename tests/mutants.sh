#!/usr/bin/env bash
# Plants wrong lines, one at a time, in a copy of the sources, and checks that the tests notice each of them.
# Takes about 10 minutes; ONLY="3 7" plants just those. Not part of the test command.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$work"
cd "$work"
cmake --preset cpu >/dev/null && cmake --build --preset cpu --target duel_tests >/dev/null || exit 1

# file | what stands there | what is planted
mutants=$(cat <<'LIST'
engine/ops_elementwise.cpp|return -sum_to(c.dy, sb);|return sum_to(c.dy, sb);
engine/ops_elementwise.cpp|return sum_to(mul(c.dy, b), a.shape());|return sum_to(mul(c.dy, a), a.shape());
engine/ops_elementwise.cpp|return -sum_to(div(mul(c.dy, div(a, b)), b), b.shape());|return -sum_to(div(mul(c.dy, a), b), b.shape());
engine/ops_elementwise.cpp|Grads{mul(affine(c.dy, 2, 0), x)}|Grads{mul(affine(c.dy, 2, 0), detach(x))}
engine/ops_elementwise.cpp|Grads{-mul(c.dy, sin(x))}|Grads{mul(c.dy, sin(x))}
engine/ops_elementwise.cpp|mul(in[0], 1.0 - square(in[1]))|mul(in[0], 1.0 - in[1])
engine/ops_elementwise.cpp|mul(in[0], mul(in[1], 1.0 - in[1]))|mul(in[0], mul(in[1], 1.0 + in[1]))
engine/ops_elementwise.cpp|Grads{mul(c.dy, sigmoid(x))}|Grads{mul(c.dy, detach(sigmoid(x)))}
engine/ops_elementwise.cpp|mul(c.dy, sub(b, a))|mul(c.dy, sub(a, b))
engine/ops_reduce.cpp|Grads{mul(c.y, c.dy - sum(mul(c.dy, c.y), {-1}, keep_axes))}|Grads{mul(c.y, c.dy)}
engine/ops_reduce.cpp|mul(c.dy, inverse_or_zero(c.y))|mul(c.dy, detach(inverse_or_zero(c.y)))
engine/ops_shape.cpp|slice(c.dy, a, at[i], at[i + 1])|slice(c.dy, a, at[i + 1] - (at[i + 1] - at[i]), at[i + 1]) * 0.5
engine/ops_shape.cpp|return Grads{scatter(c.dy, index, rows)};|return Grads{detach(scatter(c.dy, index, rows))};
engine/ops_product.cpp|ta ? matmul(b, c.dy, tb, true) : matmul(c.dy, b, false, !tb)|ta ? matmul(b, c.dy, tb, true) : matmul(detach(c.dy), b, false, !tb)
engine/ops_product.cpp|: s == a ? first : second;|: s == a ? second : first;
engine/tape.cpp|z.push_back(outer ? alias(x) : detach(x));|z.push_back(x);
engine/tape.cpp|sum = sum ? add(sum, d[i]) : d[i];|sum = d[i];
kernels/norm_cpu.cpp|dv * gamma[i] - mean_dv[i] - (x[i] - mean[i]) * rstd[i] * mean_dvx[i]|dv * gamma[i] - mean_dv[i] - (x[i] - mean[i]) * mean_dvx[i]
kernels/norm_cpu.cpp|products[i] += dv * ((x[i] - mean[i]) * rstd[i]);|products[i] += dv * ((x[i] + mean[i]) * rstd[i]);
kernels/resize_cpu.cpp|2 * (n - 1) - i : i; }|2 * n - 1 - i : i; }
LIST
)

caught=0 missed=0 number=0
while IFS='|' read -r file from to; do
  [ "$from" = "$to" ] && continue
  number=$((number + 1))
  if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $number "* ]]; then continue; fi
  cp "$file" "$work/original"
  if ! python3 - "$file" "$from" "$to" <<'PY'
import sys
path, a, b = sys.argv[1:]
text = open(path).read()
if text.count(a) < 1: sys.exit(1)
open(path, "w").write(text.replace(a, b, 1))
PY
  then echo "mutant $number: '$from' no longer stands in $file"; missed=$((missed + 1)); continue; fi
  if ! cmake --build --preset cpu --target duel_tests >"$work/build.log" 2>&1; then
    echo "mutant $number: does not build"; missed=$((missed + 1))
  elif timeout 300 build/cpu/bin/duel_tests -tc='ops*,golden*,tape*' >/dev/null 2>&1; then
    echo "mutant $number: NOT CAUGHT in $file: $to"; missed=$((missed + 1))
  else
    caught=$((caught + 1))
    echo "mutant $number: caught in $file"
  fi
  cp "$work/original" "$file"
done <<<"$mutants"
echo "mutants: $caught caught, $missed not"
[ "$missed" -eq 0 ]
