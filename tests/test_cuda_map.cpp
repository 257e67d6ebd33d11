// The elementwise kernels alone: every function and type over all layouts, against the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernels/copy.h"
#include "kernels/elementwise.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using kernels::Map;

struct NamedMap {
  const char* name;
  Map f;
  int arity;
};
const std::vector<NamedMap>& all_maps() {
  static const std::vector<NamedMap> all{
#define DUEL_ROW(name, ...) {#name, Map::name, kernels::maps::name::arity},
      DUEL_MAPS_1(DUEL_ROW) DUEL_MAPS_2(DUEL_ROW) DUEL_MAPS_3(DUEL_ROW)
#undef DUEL_ROW
  };
  return all;
}

struct Shapes {
  Shape y;
  std::vector<Shape> operand;  // of y's rank
};

// Signs change, zeros come where `zeros` says so, logarithms and roots get positive numbers.
std::vector<double> values(std::int64_t n, int seed, Map f) {
  const bool positive = f == Map::log || f == Map::sqrt;
  const bool zeros = f == Map::where || f == Map::inverse_or_zero || f == Map::sign || f == Map::equal;
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t k = i * 7 + seed * 5 + i * i % 11;
    const double size = 0.25 + static_cast<double>(k % 17) / 8;
    v.push_back(zeros && k % 3 == 0 ? 0.0 : k % 2 && !positive ? -size : size);
  }
  return v;
}

std::vector<double> run(const NamedMap& m, const Shapes& s, const std::vector<std::vector<double>>& x, Device device,
                        DType dtype) {
  const DeviceScope scope(device);
  std::vector<Tensor> t;
  kernels::View v[3];
  for (int o = 0; o < m.arity; ++o) {
    t.push_back(from_vector(s.operand[static_cast<std::size_t>(o)], x[static_cast<std::size_t>(o)], dtype));
    v[o] = t.back().view();
  }
  Tensor y = full(s.y, 77, dtype);
  kernels::map.on(device)(m.f, -0.5, 0.75, v[0], v[1], v[2], y.view());
  return y.to_vector<double>();
}

const std::vector<Shapes>& layouts() {
  static const std::vector<Shapes> all{
      {{1}, {{1}, {1}, {1}}},
      {{7}, {{7}, {1}, {7}}},                    // less than a pack of bf16
      {{2051}, {{2051}, {2051}, {2051}}},        // packs and a rest, two blocks
      {{67, 32}, {{67, 32}, {1, 32}, {67, 1}}},  // rows of packs
      {{67, 32}, {{67, 1}, {67, 32}, {1, 1}}},
      {{9, 33}, {{9, 33}, {1, 33}, {9, 1}}},  // rows that begin inside of packs
      {{5, 12}, {{1, 12}, {5, 12}, {5, 1}}},  // packs of f32, not of bf16
      {{4, 3, 5}, {{4, 1, 5}, {1, 3, 5}, {4, 3, 1}}},
      {{2, 3, 4, 8}, {{2, 1, 4, 8}, {1, 3, 1, 8}, {2, 3, 4, 1}}},
      {{2, 1, 3, 2, 1, 16}, {{2, 1, 1, 2, 1, 16}, {1, 1, 3, 1, 1, 1}, {2, 1, 3, 2, 1, 16}}},
      {{2, 3, 2, 3, 2, 3}, {{1, 3, 1, 3, 1, 3}, {2, 1, 2, 1, 2, 1}, {2, 1, 1, 3, 2, 1}}},
      {{3, 40}, {{1, 1}, {1, 1}, {1, 1}}},
      {{0, 4}, {{0, 4}, {1, 4}, {0, 1}}},
  };
  return all;
}

bool agree(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance * (1 + std::abs(b));
}

}  // namespace

GPU_TEST("map, every function and layout") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const NamedMap& m : all_maps())
      for (const Shapes& s : layouts()) {
        std::vector<std::vector<double>> x;
        for (int o = 0; o < m.arity; ++o) x.push_back(values(s.operand[static_cast<std::size_t>(o)].size(), o, m.f));
        INFO(m.name << " " << to_string(dtype) << " " << to_string(s.y));
        const std::vector<double> expected = run(m, s, x, Device::cpu, DType::f64);
        CHECK(error_as_stored(run(m, s, x, device, dtype), expected, dtype) <= 2e-6);
      }
}

GPU_TEST("map of values that are not finite") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> special{0, -0.0, inf, -inf, nan, 1e30, -1e30, 1e-40, 1, -1, 90};
  const auto n = static_cast<std::int64_t>(special.size());
  const Shapes all_pairs{{n, n}, {{n, 1}, {1, n}, {n, 1}}};
  for (const NamedMap& m : all_maps()) {
    INFO(m.name);
    const std::vector<double> a = run(m, all_pairs, {special, special, special}, device, DType::f32),
                              b = run(m, all_pairs, {special, special, special}, Device::cpu, DType::f32);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      INFO(special[i / special.size()] << ", " << special[i % special.size()] << ": " << a[i] << " " << b[i]);
      CHECK(agree(a[i], b[i], 1e-5));
    }
  }
}

GPU_TEST("single numbers collected") {
  const Tensor parts[] = {full({}, 1.5, DType::f32), full({1}, -2.25, DType::f64), full({}, 0.5, DType::bf16),
                          full({1}, 7, DType::i32)};
  for (const int count : {0, 1, 4, kernels::Scalars::capacity}) {
    kernels::Scalars s;
    std::vector<double> expected;
    for (; s.count < count; ++s.count) {
      const Tensor& t = parts[s.count % 4];
      s.at[s.count] = t.storage()->data;
      s.dtype[s.count] = t.dtype();
      expected.push_back(t.item());
    }
    Tensor y = full({count}, -1, DType::f64);
    kernels::collect.on(device)(s, y.view());
    CHECK(y.to_vector<double>() == expected);
  }
}

GPU_TEST("map into its own operand") {
  std::vector<double> x, twice;
  for (int i = 0; i < 3 * 37; ++i) {
    x.push_back(i);
    twice.push_back(2.0 * i + i % 37);
  }
  Tensor a = from_vector({3, 37}, x), b = from_vector({1, 37}, std::vector<double>(x.begin(), x.begin() + 37));
  kernels::map.on(device)(Map::add, 0, 0, a.view(), a.view(), {}, a.view());
  kernels::map.on(device)(Map::add, 0, 0, a.view(), b.view(), {}, a.view());
  CHECK(a.to_vector<double>() == twice);
}

GPU_TEST("map of more than one pass of the grid") {
  const std::int64_t rows = 1700000, n = rows * 5;
  Tensor y = empty({rows, 5}), row = from_vector({1, 5}, std::vector<double>{1, 2, 3, 4, 5});
  kernels::map.on(device)(Map::affine, 2, 1, row.view(), {}, {}, y.view());
  const std::vector<float> v = y.to_vector<float>();
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < n; ++i) wrong += v[static_cast<std::size_t>(i)] != static_cast<float>(2 * (i % 5) + 3);
  CHECK(wrong == 0);
}

}  // namespace duel::test
