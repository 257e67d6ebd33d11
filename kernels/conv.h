// The convolution triangle: one trilinear form, three kernels, each the gradient of the other two.
//
//   T(x, w, y) = sum over n,i,j,r,s,c,o of  x[n, i*S+r-P, j*S+s-P, c] * w[o, r, s, c] * y[n, i, j, o]
//
//   conv2d           y = dT/dy : (N,xh,xw,C), (O,kh,kw,C/groups) -> (N,yh,yw,O)
//   conv2d_transpose x = dT/dx : (N,yh,yw,O), (O,kh,kw,C/groups) -> (N,xh,xw,C)
//   conv2d_weight    w = dT/dw : (N,xh,xw,C), (N,yh,yw,O)        -> (O,kh,kw,C/groups)
//
// Indices of x outside [0,xh) x [0,xw) contribute nothing (zero padding). With groups, output channel o meets the
// input channels of its own group: c runs over [g*C/groups, (g+1)*C/groups) with g = o / (O/groups), and the last
// axis of w counts within the group.
#pragma once
#include <compare>

#include "kernels/view.h"

namespace duel {

// Both spatial sizes are fixed here, once, by the call that the user made; no size is ever guessed back.
struct ConvGeometry {
  std::int64_t n = 0, xh = 0, xw = 0, c = 0;  // x: images, height, width, channels
  std::int64_t yh = 0, yw = 0, o = 0;         // y: height, width, channels
  std::int64_t kh = 0, kw = 0;                // kernel height, width
  std::int64_t stride_h = 1, stride_w = 1;    // pixels of x between neighbouring pixels of y
  std::int64_t pad_top = 0, pad_left = 0;     // what lies below and right follows from the sizes
  std::int64_t groups = 1;

  std::int64_t group_c() const { return c / groups; }
  std::int64_t group_o() const { return o / groups; }
  // Multiplications and additions of the whole sum, padding counted as work.
  double flops() const { return 2.0 * static_cast<double>(n * yh * yw * o) * static_cast<double>(kh * kw * group_c()); }
  auto operator<=>(const ConvGeometry&) const = default;
};

namespace kernels {

inline constexpr std::int64_t largest_map = 32767;  // rows or columns of x and y

enum class ConvSlot : std::uint8_t { x, w, y };  // which corner of the triangle is computed

// The kernel writes `out` (the tensor of corner `slot`) from the two others, given in the order x, w, y without it:
// slot y: a = x, b = w.  slot x: a = w, b = y.  slot w: a = x, b = y.
// `workspace` holds at least conv_workspace() bytes; its contents are free to use and worthless afterwards.
// The workspace is for the number of OpenMP threads at that call; with more of them later, conv runs the slow loops.
// Types: f32 or f64, on a GPU f32 or bf16, all three alike. On the CPU f32 takes the fast path where there is one, f64
// always the reference loops.
DUEL_KERNEL(conv, ConvSlot slot, ConvGeometry g, View a, View b, View out, View workspace);

// A convolution as a layer has it, slots y and x only. With q the channel of `out`:
//   out[.., q] = act(v + bias[q]),  v the sum above;  act(t) = tanh(t), or t > 0 ? t : slope * t
//   mean[q] = the mean of out[.., q] over all pixels of all images, rstd[q] = 1 / sqrt(its variance + eps)
// bias (channels of out), of out's type: empty for none. mean, rstd (1, channels), f32 or with f64 f64: both empty
// where no batch norm follows. A GPU does all this while the sums are still in registers, where it can.
struct ConvFinish {
  double slope = 1;  // 1: no activation, 0: ReLU
  bool tanh = false;
  double eps = 0;
};
DUEL_KERNEL(conv_finished, ConvSlot slot, ConvGeometry g, ConvFinish finish, View a, View b, View bias, View out,
            View mean, View rstd, View workspace);

namespace cpu {
// Bytes of workspace that conv needs on this device; also builds and caches the primitive for this shape.
std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype);
// Switches the fast paths of this process off (true) or on: the tests compare one with the other.
void use_reference(bool on);
bool reference();
}  // namespace cpu

namespace cuda_host {
std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype, bool statistics);
}
#ifdef DUEL_CUDA
namespace cuda {
std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype, bool statistics);
}
#endif

// `statistics`: conv_finished is to write them.
inline std::size_t conv_workspace(Device device, ConvSlot slot, const ConvGeometry& g, DType dtype,
                                  bool statistics = false) {
  if (device == Device::cpu) return cpu::conv_workspace(slot, g, dtype);
#ifdef DUEL_CUDA
  if (device == Device::cuda) return cuda::conv_workspace(slot, g, dtype, statistics);
#endif
  return cuda_host::conv_workspace(slot, g, dtype, statistics);
}

}  // namespace kernels
}  // namespace duel
