// GPU path of kernels/matmul.h: products with few results are dot products, all others go by tiles (product.cu), where
// no engine of cuBLASLt is wanted and better (gpu/engines.h).
#include "kernels/gpu/engines.h"
#include "kernels/gpu/grid.cuh"
#include "kernels/gpu/product.h"
#include "kernels/matmul.h"

namespace duel::kernels::DUEL_GPU {
namespace {

constexpr int dot_threads = 128, dot_warps = dot_threads / 32, dot_columns = 4;

// out[i, j] = sum over k of a[i*a_row + k*a_step] * b[j*b_row + k*b_step], a batch of them. A row's four columns are
// the work of one warp, or of all warps of a block.
struct Dots {
  int rows, columns, k, batch;
  std::int64_t a_row, a_step, b_row, b_step, out_row, out_column, a_batch, b_batch, out_batch;
  bool whole_blocks;
};

template <class T>
__global__ void __launch_bounds__(dot_threads)
    dot_products(Dots d, const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ out) {
  SHARED(part, float[dot_warps][dot_columns]);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto dot = d.whole_blocks ? blockIdx.x : blockIdx.x * dot_warps + static_cast<unsigned>(warp);
  const auto groups = static_cast<unsigned>(d.columns + dot_columns - 1) / dot_columns,
             rows = static_cast<unsigned>(d.rows);
  const int first = static_cast<int>(dot % groups) * dot_columns, row = static_cast<int>(dot / groups % rows);
  const int batch = static_cast<int>(dot / groups / rows);
  const int columns = d.columns - first < dot_columns ? d.columns - first : dot_columns;
  float sum[dot_columns] = {};
  if (batch < d.batch) {
    const T *x = a + batch * d.a_batch + row * d.a_row, *y = b + batch * d.b_batch + first * d.b_row;
    const int step = d.whole_blocks ? dot_threads : 32;
    for (int k = d.whole_blocks ? threadIdx.x : lane; k < d.k; k += step)
#pragma unroll
      for (int j = 0; j < dot_columns; ++j)
        if (j < columns)
          sum[j] += static_cast<float>(x[k * d.a_step]) * static_cast<float>(y[j * d.b_row + k * d.b_step]);
  }
#pragma unroll
  for (float& s : sum)
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) s += __shfl_xor_sync(~0u, s, distance);
  if (d.whole_blocks) {
    if (lane == 0)
#pragma unroll
      for (int j = 0; j < dot_columns; ++j) part[warp][j] = sum[j];
    __syncthreads();
    if (warp > 0) return;
#pragma unroll
    for (int j = 0; j < dot_columns; ++j) sum[j] = part[0][j] + part[1][j] + part[2][j] + part[3][j];
  }
  if (lane > 0 || batch >= d.batch) return;
  T* to = out + batch * d.out_batch + row * d.out_row + first * d.out_column;
#pragma unroll
  for (int j = 0; j < dot_columns; ++j)
    if (j < columns) to[j * d.out_column] = T(sum[j]);
}

// Rows are the longer side, so that few columns are left over.
Dots dots_of(const MatmulShape& s) {
  const std::int64_t a_row = s.transpose_a ? 1 : s.k, a_step = s.transpose_a ? s.m : 1;
  const std::int64_t b_row = s.transpose_b ? s.k : 1, b_step = s.transpose_b ? 1 : s.n;
  const auto rows = static_cast<int>(std::max(s.m, s.n)), columns = static_cast<int>(std::min(s.m, s.n));
  const auto k = static_cast<int>(s.k), batch = static_cast<int>(s.batch);
  const bool whole_blocks = s.k >= 1024;
  if (s.m >= s.n)
    return {rows,   columns, k, batch,     a_row,     a_step,    b_row,
            b_step, s.n,     1, s.m * s.k, s.k * s.n, s.m * s.n, whole_blocks};
  return {rows, columns, k, batch, b_row, b_step, a_row, a_step, 1, s.n, s.k * s.n, s.m * s.k, s.m * s.n, whole_blocks};
}

// Tiles would be mostly empty, or so few that, not split along k, one takes longer than all dot products together. A
// long side is read along k only.
bool is_dots(const MatmulShape& s, bool may_split) {
  const Dots d = dots_of(s);
  const std::int64_t results = s.batch * s.m * s.n;
  return (d.columns <= dot_columns && d.a_step == 1) || (results <= 1024 && s.k >= 256) ||
         (!may_split && results <= 8192 && s.k >= 2048);
}

template <class T>
void run_dots(const MatmulShape& s, View a, View b, View c) {
  const Dots d = dots_of(s);
  if (s.m < s.n) std::swap(a, b);
  const std::int64_t groups = std::int64_t{d.batch} * d.rows * ((d.columns + dot_columns - 1) / dot_columns);
  const std::int64_t blocks = d.whole_blocks ? groups : (groups + dot_warps - 1) / dot_warps;
  LAUNCH((dot_products<T>), static_cast<unsigned>(blocks), dot_threads, 0, d, a.as<T>(), b.as<T>(), c.as<T>());
}

// A plain matrix of `rows` lines, as an image of single pixels.
Gather lines(std::int64_t rows, std::int64_t length) {
  Gather g;
  g.pixels = static_cast<int>(rows);
  g.channels = Divider(length);
  g.pixel_step = length;
  return g;
}

// With both transposed it is the product of the two in exchanged roles, C stored by columns.
Form form_of(const MatmulShape& s) {
  return s.transpose_a == s.transpose_b ? Form::x : s.transpose_a ? Form::w : Form::y;
}
Product product_of(const MatmulShape& s, View a, View b, View c) {
  Product p;
  p.out = c.data;
  p.batch = static_cast<int>(s.batch);
  p.out_batch = s.m * s.n;
  p.out_size = s.batch * s.m * s.n;
  p.row_step = s.n;
  const bool image_is_a = !s.transpose_a;
  p.image = image_is_a ? a.data : b.data;
  p.other = image_is_a ? b.data : a.data;
  p.image_batch = image_is_a ? s.m * s.k : s.k * s.n;
  p.other_batch = image_is_a ? s.k * s.n : s.m * s.k;
  p.extent = static_cast<int>(image_is_a ? s.n : s.m);
  p.other_step = image_is_a && s.transpose_b ? s.k : p.extent;
  p.gather = image_is_a ? lines(s.m, s.k) : s.transpose_b ? lines(s.n, s.k) : lines(s.k, s.n);
  if (s.transpose_a && s.transpose_b) {
    p.row_step = 1;
    p.column_step = s.n;
  }
  return p;
}

}  // namespace

std::size_t matmul_workspace(const MatmulShape& s, DType dtype) {
  return is_dots(s, true) ? 0 : product_workspace(form_of(s), product_of(s, {}, {}, {}), dtype);
}

void run_matmul(const MatmulShape& s, View a, View b, View c, View workspace) {
  if (s.batch * s.m * s.n == 0 || library_matmul(s, a, b, c)) return;
  if (!is_dots(s, workspace.bytes() > 0)) return run_product(form_of(s), product_of(s, a, b, c), c.dtype, workspace);
  dispatch_storage(c.dtype, [&](auto t) { run_dots<decltype(t)>(s, a, b, c); });
}

void matmul(MatmulShape s, View a, View b, View c) { run_matmul(s, a, b, c, {}); }

}  // namespace duel::kernels::DUEL_GPU
