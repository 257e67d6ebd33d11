// Random numbers by Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// One block maps a 128-bit counter and a 64-bit key to four 32-bit words. Here
//   key     = the seed
//   counter = (element / 4: 64 bits, call site: 32 bits, step: 32 bits)
// and element i takes word i % 4 of its block. So a value depends on (seed, call site, step, i) alone: not on the
// device, nor on how the work was split, and a run resumes from integers only.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/view.h"

namespace duel::kernels {

struct Philox {
  std::uint32_t word[4];
};

DUEL_HD inline Philox philox(const std::uint32_t (&counter)[4], std::uint64_t key) {
  std::uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[0] = n0;
    c[1] = static_cast<std::uint32_t>(p1);
    c[2] = n2;
    c[3] = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c[0], c[1], c[2], c[3]}};
}

DUEL_HD inline Philox philox(std::uint64_t seed, std::uint64_t block, std::uint32_t site, std::uint32_t step) {
  const std::uint32_t counter[4] = {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), site,
                                    step};
  return philox(counter, seed);
}

// In the open interval (0, 1): the middles of 2^23 equal parts, each exact in f32.
DUEL_HD inline float uniform_from(std::uint32_t w) { return (static_cast<float>(w >> 9) + 0.5f) * 0x1p-23f; }

enum class Random : std::uint8_t { uniform, normal };

// The values of one block: its words as uniforms, or words 0,1 and 2,3 in pairs as normals. Products and sums are fused
// on every device, so that uniforms are the same everywhere; logarithms and angles differ in their last bits.
DUEL_HD inline void four_values(Random f, const Philox& p, float low, float high, float (&v)[4]) {
  for (int i = 0; i < 4; ++i) v[i] = uniform_from(p.word[i]);
  if (f == Random::uniform) {
    for (int i = 0; i < 4; ++i) v[i] = std::fma(high - low, v[i], low);
    return;
  }
  for (int i = 0; i < 4; i += 2) {
    const float radius = std::sqrt(-2.0f * std::log(v[i])), angle = 6.28318530717958647692f * v[i + 1];
    v[i] = std::fma(high * radius, std::cos(angle), low);
    v[i + 1] = std::fma(high * radius, std::sin(angle), low);
  }
}

// y[i] = low + (high - low) * u, u in (0,1);  or mean low and standard deviation high of a normal distribution
// (Box and Muller 1958, words 0,1 and 2,3 in pairs). f64 gets the f32 values widened.
// `step` holds one i64: it lives on the device because it changes from replay to replay.
DUEL_KERNEL(random, Random f, std::uint64_t seed, std::uint32_t site, double low, double high, View step, View y);

}  // namespace duel::kernels
