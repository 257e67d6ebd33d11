// Convolutions whose image or whose result has at most four channels: the first and the last layers of most networks.
// Their tiles would be mostly padding, and they are bound by memory. One thread sums several pixels, the taps' weights
// lie in shared memory as f32.
#pragma once
#include "kernels/gpu/operands.cuh"

namespace duel::kernels::DUEL_GPU {

inline constexpr int few_channels = 4, few_pixels = 4, few_slice = 32;
inline constexpr int few_block_pixels = 32 * few_pixels;  // of a block of 256 threads
// Taps times few channels whose weights for one slice of the many channels fill 48 KiB of shared memory.
inline constexpr std::int64_t few_weights = (48 << 10) / (few_slice * 4);

// out[pixel, q] = sum over tap, d of image[pixel meets tap, d] * w[q*q_step + d*d_step + tap*tap_step]
struct Few {
  Gather gather;  // d: its channels
  int columns;    // q
  std::int64_t q_step, d_step, tap_step;
  Finish finish;
};

// Calls f(tap of the window, the same tap of the image) for all taps of the window.
template <class F>
__device__ inline void each_tap(const Gather& g, const Window& window, F f) {
  for (int r = 0; r < window.h.taps; ++r)
    for (int s = 0; s < window.w.taps; ++s) {
      const int down = r * g.h.tap_step(), right = s * g.w.tap_step();
      f(r * window.w.taps + s, {down * g.w.image + right, 0, down, right});
    }
}
// Where the weights of a tap of the window begin.
__device__ inline std::int64_t weights_of(const Few& few, const Window& window, int tap) {
  const int r = window.row_of(tap), s = tap - r * window.w.taps;
  const int row = window.h.first_tap + r * few.gather.h.phases(),
            column = window.w.first_tap + s * few.gather.w.phases();
  return (row * few.gather.w.kernel + column) * few.tap_step;
}

// Four neighbouring channels, stored by one instruction.
template <class T>
struct alignas(4 * sizeof(T)) Quartet {
  T at[4];
};

// Few channels d. Threads: 8 quartets of columns (one slice) by 32 pixels. Blocks: pixels, slices of columns, phases.
template <class T>
__global__ void __launch_bounds__(block_threads, 2)
    conv_from_few(Few few, const T* __restrict__ image, const T* __restrict__ weights, T* __restrict__ out) {
  DYNAMIC_SHARED(float, kept);  // (tap, d, slice)
  const Gather& g = few.gather;
  const Window window = window_of(g, blockIdx.z);
  const int depth = g.channels.divisor, first_column = blockIdx.y * few_slice;
  const int rows = window.h.taps * window.w.taps * depth;
  for (int i = threadIdx.x; i < rows * few_slice; i += block_threads) {
    const int q = first_column + i % few_slice, tap = g.channels(i / few_slice), d = i / few_slice - tap * depth;
    kept[i] = q < few.columns
                  ? static_cast<float>(weights[q * few.q_step + d * few.d_step + weights_of(few, window, tap)])
                  : 0.0f;
  }
  __syncthreads();
  const Image<T> of{image, g, window};
  const int column = threadIdx.x % 8 * 4, first_pixel = blockIdx.x * few_block_pixels + threadIdx.x / 8;
  typename Image<T>::Pixel pixel[few_pixels];
#pragma unroll
  for (int i = 0; i < few_pixels; ++i) pixel[i] = of.pixel(first_pixel + 32 * i);
  float sum[few_pixels][4] = {};
  each_tap(g, window, [&](int tap, typename Image<T>::Tap at) {
    const T* x[few_pixels];
#pragma unroll
    for (int i = 0; i < few_pixels; ++i) x[i] = of.element(pixel[i], at);
    for (int d = 0; d < depth; ++d) {
      const float4 w = *reinterpret_cast<const float4*>(kept + (tap * depth + d) * few_slice + column);
#pragma unroll
      for (int i = 0; i < few_pixels; ++i) {
        const float v = x[i] ? static_cast<float>(x[i][d]) : 0.0f;
        sum[i][0] += v * w.x;
        sum[i][1] += v * w.y;
        sum[i][2] += v * w.z;
        sum[i][3] += v * w.w;
      }
    }
  });
#pragma unroll
  for (int i = 0; i < few_pixels; ++i) {
    const std::int64_t place = place_in_grid(g, window, first_pixel + 32 * i);
    if (place < 0) continue;
    T* to = out + place * few.columns + first_column + column;
    const int there = few.columns - first_column - column;  // columns from here on
#pragma unroll
    for (int q = 0; q < 4; ++q)
      if (q < there) sum[i][q] = finished<T>(few.finish, sum[i][q], first_column + column + q);
    if (few.columns % 4 == 0) {
      if (there > 0) *reinterpret_cast<Quartet<T>*>(to) = {{T(sum[i][0]), T(sum[i][1]), T(sum[i][2]), T(sum[i][3])}};
      continue;
    }
#pragma unroll
    for (int q = 0; q < 4; ++q)
      if (q < there) to[q] = T(sum[i][q]);
  }
}

// Few columns q. Threads: 8 quartets of channels (one slice) by 32 pixels; the quartets' sums are added at the end.
// Blocks: pixels, 1, phases.
template <class T>
__global__ void __launch_bounds__(block_threads, 2)
    conv_to_few(Few few, const T* __restrict__ image, const T* __restrict__ weights, T* __restrict__ out) {
  DYNAMIC_SHARED(float, kept);  // (tap, q, slice)
  const Gather& g = few.gather;
  const Window window = window_of(g, blockIdx.z);
  const int depth = g.channels.divisor, rows = window.h.taps * window.w.taps * few.columns;
  const Image<T> of{image, g, window};
  const int lane = threadIdx.x % 8, first_pixel = blockIdx.x * few_block_pixels + threadIdx.x / 8;
  typename Image<T>::Pixel pixel[few_pixels];
#pragma unroll
  for (int i = 0; i < few_pixels; ++i) pixel[i] = of.pixel(first_pixel + 32 * i);
  float sum[few_pixels][few_channels] = {};
  for (int first = 0; first < depth; first += few_slice) {
    __syncthreads();
    for (int i = threadIdx.x; i < rows * few_slice; i += block_threads) {
      const int d = first + i % few_slice, tap = i / few_slice / few.columns, q = i / few_slice % few.columns;
      kept[i] = d < depth ? static_cast<float>(weights[q * few.q_step + d * few.d_step + weights_of(few, window, tap)])
                          : 0.0f;
    }
    __syncthreads();
    const int channel = first + lane * 4;
    const int left = depth - channel < 4 ? depth - channel : 4;  // channels of this thread
    each_tap(g, window, [&](int tap, typename Image<T>::Tap at) {
      float4 w[few_channels] = {};
#pragma unroll
      for (int q = 0; q < few_channels; ++q)
        if (q < few.columns)
          w[q] = *reinterpret_cast<const float4*>(kept + (tap * few.columns + q) * few_slice + lane * 4);
#pragma unroll
      for (int i = 0; i < few_pixels; ++i) {
        const T* x = of.element(pixel[i], at);
        float v[4] = {};
        if (x && depth % 4 == 0 && left > 0) {
          struct alignas(4 * sizeof(T)) Four {
            T at[4];
          };
          const Four four = *reinterpret_cast<const Four*>(x + channel);
#pragma unroll
          for (int c = 0; c < 4; ++c) v[c] = static_cast<float>(four.at[c]);
        } else if (x) {
#pragma unroll
          for (int c = 0; c < 4; ++c)
            if (c < left) v[c] = static_cast<float>(x[channel + c]);
        }
#pragma unroll
        for (int q = 0; q < few_channels; ++q)
          sum[i][q] += v[0] * w[q].x + v[1] * w[q].y + v[2] * w[q].z + v[3] * w[q].w;
      }
    });
  }
#pragma unroll
  for (int i = 0; i < few_pixels; ++i) {
#pragma unroll
    for (int q = 0; q < few_channels; ++q)
#pragma unroll
      for (int distance = 4; distance > 0; distance /= 2) sum[i][q] += __shfl_xor_sync(~0u, sum[i][q], distance);
    const std::int64_t place = place_in_grid(g, window, first_pixel + 32 * i);
    if (lane != i || place < 0) continue;
#pragma unroll
    for (int q = 0; q < few_channels; ++q)
      if (q < few.columns) out[place * few.columns + q] = T(finished<T>(few.finish, sum[i][q], q));
  }
}

}  // namespace duel::kernels::DUEL_GPU
