// Moving values: fill, copy, conversion, and the one strided copy behind slice, concat, pad, permute and broadcast.
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// A walk over a dense array: element index i0..i5 lies at offset + sum_k i_k * stride[k] (in elements).
struct Walk {
  std::int64_t offset = 0;
  std::int64_t stride[max_rank] = {};
};
struct Extent {
  int rank = 0;
  std::int64_t dim[max_rank] = {};
};

// y[...] = value, any type.
DUEL_KERNEL(fill, View y, double value);
// y = x, equal sizes and types.
DUEL_KERNEL(copy_bytes, View x, View y);
// y[to(i)] = x[from(i)] for all i in the extent; the places to(i) are distinct. Equal types of 4 or 8 bytes.
DUEL_KERNEL(copy_strided, Extent extent, View x, Walk from, View y, Walk to);
// y[i] = scale * x[i] + shift, between any two types (to integers: truncated towards zero).
DUEL_KERNEL(convert, View x, View y, double scale, double shift);

}  // namespace duel::kernels
