// GPU path of kernels/optimizer.h. One launch updates all tensors of a pack: blocks walk through chunks of them.
#include <cmath>
#include <stdexcept>

#include "kernels/gpu/grid.cuh"
#include "kernels/optimizer.h"

namespace duel::kernels::DUEL_GPU {
namespace {

// Cuts the tensors of a pack into chunks, numbered through, of 4 elements for each thread of a block.
struct Chunks {
  static constexpr int elements = 4 * block_threads;
  TensorPack pack;
  unsigned first[TensorPack::capacity + 1] = {};  // chunk of each tensor; behind the last one the number of chunks

  explicit Chunks(const TensorPack& p) : pack(p) {
    if (p.dtype != DType::f32) throw std::runtime_error("optimizer: on a GPU parameters and gradients must be f32");
    for (int i = 0; i < p.count; ++i)
      first[i + 1] = first[i] + static_cast<unsigned>((p.size[i] + elements - 1) / elements);
  }
  __host__ __device__ unsigned count() const { return first[pack.count]; }
  __device__ int tensor_of(unsigned chunk) const {
    int low = 0, high = pack.count;  // first[low] <= chunk < first[high]
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (first[middle] <= chunk ? low : high) = middle;
    }
    return low;
  }
};

// f(tensor, first element of this thread, elements from there to the tensor's end) for every chunk of this block.
template <class F>
__device__ void for_chunks(const Chunks& chunks, F f) {
  for (unsigned chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const int tensor = chunks.tensor_of(chunk);
    const std::int64_t at =
        static_cast<std::int64_t>(chunk - chunks.first[tensor]) * Chunks::elements + 4 * threadIdx.x;
    f(tensor, at, chunks.pack.size[tensor] - at);
  }
}

template <int width>
struct alignas(4 * width) Run {
  float at[width];
};
template <int width>
__device__ Run<width>& run_of(const TensorPack& pack, int operand, int tensor, std::int64_t at) {
  return *reinterpret_cast<Run<width>*>(static_cast<float*>(pack.at[operand][tensor]) + at);
}

// All operands but number 1, the gradient or source, are written.
template <int width, class Numbers>
__device__ void update_run(const Numbers& numbers, const TensorPack& pack, int tensor, std::int64_t at) {
  constexpr int operands = Numbers::operands;
  Run<width> x[operands];
#pragma unroll
  for (int k = 0; k < operands; ++k) x[k] = run_of<width>(pack, k, tensor, at);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    float element[operands];
#pragma unroll
    for (int k = 0; k < operands; ++k) element[k] = x[k].at[i];
    numbers.update(element);
#pragma unroll
    for (int k = 0; k < operands; ++k) x[k].at[i] = element[k];
  }
#pragma unroll
  for (int k = 0; k < operands; ++k)
    if (k != 1) run_of<width>(pack, k, tensor, at) = x[k];
}

// Each rule has the numbers of one iteration, which its first thread makes of f64 for the whole block.
template <class Rule>
__global__ void __launch_bounds__(block_threads)
    update_all(Rule rule, const std::int32_t* finite, const __grid_constant__ Chunks chunks) {
  using Numbers = typename Rule::Numbers;
  SHARED(numbers, Numbers);
  if (finite && *finite == 0) return;
  if (threadIdx.x == 0) numbers = rule.numbers();
  __syncthreads();
  const Numbers mine = numbers;
  for_chunks(chunks, [&](int tensor, std::int64_t at, std::int64_t left) {
    if (left >= 4)
      update_run<4>(mine, chunks.pack, tensor, at);
    else
      for (int i = 0; i < left; ++i) update_run<1>(mine, chunks.pack, tensor, at + i);
  });
}

template <class Rule>
void update(const Rule& rule, const View& finite, const TensorPack& pack) {
  const Chunks chunks(pack);
  if (chunks.count() == 0) return;
  // As many blocks as a large GPU runs at a time: each makes its f64 numbers once.
  LAUNCH((update_all<Rule>), blocks_for(chunks.count(), 1, 1024), block_threads, 0, rule,
         finite.as<const std::int32_t>(), chunks);
}

// ---- the rules

__device__ float f32(double v) { return static_cast<float>(v); }

// Where lr and scale live.
struct Rate {
  const double *lr, *scale;
  explicit Rate(const UpdateState& s) : lr(s.lr.as<const double>()), scale(s.scale.as<const double>()) {}
};
struct Penalty {
  float scale, l1, l2;
  __device__ float gradient(float g, float p) const {
    return g * scale + l2 * p + l1 * static_cast<float>((p > 0) - (p < 0));
  }
};
__device__ Penalty penalty_of(const Rate& rate, double l1, double l2) {
  return {rate.scale ? f32(*rate.scale) : 1.0f, f32(l1), f32(l2)};
}

struct AdamRule {
  AdamConstants k;
  Rate rate;
  const double* beta2;
  const std::int64_t* t;
  struct Numbers {
    static constexpr int operands = 4;  // p, g, m, v
    Penalty penalty;
    float b1, a1, b2, a2, keep, step, root, eps;
    __device__ void update(float (&x)[operands]) const {
      const float d = penalty.gradient(x[1], x[0]);
      x[2] = b1 * x[2] + a1 * d;
      x[3] = b2 * x[3] + a2 * d * d;
      x[0] = keep * x[0] - step * x[2] / (std::sqrt(x[3]) * root + eps);
    }
  };
  __device__ Numbers numbers() const {
    const double lr = *rate.lr, now = static_cast<double>(*t);
    const double second = beta2 ? *beta2 : k.beta2;
    const double correct1 = 1 - std::pow(k.beta1, now), correct2 = 1 - std::pow(second, now);
    return {penalty_of(rate, k.l1, k.l2),
            f32(k.beta1),
            f32(1 - k.beta1),
            f32(second),
            f32(1 - second),
            f32(1 - lr * k.decay),
            f32(lr / correct1),
            f32(1 / std::sqrt(correct2)),
            f32(k.eps)};
  }
};

struct RmspropRule {
  RmspropConstants k;
  Rate rate;
  struct Numbers {
    static constexpr int operands = 3;  // p, g, v
    Penalty penalty;
    float b, a, lr, eps;
    __device__ void update(float (&x)[operands]) const {
      const float d = penalty.gradient(x[1], x[0]);
      x[2] = b * x[2] + a * d * d;
      x[0] -= lr * d / (std::sqrt(x[2]) + eps);
    }
  };
  __device__ Numbers numbers() const {
    return {penalty_of(rate, k.l1, k.l2), f32(k.alpha), f32(1 - k.alpha), f32(*rate.lr), f32(k.eps)};
  }
};

struct SgdRule {
  SgdConstants k;
  Rate rate;
  struct Numbers {
    static constexpr int operands = 3;  // p, g, m
    Penalty penalty;
    float mu, lr;
    bool nesterov;
    __device__ void update(float (&x)[operands]) const {
      const float d = penalty.gradient(x[1], x[0]);
      x[2] = mu * x[2] + d;
      x[0] -= lr * (nesterov ? d + mu * x[2] : x[2]);
    }
  };
  __device__ Numbers numbers() const {
    return {penalty_of(rate, k.l1, k.l2), f32(k.momentum), f32(*rate.lr), k.nesterov};
  }
};

struct EmaRule {
  double decay;
  const double* given;
  const std::int64_t* step;
  struct Numbers {
    static constexpr int operands = 2;  // average, source
    float keep, take;
    __device__ void update(float (&x)[operands]) const { x[0] = keep * x[0] + take * x[1]; }
  };
  __device__ Numbers numbers() const {
    const double t = static_cast<double>(*step), d = given ? *given : std::fmin(decay, (1 + t) / (10 + t));
    return {f32(d), f32(1 - d)};
  }
};

struct ClipRule {
  double low, high;
  struct Numbers {
    static constexpr int operands = 1;
    float low, high;
    __device__ void update(float (&x)[operands]) const { x[0] = x[0] < low ? low : x[0] > high ? high : x[0]; }
  };
  __device__ Numbers numbers() const { return {f32(low), f32(high)}; }
};

// ---- bf16 copies

template <int width>
struct alignas(2 * width) Rounded {
  bf16 at[width];
};
template <int width>
__device__ void round_run(const TensorPack& pack, int tensor, std::int64_t at) {
  const Run<width> p = run_of<width>(pack, 0, tensor, at);
  Rounded<width> copy;
#pragma unroll
  for (int i = 0; i < width; ++i) copy.at[i] = bf16(p.at[i]);
  *reinterpret_cast<Rounded<width>*>(static_cast<bf16*>(pack.at[1][tensor]) + at) = copy;
}
__global__ void __launch_bounds__(block_threads)
    round_all(const std::int32_t* finite, const __grid_constant__ Chunks chunks) {
  if (finite && *finite == 0) return;
  for_chunks(chunks, [&](int tensor, std::int64_t at, std::int64_t left) {
    if (left >= 4)
      round_run<4>(chunks.pack, tensor, at);
    else
      for (int i = 0; i < left; ++i) round_run<1>(chunks.pack, tensor, at + i);
  });
}

// ---- the gradient's norm

// The sum over a block's threads, in an order of its own, for thread 0.
__device__ double block_sum(double v) {
  SHARED(of_warp, double[block_threads / 32]);
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_down_sync(0xffffffffu, v, offset);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (double w : of_warp) sum += w;
  return sum;
}

// parts[b] = the squares of the chunks of block b
__global__ void __launch_bounds__(block_threads) square_sums(const __grid_constant__ Chunks chunks, double* parts) {
  double sum = 0;
  for_chunks(chunks, [&](int tensor, std::int64_t at, std::int64_t left) {
    const auto add = [&](float g) { sum += static_cast<double>(g) * static_cast<double>(g); };
    if (left >= 4) {
      const Run<4> x = run_of<4>(chunks.pack, 0, tensor, at);
      for (float g : x.at) add(g);
    } else {
      for (int i = 0; i < left; ++i) add(run_of<1>(chunks.pack, 0, tensor, at + i).at[0]);
    }
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block_threads) add_parts(unsigned count, const double* parts, double* sum) {
  double mine = 0;
  for (unsigned i = threadIdx.x; i < count; i += block_threads) mine += parts[i];
  mine = block_sum(mine);
  if (threadIdx.x == 0) *sum += mine;
}

__global__ void judge(double max_norm, const double* sum, double* scale, std::int32_t* finite) {
  const double squares = *sum;
  if (!(squares - squares == 0)) *finite = 0;
  *scale = max_norm > 0 && squares > max_norm * max_norm ? max_norm / std::sqrt(squares) : 1.0;
}

__global__ void count_one_up(std::int64_t* t, const std::int32_t* finite) {
  if (!finite || *finite != 0) ++*t;
}

}  // namespace

void adam(AdamConstants k, UpdateState state, TensorPack pack) {
  update(AdamRule{k, Rate(state), state.beta2.as<const double>(), state.t.as<const std::int64_t>()}, state.finite,
         pack);
}
void rmsprop(RmspropConstants k, UpdateState state, TensorPack pack) {
  update(RmspropRule{k, Rate(state)}, state.finite, pack);
}
void sgd(SgdConstants k, UpdateState state, TensorPack pack) { update(SgdRule{k, Rate(state)}, state.finite, pack); }
void ema(double decay, View now, View step, View finite, TensorPack pack) {
  update(EmaRule{decay, now.as<const double>(), step.as<const std::int64_t>()}, finite, pack);
}
void clip(double low, double high, View finite, TensorPack pack) { update(ClipRule{low, high}, finite, pack); }

void round_to_bf16(View finite, TensorPack pack) {
  const Chunks chunks(pack);
  if (chunks.count() == 0) return;
  LAUNCH((round_all), blocks_for(chunks.count(), 1), block_threads, 0, finite.as<const std::int32_t>(), chunks);
}

void add_square_norm(TensorPack pack, View sum, View parts) {
  const Chunks chunks(pack);
  if (chunks.count() == 0) return;
  const unsigned blocks = blocks_for(chunks.count(), 1, parts.size());
  LAUNCH((square_sums), blocks, block_threads, 0, chunks, parts.as<double>());
  LAUNCH((add_parts), 1, block_threads, 0, blocks, parts.as<const double>(), sum.as<double>());
}
void judge_gradient(double max_norm, View sum, View scale, View finite) {
  LAUNCH((judge), 1, 1, 0, max_norm, sum.as<const double>(), scale.as<double>(), finite.as<std::int32_t>());
}
void count_up(View t, View finite) {
  LAUNCH((count_one_up), 1, 1, 0, t.as<std::int64_t>(), finite.as<const std::int32_t>());
}

}  // namespace duel::kernels::DUEL_GPU
