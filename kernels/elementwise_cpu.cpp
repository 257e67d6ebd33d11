#include "kernels/broadcast.h"
#include "kernels/elementwise.h"
#include "kernels/parallel.h"

namespace duel::kernels {
namespace {

// One run along the last axis; operand i moves by si (0 or 1) elements a step. y is not restrict: it may be an operand.
template <class F, int sa, int sb, int sc, class T>
void run(const T* a, const T* b, const T* c, T* y, std::int64_t n, T p, T q) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (F::arity == 1)
      y[i] = F::template apply<T>(a[i * sa], p, q);
    else if constexpr (F::arity == 2)
      y[i] = F::template apply<T>(a[i * sa], b[i * sb], p, q);
    else
      y[i] = F::template apply<T>(a[i * sa], b[i * sb], c[i * sc], p, q);
  }
}

template <class T>
using Run = void (*)(const T*, const T*, const T*, T*, std::int64_t, T, T);

template <class F, class T>
Run<T> choose(std::int64_t sa, std::int64_t sb, std::int64_t sc) {
  constexpr bool two = F::arity >= 2, three = F::arity == 3;
  const int code = (sa ? 1 : 0) | (sb && two ? 2 : 0) | (sc && three ? 4 : 0);
  switch (code) {
    case 0:
      return run<F, 0, 0, 0, T>;
    case 1:
      return run<F, 1, 0, 0, T>;
    case 2:
      return run<F, 0, 1, 0, T>;
    case 3:
      return run<F, 1, 1, 0, T>;
    case 4:
      return run<F, 0, 0, 1, T>;
    case 5:
      return run<F, 1, 0, 1, T>;
    case 6:
      return run<F, 0, 1, 1, T>;
    default:
      return run<F, 1, 1, 1, T>;
  }
}

template <class F, class T>
void apply(const View* operand, const View& y, T p, T q) {
  const BroadcastPlan plan = plan_broadcast(operand, F::arity, y);
  const int inner = plan.rank - 1;
  const T* in[3] = {operand[0].as<const T>(), operand[1].as<const T>(), operand[2].as<const T>()};
  T* out = y.as<T>();
  const std::int64_t n = plan.dim[inner];
  const std::int64_t* s[3] = {plan.stride[0], plan.stride[1], plan.stride[2]};
  const Run<T> f = choose<F, T>(s[0][inner], s[1][inner], s[2][inner]);
  std::int64_t outer = 1;
  for (int k = 0; k < inner; ++k) outer *= plan.dim[k];
  if (outer == 1) {
    parallel_for(n, elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
      f(in[0] + begin * s[0][inner], in[1] + begin * s[1][inner], in[2] + begin * s[2][inner], out + begin, end - begin,
        p, q);
    });
    return;
  }
  parallel_for(outer, grain_for(n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t at[3] = {}, rest = row;
      for (int k = inner - 1; k >= 0; --k) {
        const std::int64_t i = rest % plan.dim[k];
        rest /= plan.dim[k];
        for (int o = 0; o < F::arity; ++o) at[o] += i * s[o][k];
      }
      f(in[0] + at[0], in[1] + at[1], in[2] + at[2], out + row * n, n, p, q);
    }
  });
}

}  // namespace

void cpu::map(Map f, double p, double q, View a, View b, View c, View y) {
  if (y.size() == 0) return;
  const View operand[3] = {a, b, c};
  dispatch_float(y.dtype, [&](auto t) {
    using T = decltype(t);
    const T pt = static_cast<T>(p), qt = static_cast<T>(q);
    switch (f) {
#define DUEL_CASE(name, ...) \
  case Map::name:            \
    return apply<maps::name, T>(operand, y, pt, qt);
      DUEL_MAPS_1(DUEL_CASE) DUEL_MAPS_2(DUEL_CASE) DUEL_MAPS_3(DUEL_CASE)
#undef DUEL_CASE
    }
  });
}

}  // namespace duel::kernels
