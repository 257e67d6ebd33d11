// What a kernel is given: plain views of memory that somebody else owns, and the table that picks its implementation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/bf16.h"
#include "kernels/device.h"

namespace duel {

enum class DType : std::uint8_t { f32, f64, i32, i64, u8, bf16 };

inline std::size_t size_of(DType t) {
  switch (t) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

inline constexpr int max_rank = 6;

namespace kernels {

// A dense array: row-major, the last axis varies fastest. Images are (N,H,W,C). Kernels trust it: the engine has
// checked shapes and types before it calls.
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  std::int64_t dim[max_rank] = {};

  std::int64_t size() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dim[i];
    return n;
  }
  std::int64_t last() const { return rank ? dim[rank - 1] : 1; }  // channels
  std::int64_t rows() const { return last() ? size() / last() : 0; }
  std::int64_t bytes() const { return data ? size() * static_cast<std::int64_t>(size_of(dtype)) : 0; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  explicit operator bool() const { return data != nullptr; }
};

// A kernel: its name and one implementation for each device. DUEL_KERNEL declares it once, in its family's header;
// an implementation that a build lacks is an error of the linker, not of a user's run.
template <class... Args>
struct Kernel {
  const char* name;
  void (*cpu)(Args...);
  void (*cuda_host)(Args...);
  void (*cuda)(Args...);  // null in builds without nvcc, which have no such device
  auto on(Device device) const { return device == Device::cpu ? cpu : device == Device::cuda_host ? cuda_host : cuda; }
};

template <class... Args>
constexpr Kernel<Args...> make_kernel(const char* name, void (*cpu)(Args...),
                                      std::type_identity_t<void (*)(Args...)> cuda_host,
                                      std::type_identity_t<void (*)(Args...)> cuda) {
  return {name, cpu, cuda_host, cuda};
}

#ifdef DUEL_CUDA
#define DUEL_DECLARE_CUDA(name, ...) \
  namespace cuda {                   \
  void name(__VA_ARGS__);            \
  }
#define DUEL_CUDA_POINTER(name) &cuda::name
#else
#define DUEL_DECLARE_CUDA(name, ...)
#define DUEL_CUDA_POINTER(name) nullptr
#endif

#define DUEL_KERNEL(name, ...)         \
  namespace cpu {                      \
  void name(__VA_ARGS__);              \
  }                                    \
  namespace cuda_host {                \
  void name(__VA_ARGS__);              \
  }                                    \
  DUEL_DECLARE_CUDA(name, __VA_ARGS__) \
  inline constexpr auto name =         \
      ::duel::kernels::make_kernel(#name, &cpu::name, &cuda_host::name, DUEL_CUDA_POINTER(name))

// Calls f with a value of the C++ type behind a dtype.
template <class F>
void dispatch_type(DType t, F f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::bf16:
      return f(bf16{});
  }
}
// The same for the floating-point ones.
template <class F>
void dispatch_float(DType t, F f) {
  if (t == DType::f64)
    f(double{});
  else
    f(float{});
}

}  // namespace kernels
}  // namespace duel
