// The one product behind the matrix products and the convolution triangle on a GPU:
//
//   out[m, n] = sum over k of A[m, k] * B[k, n]
//
// One of A and B is an image from which the pixels of a grid gather through a window of taps, k or n being (tap,
// channel). No such matrix is ever written: its elements are fetched from where they lie. A plain matrix is an image of
// 1 x 1 pixels with one tap.
#pragma once
#include <cstdint>

#include "kernels/conv.h"
#include "kernels/gpu/cuda.h"
#include "kernels/matmul.h"
#include "kernels/view.h"

namespace duel::kernels::DUEL_GPU {

// n / divisor without a division, for 0 <= n < 2^31 (Granlund and Montgomery 1994).
struct Divider {
  int divisor = 1, shift = 0;
  unsigned multiplier = 0;

  Divider() = default;
  explicit Divider(std::int64_t d) : divisor(static_cast<int>(d)) {
    int log = 0;
    while ((std::int64_t{1} << log) < divisor) ++log;
    if (log == 0) return;
    multiplier = static_cast<unsigned>(((std::uint64_t{1} << (31 + log)) + static_cast<unsigned>(divisor) - 1) /
                                       static_cast<unsigned>(divisor));
    shift = log - 1;
  }
  __device__ int operator()(int n) const {
    return multiplier ? static_cast<int>(__umulhi(static_cast<unsigned>(n), multiplier) >> shift) : n;
  }
};

// How the grid of pixels and the image lie to each other along one axis: as y to x in conv.h, or the other way round.
// The other way, pixels of equal remainder by the stride form a phase, which meets only every stride-th tap; all phases
// are given the same number of pixels, and the last ones of some may lie outside.
struct Axis {
  int grid = 1, image = 1, kernel = 1, stride = 1, pad = 0;
  bool phased = false;
  __host__ __device__ int phases() const { return phased ? stride : 1; }  // also pixels from one of a phase to the next
  __device__ int step() const { return phased ? 1 : stride; }             // of the image, from pixel to pixel
  __device__ int tap_step() const { return phased ? -1 : 1; }             // of the image, from tap to tap of a phase
};

// One phase along one axis: pixel i lies at first_pixel + i*phases() of the grid, and its tap r is tap
// first_tap + r*phases() of the kernel, which meets row first + i*step() + r*tap_step() of the image.
struct Phase {
  int first_pixel, first_tap, taps, first;
};
__device__ inline Phase phase_of(const Axis& a, int phase) {
  if (!a.phased) return {0, 0, a.kernel, -a.pad};
  const int tap = (phase + a.pad) % a.stride;
  return {phase, tap, tap < a.kernel ? (a.kernel - tap + a.stride - 1) / a.stride : 0,
          (phase + a.pad - tap) / a.stride};
}

struct Gather {
  Axis h, w;
  Divider rows, columns;        // of a phase of the grid: pixel p is (image, row, column)
  int pixels = 0;               // of a phase, over all images
  Divider channels;             // of the image that one product meets
  std::int64_t pixel_step = 0;  // between neighbouring pixels of the image
  __host__ __device__ int phases() const { return h.phases() * w.phases(); }
};

// What becomes of a sum of channel q before it is stored, as in conv_finished; the bias has the result's type.
struct Finish {
  const void* bias = nullptr;
  float slope = 1;
  bool tanh = false;
  bool none() const { return !bias && slope == 1 && !tanh; }
};
template <class T>
__device__ inline float finished(const Finish& f, float sum, int q) {
  if (f.bias) sum += static_cast<float>(static_cast<const T*>(f.bias)[q]);
  return f.tanh ? tanhf(sum) : sum > 0 ? sum : f.slope * sum;
}

// The mean and the sum of squared deviations of every channel over the rows of every tile: pairs (channels, pieces),
// and how many rows a piece has.
struct Moments {
  float2* pairs = nullptr;
  float* counts = nullptr;
  int pieces = 0;
};

// Where the image is, and how the other operand lies. The names are those of the convolutions' slots.
//   y   A is the image (pixels, taps), B[k, n] = other[n*other_step + k]
//   x   A is the image (pixels, taps), B[k, n] = other[channel*other_step + tap*tap_step + n]
//   w   B is the image (pixels, taps) with k = pixel, A[m, k] = other[k*other_step + m]
using Form = ConvSlot;

// `batch` products side by side, their operands image_batch, ... elements apart. In the forms x and y row m of the
// result is pixel m of the grid, at out + (its place in the grid)*row_step; in form w it is at out + m*row_step.
// Column n is column_step further for each n.
struct Product {
  Gather gather;
  const void *image = nullptr, *other = nullptr;
  void* out = nullptr;
  int extent = 0;  // of the other operand: columns (x, y) or rows (w)
  std::int64_t other_step = 0, tap_step = 0;
  std::int64_t row_step = 0, column_step = 1;
  int batch = 1;
  std::int64_t image_batch = 0, other_batch = 0, out_batch = 0;
  std::int64_t out_size = 0;  // elements in all
  // In the forms x and y, whose columns are then the channels of the result. Tiles know no tanh.
  Finish finish;
  Moments moments;
};

// Few blocks with long sums are split along k: their partial sums lie one result after another in the workspace, and a
// second kernel adds them up in order. The bytes that this takes depend on the shape alone; with less it is not split.
std::size_t product_workspace(Form form, const Product& p, DType dtype);
void run_product(Form form, const Product& p, DType dtype, View workspace);
// How many pieces the moments of a result come in; 0: none can be had, because the sums are split along k.
int moment_pieces(Form form, const Product& p, DType dtype);

// C = op(A) op(B), as matmul, with a workspace.
std::size_t matmul_workspace(const MatmulShape& s, DType dtype);
void run_matmul(const MatmulShape& s, View a, View b, View c, View workspace);

}  // namespace duel::kernels::DUEL_GPU
