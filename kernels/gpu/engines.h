// Engines of cuBLASLt and cuDNN behind the contracts of matmul.h and conv.h. Our own kernels ask here first.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/gpu/tuner.h"
#include "kernels/matmul.h"

namespace duel::kernels {

// There is no library, but for what a test puts in the place of one.
namespace cuda_host {
inline const Engine*& stand_in() {
  static const Engine* engine = nullptr;
  return engine;
}
inline std::optional<std::size_t> library_workspace(ConvSlot, const ConvGeometry&, DType) {
  return stand_in() ? std::optional(stand_in()->workspace) : std::nullopt;
}
inline bool library_conv(ConvSlot, const ConvGeometry&, View a, View b, View out, View workspace) {
  if (stand_in()) stand_in()->run(a, b, out, workspace);
  return stand_in() != nullptr;
}
inline bool library_matmul(const MatmulShape&, View, View, View) { return false; }
}  // namespace cuda_host

#ifdef DUEL_CUDA
namespace cuda {

// Bytes for the engine of a library that computes this convolution; none where it is our own kernel's work. The engine
// of a case is chosen when it is first asked for, which takes memory and time for trials. While the stream is captured
// into a graph nothing is chosen: then a case that is not known is our own kernel's.
std::optional<std::size_t> library_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype);
// Queues it, out = the sum of conv.h. False: nothing was done, and it is our own kernel's work; also where the operands
// do not lie at multiples of 16 bytes or the workspace is smaller than said.
bool library_conv(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, View workspace);
bool library_matmul(const MatmulShape& s, View a, View b, View c);

bool tf32_wanted();  // as set_tf32 left it

// What the functions above answer from now on. Without the libraries, `library` and `fastest` are as good as `own`.
void choose_engines(Prefer prefer, bool deterministic);
std::string why_no_libraries();            // for Prefer::library; empty where both can be used
std::vector<std::string> library_lines();  // for each: its version and path, or why it cannot be used
std::vector<std::string> dropped_engines();

}  // namespace cuda
#endif

}  // namespace duel::kernels
