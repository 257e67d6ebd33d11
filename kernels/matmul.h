// Matrix products, one or a batch of them.
//
//   C[b] = op(A[b]) op(B[b])      C[b,i,j] = sum over p of A[b,i,p] * B[b,p,j]
//
// op(A[b]) is (m,k) and op(B[b]) is (k,n); with transpose_a, A[b] lies in memory as (k,m), with transpose_b, B[b] as
// (n,k). All three are dense and row-major, f32 or f64 alike (on a GPU f32 or bf16), and C overlaps neither A nor B.
// k = 0 gives zeros.
// f32 takes the fast path, f64 the reference loops; cpu::use_reference (conv.h) sends both there.
#pragma once
#include <compare>

#include "kernels/view.h"

namespace duel {

struct MatmulShape {
  std::int64_t batch = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;

  double flops() const { return 2.0 * static_cast<double>(batch * m * n) * static_cast<double>(k); }
  auto operator<=>(const MatmulShape&) const = default;
};

namespace kernels {

DUEL_KERNEL(matmul, MatmulShape s, View a, View b, View c);

// On a GPU, f32 products and convolutions can run on the tensor cores as tf32, whose mantissa has 10 bits: off unless a
// program asks for it.
namespace cuda_host {
void set_tf32(bool on);
}
#ifdef DUEL_CUDA
namespace cuda {
void set_tf32(bool on);
}
#endif
// On the CPU, oneDNN can round the operands of f32 products and convolutions to bf16: off unless a program asks for it.
// oneDNN then does so where the CPU has AMX, and computes in f32 elsewhere.
namespace cpu {
void set_bf16_products(bool on);
bool bf16_products();
bool has_amx();
}  // namespace cpu
#ifdef DUEL_CUDA
namespace cuda {
bool has_tensor_cores();
}
#endif
// Whether the device, if it is a GPU, multiplies bf16 and tf32 matrices.
inline bool has_tensor_cores([[maybe_unused]] Device device) {
#ifdef DUEL_CUDA
  if (device == Device::cuda) return cuda::has_tensor_cores();
#endif
  return true;
}
// For one of the two; the CPU knows no tf32.
inline void set_tf32(Device device, bool on) {
  if (device == Device::cuda_host) cuda_host::set_tf32(on);
#ifdef DUEL_CUDA
  if (device == Device::cuda) cuda::set_tf32(on);
#endif
}

}  // namespace kernels
}  // namespace duel
