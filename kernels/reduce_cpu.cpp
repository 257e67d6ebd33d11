#include <cmath>

#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace duel::kernels {
namespace {

using namespace reductions;

// Contiguous run: 16 independent lanes, so that the loop is vectorised in one fixed order.
template <class F, class T>
T reduce_run(const T* x, std::int64_t n) {
  constexpr int lanes = 16;
  T s[lanes];
  for (T& v : s) v = F::template start<T>();
  std::int64_t j = 0;
  for (; j + lanes <= n; j += lanes)
    for (int l = 0; l < lanes; ++l) s[l] = F::step(s[l], x[j + l]);
  for (std::int64_t l = 0, rest = n - j; l < rest && l < lanes; ++l) s[l] = F::step(s[l], x[j + l]);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) s[l] = F::join(s[l], s[l + half]);
  return s[0];
}

// A long run in blocks of fixed size: the rounding error grows with the block, not with n.
constexpr std::int64_t block = 4096;

template <class F, class T>
T reduce_long(const T* x, std::int64_t n) {
  if (n <= block) return reduce_run<F>(x, n);
  T s = F::template start<T>();
  for (std::int64_t j = 0; j < n; j += block) s = F::join(s, reduce_run<F>(x + j, std::min(block, n - j)));
  return s;
}

// One very long run (the sum of a whole tensor): at most 256 pieces, whose results are joined in order.
template <class F, class T>
T reduce_all(const T* x, std::int64_t n) {
  constexpr std::int64_t pieces = 256;
  T part[pieces];
  const std::int64_t each = (n + pieces - 1) / pieces;
  parallel_for(pieces, grain_for(each), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t at = std::min(n, k * each);
      part[k] = reduce_long<F>(x + at, std::min(each, n - at));
    }
  });
  T s = part[0];
  for (std::int64_t k = 1; k < pieces; ++k) s = F::join(s, part[k]);
  return s;
}

constexpr std::int64_t strip = 64;  // columns that one pass keeps in registers or the nearest cache

// Columns [i0, i0 + w) of rows [0, n), w <= strip, in blocks of rows as in reduce_long.
template <class F, class T>
void reduce_columns(const T* x, std::int64_t n, std::int64_t inner, std::int64_t w, T* y) {
  T total[strip], s[strip];
  for (std::int64_t i = 0; i < w; ++i) total[i] = F::template start<T>();
  for (std::int64_t j0 = 0; j0 < n; j0 += 256) {
    const std::int64_t j1 = std::min(n, j0 + 256);
    for (std::int64_t i = 0; i < w; ++i) s[i] = F::template start<T>();
    for (std::int64_t j = j0; j < j1; ++j)
      for (std::int64_t i = 0; i < w; ++i) s[i] = F::step(s[i], x[j * inner + i]);
    for (std::int64_t i = 0; i < w; ++i) total[i] = F::join(total[i], s[i]);
  }
  for (std::int64_t i = 0; i < w; ++i) y[i] = total[i];
}

// Few columns, many rows (a bias gradient): the rows are cut in at most 64 pieces of fixed size.
template <class F, class T>
void reduce_tall(const T* x, std::int64_t n, std::int64_t inner, std::int64_t w, T* y) {
  constexpr std::int64_t pieces = 64;
  T part[pieces][strip];
  const std::int64_t each = (n + pieces - 1) / pieces;
  parallel_for(pieces, grain_for(each * w), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t at = std::min(n, k * each);
      reduce_columns<F>(x + at * inner, std::min(each, n - at), inner, w, part[k]);
    }
  });
  for (std::int64_t i = 0; i < w; ++i) {
    T s = part[0][i];
    for (std::int64_t k = 1; k < pieces; ++k) s = F::join(s, part[k][i]);
    y[i] = s;
  }
}

template <class F, class T>
void reduce_as(std::int64_t outer, std::int64_t n, std::int64_t inner, const T* x, T* y) {
  if (inner == 1 && outer < 8 && n > 65536) {
    for (std::int64_t o = 0; o < outer; ++o) y[o] = reduce_all<F>(x + o * n, n);
    return;
  }
  if (inner == 1) {
    parallel_for(outer, grain_for(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) y[o] = reduce_long<F>(x + o * n, n);
    });
    return;
  }
  const std::int64_t strips = (inner + strip - 1) / strip;
  if (outer * strips < 16 && n >= 1024) {
    for (std::int64_t t = 0; t < outer * strips; ++t) {
      const std::int64_t o = t / strips, i = t % strips * strip;
      reduce_tall<F>(x + o * n * inner + i, n, inner, std::min(strip, inner - i), y + o * inner + i);
    }
    return;
  }
  parallel_for(outer * strips, grain_for(n * std::min(inner, strip)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t o = t / strips, i = t % strips * strip;
      reduce_columns<F>(x + o * n * inner + i, n, inner, std::min(strip, inner - i), y + o * inner + i);
    }
  });
}

}  // namespace

void cpu::reduce(Reduce f, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View, View y) {
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    const T* p = x.as<const T>();
    T* q = y.as<T>();
    switch (f) {
      case Reduce::sum:
        return reduce_as<Sum>(outer, n, inner, p, q);
      case Reduce::sum_squares:
        return reduce_as<SumSquares>(outer, n, inner, p, q);
      case Reduce::max:
        return reduce_as<Max>(outer, n, inner, p, q);
      case Reduce::min:
        return reduce_as<Min>(outer, n, inner, p, q);
    }
  });
}

void cpu::argmax(std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View y) {
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    const T* p = x.as<const T>();
    auto* q = y.as<std::int32_t>();
    parallel_for(outer, grain_for(n * inner), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t i = 0; i < inner; ++i) {
          std::int64_t best = 0;
          for (std::int64_t j = 1; j < n; ++j) {
            const T now = p[(o * n + j) * inner + i], top = p[(o * n + best) * inner + i];
            if (now > top || (std::isnan(now) && !std::isnan(top))) best = j;
          }
          q[o * inner + i] = static_cast<std::int32_t>(best);
        }
    });
  });
}

}  // namespace duel::kernels
