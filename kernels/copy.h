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

// Single numbers of any type (but u8 and i64), wherever they lie.
struct Scalars {
  static constexpr int capacity = 64;
  int count = 0;
  const void* at[capacity] = {};
  DType dtype[capacity] = {};
};
// y[i] = the i-th of them; y f64 (count).
DUEL_KERNEL(collect, Scalars scalars, View y);
DUEL_HD inline double scalar_at(const Scalars& s, int i) {
  switch (s.dtype[i]) {
    case DType::f32:
      return *static_cast<const float*>(s.at[i]);
    case DType::f64:
      return *static_cast<const double*>(s.at[i]);
    case DType::bf16:
      return *static_cast<const bf16*>(s.at[i]);
    default:
      return *static_cast<const std::int32_t*>(s.at[i]);
  }
}

}  // namespace duel::kernels
