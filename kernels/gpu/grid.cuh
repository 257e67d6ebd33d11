// Shapes of launches, and loops over them.
#pragma once
#include "kernels/gpu/cuda.h"
#include "kernels/view.h"

namespace duel::kernels::DUEL_GPU {

inline constexpr int block_threads = 256;

// Blocks of `per_block` items that cover n, at least one and at most `most`: enough to fill any GPU several times over,
// so that a grid-stride loop does the rest.
inline unsigned blocks_for(std::int64_t n, std::int64_t per_block = block_threads, std::int64_t most = 8192) {
  const std::int64_t blocks = (n + per_block - 1) / per_block;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

__device__ inline std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t all_threads() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

// 16 bytes that are read or written by one instruction. Tensors begin at multiples of 64 bytes.
template <class T>
struct alignas(16) Pack {
  static constexpr int count = 16 / static_cast<int>(sizeof(T));
  T at[16 / sizeof(T)];
};

// Calls f with a value of a type that kernels of a GPU compute on: f32, or bf16 where `bf16` is the storage (f64 stays
// on the CPU).
template <class F>
void dispatch_storage(DType t, F f) {
  if (t == DType::bf16)
    f(bf16{});
  else
    f(float{});
}

}  // namespace duel::kernels::DUEL_GPU
