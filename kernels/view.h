// What a kernel is given: plain views of memory that somebody else owns, and the table that picks its implementation.
#pragma once
#include <cstddef>
#include <cstdint>

namespace duel {

enum class Device : std::uint8_t { cpu };
enum class DType : std::uint8_t { f32, f64, i32, i64, u8 };

inline std::size_t size_of(DType t) {
  switch (t) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
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
  auto on(Device) const { return cpu; }
};

#define DUEL_KERNEL(name, ...) \
  namespace cpu {              \
  void name(__VA_ARGS__);      \
  }                            \
  inline constexpr auto name = ::duel::kernels::make_kernel(#name, &cpu::name)

template <class... Args>
constexpr Kernel<Args...> make_kernel(const char* name, void (*cpu)(Args...)) {
  return {name, cpu};
}

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
