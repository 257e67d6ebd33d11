// Elementwise maps y[i] = f(a[i], b[i], c[i]) with broadcasting. Each function is written once, here, as an expression
// of its operands a, b, c and its constants p, q; every device compiles the same lines.
#pragma once
#include <cmath>

#include "kernels/view.h"

namespace duel::kernels {

// clang-format off
// f(a)
#define DUEL_MAPS_1(X)                                                          \
  X(affine, p * a + q)                                                          \
  X(exp, std::exp(a))                                                           \
  X(log, std::log(a))                                                           \
  X(sqrt, std::sqrt(a))                                                         \
  X(square, a * a)                                                              \
  X(abs, std::abs(a))                                                           \
  X(sign, a > 0 ? T(1) : a < 0 ? T(-1) : T(0))                                  \
  X(reciprocal, T(1) / a)                                                       \
  X(inverse_or_zero, a != 0 ? T(1) / a : T(0))                                  \
  X(tanh, std::tanh(a))                                                         \
  X(sigmoid, a >= 0 ? T(1) / (T(1) + std::exp(-a)) : std::exp(a) / (T(1) + std::exp(a))) \
  X(softplus, (a > 0 ? a : T(0)) + std::log1p(std::exp(-std::abs(a))))          \
  X(leaky_relu, a > 0 ? a : p * a)                                              \
  X(elu, a > 0 ? a : std::expm1(a))                                             \
  X(erf, std::erf(a))                                                           \
  X(sin, std::sin(a))                                                           \
  X(cos, std::cos(a))                                                           \
  X(clamp, a < p ? p : a > q ? q : a)                                           \
  X(inside, a >= p && a <= q ? T(1) : T(0))
// f(a, b)
#define DUEL_MAPS_2(X)                                                          \
  X(add, a + b)                                                                 \
  X(sub, a - b)                                                                 \
  X(mul, a * b)                                                                 \
  X(div, a / b)                                                                 \
  X(minimum, b < a ? b : a)                                                     \
  X(maximum, a < b ? b : a)                                                     \
  X(less, a < b ? T(1) : T(0))                                                  \
  X(greater, a > b ? T(1) : T(0))                                               \
  X(equal, a == b ? T(1) : T(0))                                                \
  X(bias_leaky_relu, a + b > 0 ? a + b : p * (a + b))                           \
  X(bias_tanh, std::tanh(a + b))                                                \
  X(leaky_relu_grad, b > 0 ? a : p * a)                                         \
  X(tanh_grad, a * (T(1) - b * b))                                              \
  X(sigmoid_grad, a * b * (T(1) - b))
// f(a, b, c)
#define DUEL_MAPS_3(X)                                                          \
  X(where, a != 0 ? b : c)                                                      \
  X(lerp, a + c * (b - a))
// clang-format on

enum class Map : std::uint8_t {
#define DUEL_NAME(name, ...) name,
  DUEL_MAPS_1(DUEL_NAME) DUEL_MAPS_2(DUEL_NAME) DUEL_MAPS_3(DUEL_NAME)
#undef DUEL_NAME
};

namespace maps {
#define DUEL_FUNCTOR_1(name, ...)                                             \
  struct name {                                                               \
    static constexpr int arity = 1;                                           \
    template <class T>                                                        \
    DUEL_HD static T apply(T a, [[maybe_unused]] T p, [[maybe_unused]] T q) { \
      return __VA_ARGS__;                                                     \
    }                                                                         \
  };
#define DUEL_FUNCTOR_2(name, ...)                                                  \
  struct name {                                                                    \
    static constexpr int arity = 2;                                                \
    template <class T>                                                             \
    DUEL_HD static T apply(T a, T b, [[maybe_unused]] T p, [[maybe_unused]] T q) { \
      return __VA_ARGS__;                                                          \
    }                                                                              \
  };
#define DUEL_FUNCTOR_3(name, ...)                                                       \
  struct name {                                                                         \
    static constexpr int arity = 3;                                                     \
    template <class T>                                                                  \
    DUEL_HD static T apply(T a, T b, T c, [[maybe_unused]] T p, [[maybe_unused]] T q) { \
      return __VA_ARGS__;                                                               \
    }                                                                                   \
  };
DUEL_MAPS_1(DUEL_FUNCTOR_1)
DUEL_MAPS_2(DUEL_FUNCTOR_2)
DUEL_MAPS_3(DUEL_FUNCTOR_3)
#undef DUEL_FUNCTOR_1
#undef DUEL_FUNCTOR_2
#undef DUEL_FUNCTOR_3
}  // namespace maps

// y = f(a, b, c; p, q), all f32 or all f64. Operands beyond the function's arity are empty views. Each operand has
// y's rank, and on each axis y's extent or 1 (broadcast). y may be the same memory as an operand of y's own shape.
DUEL_KERNEL(map, Map f, double p, double q, View a, View b, View c, View y);

}  // namespace duel::kernels
