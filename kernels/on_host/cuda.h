// The part of CUDA C++ that kernels use, for a compiler that knows none of it: keywords, built-in variables and types,
// barriers, warp operations, atomics. Included by kernels/gpu/cuda.h in place of cuda_runtime.h.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "kernels/on_host/executor.h"
#include "kernels/on_host/stream.h"

// ---- keywords
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

// ---- built-in types and variables
using uint3 = duel::on_host::Index3;
using dim3 = duel::on_host::Extent3;
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#define threadIdx ::duel::on_host::thread_index
#define blockIdx ::duel::on_host::block_index
#define blockDim ::duel::on_host::block_extent
#define gridDim ::duel::on_host::grid_extent
inline constexpr int warpSize = 32;

// ---- barriers and warp operations. Each call names its own place.
#define DUEL_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(DUEL_SITE) { duel::on_host::block_barrier({"__syncthreads", file, line}); }
inline int __syncthreads_or(int p, DUEL_SITE) {
  return duel::on_host::block_barrier({"__syncthreads_or", file, line}, p).any;
}
inline int __syncthreads_and(int p, DUEL_SITE) {
  return duel::on_host::block_barrier({"__syncthreads_and", file, line}, p).all;
}
inline int __syncthreads_count(int p, DUEL_SITE) {
  return duel::on_host::block_barrier({"__syncthreads_count", file, line}, p).count;
}

namespace duel::on_host {

// f(values) of all lanes of the mask; values[i] is what lane i brought.
template <class T, class F>
inline auto gather(std::uint32_t mask, const T& mine, Site site, F f) {
  static_assert(sizeof(T) <= 64 && std::is_trivially_copyable_v<T>);
  Meeting& m = meet(mask, &mine, sizeof(T), site);
  const auto result = f(reinterpret_cast<const T*>(m.slot));
  leave(m);
  return result;
}
template <class T>
inline T read_lane(std::uint32_t mask, const T& mine, unsigned source, Site site) {
  Meeting& m = meet(mask, &mine, sizeof(T), site);
  if (!(mask >> source & 1))
    fail(to_string(site) + " reads lane " + std::to_string(source) + ", which is not in its mask");
  T value;
  std::memcpy(&value, m.slot + source * sizeof(T), sizeof(T));
  leave(m);
  return value;
}

// One address for each declaration, and for each instance of a template that contains it.
template <class T, class Here>
inline T& shared(Here, const char* name) {
  static_assert(std::is_trivially_copyable_v<std::remove_all_extents_t<T>>);
  static const char key = 0;
  return *static_cast<T*>(shared_variable(&key, sizeof(T), std::max<std::size_t>(alignof(T), 16), name));
}

}  // namespace duel::on_host

inline void __syncwarp(unsigned mask = 0xffffffffu, DUEL_SITE) {
  duel::on_host::gather(mask, char{}, {"__syncwarp", file, line}, [](const char*) { return 0; });
}
template <class T>
inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, DUEL_SITE) {
  const unsigned base = duel::on_host::lane() & ~static_cast<unsigned>(width - 1);
  return duel::on_host::read_lane(mask, v, base | (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)),
                                  {"__shfl_sync", file, line});
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32, DUEL_SITE) {
  const unsigned lane = duel::on_host::lane(), source = lane ^ static_cast<unsigned>(x);
  const bool inside = source / static_cast<unsigned>(width) <= lane / static_cast<unsigned>(width);
  return duel::on_host::read_lane(mask, v, inside ? source : lane, {"__shfl_xor_sync", file, line});
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned distance, int width = 32, DUEL_SITE) {
  const unsigned lane = duel::on_host::lane();
  const bool inside = lane % static_cast<unsigned>(width) + distance < static_cast<unsigned>(width);
  return duel::on_host::read_lane(mask, v, inside ? lane + distance : lane, {"__shfl_down_sync", file, line});
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned distance, int width = 32, DUEL_SITE) {
  const unsigned lane = duel::on_host::lane();
  const bool inside = lane % static_cast<unsigned>(width) >= distance;
  return duel::on_host::read_lane(mask, v, inside ? lane - distance : lane, {"__shfl_up_sync", file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, DUEL_SITE) {
  return duel::on_host::gather(mask, predicate, {"__ballot_sync", file, line}, [mask](const int* v) {
    unsigned votes = 0;
    for (int i = 0; i < 32; ++i)
      if (mask >> i & 1 && v[i]) votes |= 1u << i;
    return votes;
  });
}
inline int __any_sync(unsigned mask, int predicate, DUEL_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, DUEL_SITE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
inline void __threadfence() { duel::on_host::thread_fence(); }
inline void __threadfence_block() {}

// ---- atomics. Relaxed, as on a GPU.
inline int atomicAdd(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* p, unsigned v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  unsigned old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, old >= limit ? 0 : old + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>  // 16, 32 or 64 bits
inline T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
namespace duel::on_host {
template <class Bits, class T>
inline T atomic_add(T* p, T v) {
  auto* bits = reinterpret_cast<Bits*>(p);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED), sum_bits;
  T value;
  do {
    std::memcpy(&value, &old, sizeof old);
    const T sum = value + v;
    std::memcpy(&sum_bits, &sum, sizeof sum);
  } while (!__atomic_compare_exchange_n(bits, &old, sum_bits, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return value;
}
}  // namespace duel::on_host
inline float atomicAdd(float* p, float v) { return duel::on_host::atomic_add<std::uint32_t>(p, v); }
inline double atomicAdd(double* p, double v) { return duel::on_host::atomic_add<std::uint64_t>(p, v); }

// ---- intrinsics
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
inline float __uint_as_float(unsigned u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
inline unsigned __float_as_uint(float f) {
  unsigned u;
  std::memcpy(&u, &f, 4);
  return u;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(std::uint64_t{a} * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }

// ---- launches
namespace duel::on_host {

template <auto kernel>
struct Registered {
  static std::size_t enter() { return register_kernel(__PRETTY_FUNCTION__); }
  inline static const std::size_t place = enter();
};

template <class T>
struct Same {
  using type = T;
};
template <auto kernel, class... P>
void launch_as(void (*)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, typename Same<P>::type... arguments) {
  const std::size_t place = Registered<kernel>::place;
  enqueue([=, pack = std::tuple<P...>(arguments...)]() mutable {
    run(
        place, grid, block, shared_bytes, [](void* p) { std::apply(kernel, *static_cast<std::tuple<P...>*>(p)); },
        &pack);
  });
}

}  // namespace duel::on_host
