// Reductions of the middle axis of (outer, n, inner): y[o, i] = reduce over j < n of x[o, j, i].
#pragma once
#include <algorithm>
#include <limits>

#include "kernels/view.h"

namespace duel::kernels {

enum class Reduce : std::uint8_t { sum, sum_squares, max, min };

// What each of them does: the value of nothing, one more x, and two results joined. Every device compiles these lines.
// max and min of values with a NaN are NaN.
namespace reductions {
struct Sum {
  template <class T>
  DUEL_HD static T start() {
    return 0;
  }
  template <class T>
  DUEL_HD static T step(T s, T x) {
    return s + x;
  }
  template <class T>
  DUEL_HD static T join(T a, T b) {
    return a + b;
  }
};
struct SumSquares : Sum {
  template <class T>
  DUEL_HD static T step(T s, T x) {
    return s + x * x;
  }
};
struct Max {
  template <class T>
  DUEL_HD static T start() {
    return -std::numeric_limits<T>::infinity();
  }
  template <class T>
  DUEL_HD static T step(T s, T x) {
    return s >= x || s != s ? s : x;
  }
  template <class T>
  DUEL_HD static T join(T a, T b) {
    return step(a, b);
  }
};
struct Min {
  template <class T>
  DUEL_HD static T start() {
    return std::numeric_limits<T>::infinity();
  }
  template <class T>
  DUEL_HD static T step(T s, T x) {
    return s <= x || s != s ? s : x;
  }
  template <class T>
  DUEL_HD static T join(T a, T b) {
    return step(a, b);
  }
};
}  // namespace reductions

// Few results of many numbers would keep few blocks of a GPU busy: it reduces pieces of n first, then their results.
// In how many pieces: at most 256 blocks, each of at least 4096 numbers; fewer than 8 are not worth a second launch.
inline std::int64_t reduce_pieces(std::int64_t outer, std::int64_t n, std::int64_t inner) {
  constexpr std::int64_t columns = 128;  // of one block
  const std::int64_t blocks = std::max<std::int64_t>(1, outer * ((inner + columns - 1) / columns));
  const std::int64_t pieces = std::min(256 / blocks, n * std::min(inner, columns) / 4096);
  return pieces < 8 ? 1 : pieces;
}

// x f32 or f64, bf16 on a GPU, y alike. The order of additions depends on the extents alone, not on the number of
// threads. n == 0 gives 0 for sums and -inf / +inf for max / min.
// scratch: f32, outer * reduce_pieces * inner numbers. Empty on the CPU, and where there is one piece.
DUEL_KERNEL(reduce, Reduce f, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View scratch, View y);
// y[o, i] = the smallest j for which x[o, j, i] is largest; y i32. NaN counts as larger than everything.
DUEL_KERNEL(argmax, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View y);

}  // namespace duel::kernels
