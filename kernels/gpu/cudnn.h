// The convolutions of cuDNN, by its graph interface. Compiled only where there is nvcc; works where the library is
// found when the program runs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/gpu/tuner.h"

struct CUstream_st;

namespace duel::kernels {

// A convolution as the engines know it; f32 or bf16 storage, sums in f32. tf32: f32 may be multiplied so.
struct ConvCase {
  ConvSlot slot = ConvSlot::y;
  ConvGeometry g;
  DType dtype = DType::f32;
  bool tf32 = false;
  auto operator<=>(const ConvCase&) const = default;
};
std::string describe(const ConvCase& c);  // "conv y f32 64x32x32x3 to 64x16x16x64, kernel 4x4, stride 2x2, ..."

struct CudnnTarget;
class Cudnn {
 public:
  // For the GPU of this process: everything runs on `stream`. Error: std::runtime_error, one line.
  explicit Cudnn(CUstream_st* stream);
  // For a GPU that is not here, described in cuDNN's own JSON: engines can be asked for, not run.
  explicit Cudnn(const std::string& gpu);

  // At most four, those that cuDNN thinks best first; none for a case that it does not know. Their `workspace` is at
  // most 256 MiB. They take memory at multiples of 16 bytes, the workspace of 256.
  std::vector<Engine> engines(const ConvCase& c) const;

 private:
  std::shared_ptr<const CudnnTarget> target_;
};

// "cuDNN 9.19.0: /usr/lib/libcudnn.so.9", or why there is none; `why` alone: empty where it can be used.
std::string describe_cudnn();
std::string why_no_cudnn();

}  // namespace duel::kernels
