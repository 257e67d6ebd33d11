#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"
#include "kernels/resize.h"

namespace duel::kernels {
namespace {

// Forward: y += weight * x along a channel run; transposed: x += weight * y.
template <class T>
void add_run(bool transpose, T weight, T* x, T* y, std::int64_t c) {
  if (transpose)
    for (std::int64_t k = 0; k < c; ++k) x[k] += weight * y[k];
  else
    for (std::int64_t k = 0; k < c; ++k) y[k] += weight * x[k];
}

std::int64_t mirror(std::int64_t i, std::int64_t n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

struct Taps {
  std::int64_t at[2];
  double weight[2];
};
Taps taps(std::int64_t i, std::int64_t from, std::int64_t to) {
  const double u =
      std::max(0.0, (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5);
  const auto low = std::min(from - 1, static_cast<std::int64_t>(u));
  const double f = u - static_cast<double>(low);
  return {{low, std::min(from - 1, low + 1)}, {1 - f, f}};
}

// f(x_image, y_image) for every image, in parallel; the result is cleared first.
template <class T, class F>
void for_images(bool transpose, const View& x, const View& y, F f) {
  const std::int64_t nx = x.size() / std::max<std::int64_t>(1, x.dim[0]),
                     ny = y.size() / std::max<std::int64_t>(1, y.dim[0]);
  parallel_for(x.dim[0], grain_for(ny), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      T *px = x.as<T>() + n * nx, *py = y.as<T>() + n * ny;
      if (transpose)
        std::fill(px, px + nx, T(0));
      else
        std::fill(py, py + ny, T(0));
      f(px, py);
    }
  });
}

}  // namespace

namespace cpu {

void reflection_pad(std::int64_t p, bool transpose, View x, View y) {
  const std::int64_t h = x.dim[1], w = x.dim[2], c = x.dim[3];
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    for_images<T>(transpose, x, y, [&](T* px, T* py) {
      for (std::int64_t i = 0; i < h + 2 * p; ++i)
        for (std::int64_t j = 0; j < w + 2 * p; ++j)
          add_run<T>(transpose, 1, px + (mirror(i - p, h) * w + mirror(j - p, w)) * c, py + (i * (w + 2 * p) + j) * c,
                     c);
    });
  });
}

void bilinear(bool transpose, View x, View y) {
  const std::int64_t h = x.dim[1], w = x.dim[2], c = x.dim[3], yh = y.dim[1], yw = y.dim[2];
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    for_images<T>(transpose, x, y, [&](T* px, T* py) {
      for (std::int64_t i = 0; i < yh; ++i) {
        const Taps v = taps(i, h, yh);
        for (std::int64_t j = 0; j < yw; ++j) {
          const Taps u = taps(j, w, yw);
          for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b)
              add_run<T>(transpose, static_cast<T>(v.weight[a] * u.weight[b]), px + (v.at[a] * w + u.at[b]) * c,
                         py + (i * yw + j) * c, c);
        }
      }
    });
  });
}

}  // namespace cpu
}  // namespace duel::kernels
