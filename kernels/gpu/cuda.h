// The one header that every kernel file (.cu) includes. nvcc compiles the file for a GPU, into namespace cuda; the C++
// compiler compiles the same file for execution on the CPU (kernels/on_host), into namespace cuda_host.
//
//   DUEL_GPU                                  the namespace of this compilation: cuda or cuda_host
//   SHARED(name, type)                        a __shared__ variable of a block, uninitialised
//   DYNAMIC_SHARED(type, name)                the shared memory whose size the launch gives
//   LAUNCH((kernel<T>), grid, block, shared bytes, arguments...)    in place of kernel<T><<<...>>>(...)
#pragma once
#include <cstdint>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#include "kernels/gpu/stream.h"

#define DUEL_GPU cuda
namespace duel::kernels::cuda {
template <class T>
struct Same {
  using type = T;
};
template <class... P>
void launch_as(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
               typename Same<P>::type... arguments) {
  void* pointers[] = {static_cast<void*>(&arguments)..., nullptr};
  launch(reinterpret_cast<const void*>(kernel), grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes,
         pointers);
}
}  // namespace duel::kernels::cuda
#define LAUNCH(kernel, ...) ::duel::kernels::cuda::launch_as(kernel, __VA_ARGS__)
#define SHARED(name, ...) __shared__ typename ::duel::kernels::cuda::Same<__VA_ARGS__>::type name
#define DYNAMIC_SHARED(T, name)                                       \
  extern __shared__ __align__(128) unsigned char duel_shared_bytes[]; \
  T* name = reinterpret_cast<T*>(duel_shared_bytes)

#else

#include "kernels/on_host/cuda.h"

#define DUEL_GPU cuda_host
namespace duel::kernels::cuda_host {
inline bool has_tensor_cores() { return true; }
}  // namespace duel::kernels::cuda_host
#define LAUNCH(kernel, ...) ::duel::on_host::launch_as<(kernel)>(kernel, __VA_ARGS__)
#define SHARED(name, ...) auto& name = ::duel::on_host::shared<__VA_ARGS__>([] {}, #name)
#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::duel::on_host::dynamic_shared())

#endif
