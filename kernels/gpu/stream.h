// The one stream of the GPU that all kernels and copies of this program go through.
#pragma once
#include <cstddef>

struct CUstream_st;

namespace duel::kernels::cuda {

// Queues a kernel; LAUNCH of kernels/gpu/cuda.h calls it. Errors: std::runtime_error with the runtime's own words.
void launch(const void* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
            unsigned block_z, std::size_t shared_bytes, void** arguments);

CUstream_st* stream();

// Whether the GPU multiplies bf16 and tf32 matrices (compute capability 8.0 and newer).
bool has_tensor_cores();

}  // namespace duel::kernels::cuda
