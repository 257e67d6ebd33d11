// GPU path of kernels/softmax.h.
#include "kernels/gpu/grid.cuh"
#include "kernels/softmax.h"

namespace duel::kernels::DUEL_GPU {
namespace {

constexpr int warp = 32;

// The threads of a row: blockDim.x of them, a warp or the whole block; blockDim.y rows a block.
// Joins their values; all of them get the result.
template <class Join>
__device__ float join_row(float v, Join join) {
  for (int lanes = warp / 2; lanes > 0; lanes /= 2) v = join(v, __shfl_xor_sync(0xffffffffu, v, lanes));
  if (blockDim.x > warp) {
    SHARED(of_warp, float[block_threads / warp]);
    __syncthreads();  // what was joined before has been read
    if (threadIdx.x % warp == 0) of_warp[threadIdx.x / warp] = v;
    __syncthreads();
    v = of_warp[0];
    for (unsigned w = 1; w < blockDim.x / warp; ++w) v = join(v, of_warp[w]);
  }
  return v;
}

// y[j] = f(x[j]) for this thread's part of a row, in packs where rows are made of them. Where y is null, f only looks.
template <class T, class F>
__device__ void for_row(const T* x, std::int64_t n, T* y, F f) {
  constexpr int width = Pack<T>::count;
  if (n % width == 0) {
    for (std::int64_t j = threadIdx.x; j < n / width; j += blockDim.x) {
      Pack<T> pack = reinterpret_cast<const Pack<T>*>(x)[j];
#pragma unroll
      for (T& v : pack.at) v = static_cast<T>(f(static_cast<float>(v)));
      if (y) reinterpret_cast<Pack<T>*>(y)[j] = pack;
    }
  } else {
    for (std::int64_t j = threadIdx.x; j < n; j += blockDim.x) {
      const float v = f(static_cast<float>(x[j]));
      if (y) y[j] = static_cast<T>(v);
    }
  }
}

// Three times over a row, which the nearest caches hold after the first.
template <class T>
__global__ void __launch_bounds__(block_threads)
    softmax_rows(Softmax f, std::int64_t rows, std::int64_t n, const T* x, T* y) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= rows) return;  // a whole warp: where rows take a block, none is beyond the last
  x += row * n;
  T* const none = nullptr;
  float top = -INFINITY, sum = 0;
  for_row(x, n, none, [&](float v) { return top = fmaxf(top, v); });
  top = join_row(top, [](float a, float b) { return fmaxf(a, b); });
  for_row(x, n, none, [&](float v) { return sum += expf(v - top); });
  sum = join_row(sum, [](float a, float b) { return a + b; });
  const float log_sum = logf(sum), scale = 1 / sum;
  if (f == Softmax::softmax) {
    for_row(x, n, y + row * n, [&](float v) { return expf(v - top) * scale; });
  } else if (f == Softmax::log_softmax) {
    for_row(x, n, y + row * n, [&](float v) { return v - top - log_sum; });
  } else if (threadIdx.x == 0) {
    y[row] = static_cast<T>(top + log_sum);
  }
}

}  // namespace

void softmax(Softmax f, View x, View y) {
  if (x.size() == 0) return;
  const std::int64_t rows = x.rows(), n = x.last();
  const unsigned threads = n > 1024 ? block_threads : warp, rows_of_block = block_threads / threads;
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((softmax_rows<T>), static_cast<unsigned>((rows + rows_of_block - 1) / rows_of_block),
           dim3(threads, rows_of_block), 0, f, rows, n, x.as<const T>(), y.as<T>());
  });
}

}  // namespace duel::kernels::DUEL_GPU
