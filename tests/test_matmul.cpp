// Matrix products: the fast path against the plain loops, and the plain loops against the formula.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/conv.h"
#include "kernels/matmul.h"

using namespace duel;
using kernels::View;

namespace {

template <class T>
std::vector<T> normals(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> v(static_cast<std::size_t>(n));
  for (T& value : v) value = static_cast<T>(normal(random));
  return v;
}

template <class T>
View view(std::vector<T>& v) {
  return {v.data(), sizeof(T) == 8 ? DType::f64 : DType::f32, 1, {static_cast<std::int64_t>(v.size())}};
}

// C starts as NaN: what a path forgets to write shows.
template <class T>
std::vector<T> multiply(const MatmulShape& s, std::vector<T>& a, std::vector<T>& b) {
  std::vector<T> c(static_cast<std::size_t>(s.batch * s.m * s.n), std::numeric_limits<T>::quiet_NaN());
  kernels::cpu::matmul(s, view(a), view(b), view(c));
  return c;
}

template <class T>
T element(const MatmulShape& s, const std::vector<T>& a, const std::vector<T>& b, std::int64_t q, std::int64_t i,
          std::int64_t j) {
  T sum = 0;
  for (std::int64_t p = 0; p < s.k; ++p) {
    const std::int64_t at_a = q * s.m * s.k + (s.transpose_a ? p * s.m + i : i * s.k + p);
    const std::int64_t at_b = q * s.k * s.n + (s.transpose_b ? j * s.k + p : p * s.n + j);
    sum += a[static_cast<std::size_t>(at_a)] * b[static_cast<std::size_t>(at_b)];
  }
  return sum;
}

std::vector<MatmulShape> shapes() {
  std::vector<MatmulShape> all;
  const std::int64_t sizes[][4] = {
      {1, 64, 48, 80}, {1, 17, 23, 31},  {1, 1, 40, 50},  {1, 40, 1, 50},    {1, 1, 1, 300}, {1, 30, 20, 1},
      {1, 1, 1, 1},    {1, 128, 3, 700}, {1, 3, 128, 77}, {6, 9, 7, 11},     {5, 1, 13, 19}, {5, 13, 1, 19},
      {4, 64, 64, 32}, {3, 100, 5, 64},  {2, 3, 4, 0},    {1, 64, 512, 100}, {0, 3, 4, 5},   {1, 0, 4, 5}};
  for (const auto& z : sizes)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) all.push_back({z[0], z[1], z[2], z[3], ta, tb});
  return all;
}

}  // namespace

TEST_CASE("matmul: the fast path agrees with the plain loops") {
  for (const MatmulShape& s : shapes()) {
    CAPTURE(s.batch);
    CAPTURE(s.m);
    CAPTURE(s.n);
    CAPTURE(s.k);
    CAPTURE(s.transpose_a);
    CAPTURE(s.transpose_b);
    auto a = normals<float>(s.batch * s.m * s.k, 1), b = normals<float>(s.batch * s.k * s.n, 2);
    kernels::cpu::use_reference(true);
    const auto expected = multiply(s, a, b);
    kernels::cpu::use_reference(false);
    const auto fast = multiply(s, a, b);
    const double bound = 2e-5 * std::sqrt(static_cast<double>(s.k));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < fast.size(); ++i) wrong += !(std::abs(fast[i] - expected[i]) <= bound);  // NaN is wrong
    CHECK(wrong == 0);
    CHECK(multiply(s, a, b) == fast);
  }
}

TEST_CASE("matmul: f64 is the formula") {
  for (const MatmulShape& s : shapes()) {
    auto a = normals<double>(s.batch * s.m * s.k, 3), b = normals<double>(s.batch * s.k * s.n, 4);
    const auto c = multiply(s, a, b);
    std::size_t at = 0, wrong = 0;
    for (std::int64_t q = 0; q < s.batch; ++q)
      for (std::int64_t i = 0; i < s.m; ++i)
        for (std::int64_t j = 0; j < s.n; ++j, ++at) wrong += !(std::abs(c[at] - element(s, a, b, q, i, j)) <= 1e-12);
    CHECK(wrong == 0);
  }
}

TEST_CASE("matmul: a NaN that goes in comes out") {
  const MatmulShape s{.m = 8, .n = 8, .k = 8};
  auto a = normals<float>(64, 5), b = normals<float>(64, 6);
  a[3] = std::numeric_limits<float>::quiet_NaN();
  const auto c = multiply(s, a, b);
  for (std::size_t j = 0; j < 8; ++j) CHECK(std::isnan(c[j]));
  for (std::size_t j = 8; j < 64; ++j) CHECK(!std::isnan(c[j]));
}
