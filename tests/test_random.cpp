#include <doctest/doctest.h>

#include "engine/context.h"
#include "kernels/random.h"
#include "tests/support.h"

namespace duel::test {

TEST_CASE("philox: the published known answers (Random123, kat_vectors)") {
  struct Answer {
    std::uint32_t counter[4], key[2], word[4];
  };
  const Answer answers[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                            {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                             {0xffffffff, 0xffffffff},
                             {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                            {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                             {0xa4093822, 0x299f31d0},
                             {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Answer& a : answers) {
    const std::uint64_t key = a.key[0] | std::uint64_t{a.key[1]} << 32;
    const kernels::Philox p = kernels::philox(a.counter, key);
    for (int i = 0; i < 4; ++i) CHECK(p.word[i] == a.word[i]);
  }
}

TEST_CASE("random numbers: moments, range, and what they depend on") {
  set_seed(5);
  const auto u = uniform({100000}).to_vector<double>(), g = normal({100000}).to_vector<double>();
  double mean_u = 0, mean_g = 0, square_g = 0, fourth_g = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    CHECK_FALSE((u[i] <= 0 || u[i] >= 1));
    mean_u += u[i] / 1e5;
    mean_g += g[i] / 1e5;
    square_g += g[i] * g[i] / 1e5;
    fourth_g += g[i] * g[i] * g[i] * g[i] / 1e5;
  }
  CHECK(std::abs(mean_u - 0.5) < 0.004);  // four standard errors
  CHECK(std::abs(mean_g) < 0.013);
  CHECK(std::abs(square_g - 1) < 0.018);
  CHECK(std::abs(fourth_g - 3) < 0.13);
  set_seed(5);
  const auto again = uniform({100000}).to_vector<double>();
  CHECK(max_difference(u, again) == 0);
  // The first elements do not depend on how many are drawn, and f64 holds the f32 values.
  set_seed(5);
  const auto few = uniform({7}, 0, 1, DType::f64).to_vector<double>();
  for (std::size_t i = 0; i < 7; ++i) CHECK(few[i] == u[i]);
  set_seed(6);
  CHECK(max_difference(u, uniform({100000}).to_vector<double>()) > 0.9);
}

}  // namespace duel::test
