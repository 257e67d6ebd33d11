// The matrix products of cuBLASLt. Compiled only where there is nvcc; works where the library is found when the program
// runs.
#pragma once
#include <compare>
#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu/tuner.h"
#include "kernels/matmul.h"

struct CUstream_st;

namespace duel::kernels {

// A matrix product as the engines know it; f32 or bf16 storage, sums in f32. tf32: f32 may be multiplied so.
struct MatmulCase {
  MatmulShape s;
  DType dtype = DType::f32;
  bool tf32 = false;
  auto operator<=>(const MatmulCase&) const = default;
};
std::string describe(const MatmulCase& c);  // "matmul f32 64x100 times 100x256, batch 1, nt"

struct CublasLtHandle;
class CublasLt {
 public:
  // For the GPU of this process; everything runs on `stream`. Error: std::runtime_error, one line.
  explicit CublasLt(CUstream_st* stream);
  // At most four, those that cuBLASLt thinks best first; none for a case that it does not know, or for k = 0. They take
  // memory at multiples of 16 bytes and share a workspace of their own: one stream runs one after the other.
  std::vector<Engine> engines(const MatmulCase& c) const;

 private:
  std::shared_ptr<const CublasLtHandle> handle_;
};

// "cuBLASLt 13.1.0: /usr/lib/libcublasLt.so.13", or why there is none; `why` alone: empty where it can be used.
std::string describe_cublas_lt();
std::string why_no_cublas_lt();

}  // namespace duel::kernels
