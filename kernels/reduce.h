// Reductions of the middle axis of (outer, n, inner): y[o, i] = reduce over j < n of x[o, j, i].
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

enum class Reduce : std::uint8_t { sum, sum_squares, max, min };

// x f32 or f64, y alike. The order of additions depends on the extents alone, not on the number of threads.
// n == 0 gives 0 for sums and -inf / +inf for max / min.
DUEL_KERNEL(reduce, Reduce f, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View y);
// y[o, i] = the smallest j for which x[o, j, i] is largest; y i32. NaN counts as larger than everything.
DUEL_KERNEL(argmax, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View y);

}  // namespace duel::kernels
