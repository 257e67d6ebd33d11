// bfloat16: the upper half of an f32. Storage only: arithmetic is done in f32.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define DUEL_HD __host__ __device__
#else
#define DUEL_HD
#endif

namespace duel {

struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  // Rounded to nearest, ties to even; a NaN stays one.
  DUEL_HD explicit bf16(float f) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(f));
#else
    const auto u = __builtin_bit_cast(std::uint32_t, f);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? std::uint16_t{0x7fff}
                                           : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
  }
  template <class T>
  DUEL_HD explicit bf16(T v) : bf16(static_cast<float>(v)) {}
  DUEL_HD operator float() const { return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16); }
};
static_assert(sizeof(bf16) == 2);

}  // namespace duel
