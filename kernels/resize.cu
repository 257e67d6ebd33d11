// GPU path of kernels/resize.h. Both maps are separable and sparse, and so are their transposes: every element of the
// result gathers the few elements that reach it, found axis by axis.
#include "kernels/gpu/grid.cuh"
#include "kernels/resize.h"

namespace duel::kernels::DUEL_GPU {
namespace {

struct Tap {
  int at;  // in the operand
  float weight;
};

// One axis of a reflection padding by p, of n elements to n + 2p.
struct Mirror {
  int n, p;
  bool transpose;
  __device__ int taps(int) const { return transpose ? 3 : 1; }
  // Tap k of element i of the result; a weight of 0 stands for no tap.
  __device__ Tap tap(int i, int k) const {
    if (!transpose) {
      const int at = i - p;
      return {at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at, 1};
    }
    // Element i was read from where it lies and, if it is near an edge but not on it, from beyond that edge.
    const int at = k == 0 ? p - i : k == 1 ? p + i : p + 2 * (n - 1) - i;
    const bool read = k == 0 ? i >= 1 && i <= p : k == 1 ? true : i <= n - 2 && i >= n - 1 - p;
    return {read ? at : 0, read ? 1.0f : 0.0f};
  }
};

// One axis of a bilinear resampling of `from` elements to `to`. Positions are fractions with the denominator 2*to, so
// that integers give the neighbours exactly; from*to must be below 2^30.
struct Bilinear {
  int from, to;
  bool transpose;
  struct Neighbours {
    int low, high;  // equal at the far edge
    float of_low, of_high;
  };
  __device__ Neighbours neighbours(int i) const {
    const int scaled = (2 * i + 1) * from - to, at = scaled < 0 ? 0 : scaled, low = at / (2 * to);
    const float f = static_cast<float>(at - low * 2 * to) / static_cast<float>(2 * to);
    return {low, low + 1 < from ? low + 1 : low, 1 - f, f};
  }
  // The first and last of the `to` elements whose position is less than 1 from that of element `of`.
  __device__ int first(int of) const {
    const int bound = to * (2 * of - 1) - from;  // beyond bound / (2 from)
    return bound < 0 ? 0 : bound / (2 * from) + 1;
  }
  __device__ int last(int of) const {
    const int end = (to * (2 * of + 3) + from - 1) / (2 * from);  // before this
    return (end < to ? end : to) - 1;
  }
  __device__ int taps(int i) const { return transpose ? last(i) - first(i) + 1 : 2; }
  __device__ Tap tap(int i, int k) const {
    if (!transpose) {
      const Neighbours n = neighbours(i);
      return {k == 0 ? n.low : n.high, k == 0 ? n.of_low : n.of_high};
    }
    const int reader = first(i) + k;
    const Neighbours n = neighbours(reader);
    return {reader, (n.low == i ? n.of_low : 0.0f) + (n.high == i ? n.of_high : 0.0f)};
  }
};

template <class T, int width>
struct alignas(width * sizeof(T)) Run {
  T at[width];
};

// One thread, `width` channels of one pixel. x (images, height_x, width_x, runs), y (images, height_y, width_y, runs).
struct Sizes {
  std::int64_t count;  // of runs in y
  int height_x, width_x, height_y, width_y, runs;
};
template <class T, int width, class Axis>
__global__ void __launch_bounds__(block_threads, 4)
    resample(Sizes s, Axis rows, Axis columns, const T* __restrict__ x, T* __restrict__ y) {
  for (std::int64_t at = global_thread(); at < s.count; at += all_threads()) {
    const std::int64_t pixel = at / s.runs, line = pixel / s.width_y, image = line / s.height_y;
    const int run = static_cast<int>(at - pixel * s.runs), j = static_cast<int>(pixel - line * s.width_y),
              i = static_cast<int>(line - image * s.height_y);
    const auto* of_image = reinterpret_cast<const Run<T, width>*>(x) + image * (s.height_x * s.width_x * s.runs) + run;
    float sum[width] = {};
    for (int a = 0; a < rows.taps(i); ++a) {
      const Tap row = rows.tap(i, a);
      if (row.weight == 0) continue;
      for (int b = 0; b < columns.taps(j); ++b) {
        const Tap column = columns.tap(j, b);
        if (column.weight == 0) continue;
        const Run<T, width> read = of_image[(row.at * s.width_x + column.at) * s.runs];
        const float weight = row.weight * column.weight;
#pragma unroll
        for (int k = 0; k < width; ++k) sum[k] += weight * static_cast<float>(read.at[k]);
      }
    }
    Run<T, width> result;
#pragma unroll
    for (int k = 0; k < width; ++k) result.at[k] = static_cast<T>(sum[k]);
    reinterpret_cast<Run<T, width>*>(y)[at] = result;
  }
}

// 16 bytes of channels at a time where they can be divided so.
template <class Axis>
void apply(Axis rows, Axis columns, const View& x, const View& y) {
  if (y.size() == 0) return;
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    const auto go = [&](auto width_constant) {
      constexpr int width = decltype(width_constant)::value;
      const auto extent = [](const View& v, int axis) { return static_cast<int>(v.dim[axis]); };
      const Sizes s{y.size() / width, extent(x, 1), extent(x, 2), extent(y, 1), extent(y, 2), extent(y, 3) / width};
      LAUNCH((resample<T, width, Axis>), blocks_for(s.count), block_threads, 0, s, rows, columns, x.as<const T>(),
             y.as<T>());
    };
    if (y.dim[3] % Pack<T>::count == 0)
      go(std::integral_constant<int, Pack<T>::count>{});
    else
      go(std::integral_constant<int, 1>{});
  });
}

}  // namespace

void reflection_pad(std::int64_t p, bool transpose, View x, View y) {
  const auto axis = [&](int k) { return Mirror{static_cast<int>(x.dim[k]), static_cast<int>(p), transpose}; };
  transpose ? apply(axis(1), axis(2), y, x) : apply(axis(1), axis(2), x, y);
}
void bilinear(bool transpose, View x, View y) {
  const auto axis = [&](int k) { return Bilinear{static_cast<int>(x.dim[k]), static_cast<int>(y.dim[k]), transpose}; };
  transpose ? apply(axis(1), axis(2), y, x) : apply(axis(1), axis(2), x, y);
}

}  // namespace duel::kernels::DUEL_GPU
