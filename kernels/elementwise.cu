// GPU path of kernels/elementwise.h. One kernel for each function and type: a thread makes 16 bytes of y at a time.
#include "kernels/broadcast.h"
#include "kernels/elementwise.h"
#include "kernels/gpu/grid.cuh"

namespace duel::kernels::DUEL_GPU {
namespace {

constexpr std::int64_t narrow = std::int64_t{1} << 31;

// Division by a number known before the launch: below 2^31 a multiplication and a shift (Granlund & Montgomery 1994).
struct Divisor {
  std::int64_t d = 1;
  std::uint32_t magic = 0, shift = 0;

  Divisor() = default;
  explicit Divisor(std::int64_t divisor) : d(divisor) {
    if (d >= narrow) {
      shift = 31;  // of any number below 2^31: 0
      return;
    }
    while ((std::int64_t{1} << shift) < d) ++shift;
    magic = static_cast<std::uint32_t>(
        (((std::uint64_t{1} << shift) - static_cast<std::uint64_t>(d)) << 32) / static_cast<std::uint64_t>(d) + 1);
  }
  __device__ std::int64_t divide(std::int64_t n) const {
    if (n >= narrow) return n / d;
    const auto u = static_cast<std::uint32_t>(n);
    return (static_cast<std::uint32_t>((std::uint64_t{u} * magic) >> 32) + u) >> shift;
  }
};

// The plan as threads use it. A pack that lies in one row of the last axis needs one walk for all its elements; the
// rows that begin inside of packs are walked element by element.
struct Layout {
  std::int64_t size;
  int rank;
  bool rows_of_packs;
  Divisor dim[max_rank];
  std::int64_t stride[3][max_rank];
};

Layout make_layout(const View* operand, int arity, const View& y, int pack) {
  const BroadcastPlan plan = plan_broadcast(operand, arity, y);
  Layout l{y.size(), plan.rank, plan.rank == 1 || plan.dim[plan.rank - 1] % pack == 0, {}, {}};
  for (int k = 0; k < plan.rank; ++k) {
    l.dim[k] = Divisor(plan.dim[k]);
    for (int o = 0; o < arity; ++o) l.stride[o][k] = plan.stride[o][k];
  }
  return l;
}

// Where element i of y has its operands.
template <int arity>
__device__ void places(const Layout& l, std::int64_t i, std::int64_t (&at)[arity]) {
  for (int o = 0; o < arity; ++o) at[o] = 0;
  for (int k = l.rank - 1; k > 0; --k) {
    const std::int64_t rest = l.dim[k].divide(i), mine = i - rest * l.dim[k].d;
    for (int o = 0; o < arity; ++o) at[o] += mine * l.stride[o][k];
    i = rest;
  }
  for (int o = 0; o < arity; ++o) at[o] += i * l.stride[o][0];
}

template <class F>
__device__ float apply(const float (&v)[F::arity], float p, float q) {
  if constexpr (F::arity == 1)
    return F::template apply<float>(v[0], p, q);
  else if constexpr (F::arity == 2)
    return F::template apply<float>(v[0], v[1], p, q);
  else
    return F::template apply<float>(v[0], v[1], v[2], p, q);
}

template <class T, int arity>
struct Operands {
  const T* at[arity];
};

// y may be an operand: every thread reads what it needs before it writes the same places.
template <class F, class T>
__global__ void __launch_bounds__(block_threads)
    map_packs(const Layout l, float p, float q, const Operands<T, F::arity> x, T* y) {
  constexpr int arity = F::arity, width = Pack<T>::count;
  for (std::int64_t pack = global_thread(); pack * width < l.size; pack += all_threads()) {
    const std::int64_t first = pack * width;
    float v[width][arity];
    std::int64_t at[arity];
    Pack<T> result;
    if (l.rows_of_packs && first + width <= l.size) {
      places(l, first, at);
#pragma unroll
      for (int o = 0; o < arity; ++o) {
        if (l.stride[o][l.rank - 1] == 0) {
          const float same = static_cast<float>(x.at[o][at[o]]);
          for (int e = 0; e < width; ++e) v[e][o] = same;
        } else {
          const Pack<T> in = *reinterpret_cast<const Pack<T>*>(x.at[o] + at[o]);
          for (int e = 0; e < width; ++e) v[e][o] = static_cast<float>(in.at[e]);
        }
      }
    } else {
#pragma unroll
      for (int e = 0; e < width; ++e) {
        places(l, first + e < l.size ? first + e : first, at);
        for (int o = 0; o < arity; ++o) v[e][o] = static_cast<float>(x.at[o][at[o]]);
      }
    }
#pragma unroll
    for (int e = 0; e < width; ++e) result.at[e] = static_cast<T>(apply<F>(v[e], p, q));
    if (first + width <= l.size) {
      reinterpret_cast<Pack<T>*>(y)[pack] = result;
    } else {
#pragma unroll
      for (int e = 0; e < width; ++e)
        if (first + e < l.size) y[first + e] = result.at[e];
    }
  }
}

template <class F, class T>
void run(const View* operand, const View& y, float p, float q) {
  Operands<T, F::arity> x;
  for (int o = 0; o < F::arity; ++o) x.at[o] = operand[o].as<const T>();
  constexpr int width = Pack<T>::count;
  LAUNCH((map_packs<F, T>), blocks_for(y.size(), block_threads * width), block_threads, 0,
         make_layout(operand, F::arity, y, width), p, q, x, y.as<T>());
}

}  // namespace

void map(Map f, double p, double q, View a, View b, View c, View y) {
  if (y.size() == 0) return;
  const View operand[3] = {a, b, c};
  const auto pf = static_cast<float>(p), qf = static_cast<float>(q);
  dispatch_storage(y.dtype, [&](auto t) {
    using T = decltype(t);
    switch (f) {
#define DUEL_CASE(name, ...) \
  case Map::name:            \
    return run<maps::name, T>(operand, y, pf, qf);
      DUEL_MAPS_1(DUEL_CASE) DUEL_MAPS_2(DUEL_CASE) DUEL_MAPS_3(DUEL_CASE)
#undef DUEL_CASE
    }
  });
}

}  // namespace duel::kernels::DUEL_GPU
