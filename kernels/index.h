// Rows picked and put by index, one-hot codes, and where the maxima of pooling windows lie.
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// y[m, l] = x[index[m], l] for tables x (rows, length), y (count, length) of 2-, 4- or 8-byte elements; index i32
// (count). An index outside [0, rows) reads as zeros: values are data, which a step that replays cannot stop to check.
DUEL_KERNEL(gather_rows, std::int64_t rows, std::int64_t length, View x, View index, View y);
// x[r, l] = sum over m with index[m] == r of y[m, l], added in the order of m; indices outside [0, rows) are skipped.
DUEL_KERNEL(scatter_rows, std::int64_t rows, std::int64_t length, View y, View index, View x);
// y[m, c] = 1 if c == index[m], else 0;  y (count, classes) f32 or f64.
DUEL_KERNEL(one_hot, View index, View y);
// index[n,i,j,c] = the flat position in x (N,H,W,C) of the first largest value of the window
// [i*size, i*size+size) x [j*size, j*size+size); index (N, H/size, W/size, C) i32.
DUEL_KERNEL(max_pool_index, std::int64_t size, View x, View index);

}  // namespace duel::kernels
