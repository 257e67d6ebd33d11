// The reduction and softmax kernels alone, at the edges of their tiles, against the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using kernels::Reduce;
using kernels::Softmax;

constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();

struct Extents {
  std::int64_t outer, n, inner;
};

// Multiples of 1/16 in [-3, 3): bf16 holds them.
std::vector<double> values(std::int64_t size) {
  std::vector<double> v;
  std::uint32_t state = 12345;
  for (std::int64_t i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    v.push_back(static_cast<double>(state >> 8) / (1 << 24) * 6 - 3);
    v.back() = std::floor(v.back() * 16) / 16;
  }
  return v;
}

std::vector<double> reduced(Reduce f, const Extents& e, const std::vector<double>& x, Device device, DType dtype) {
  const DeviceScope scope(device);
  Tensor in = from_vector({e.outer, e.n, e.inner}, x, dtype), y = full({e.outer, e.inner}, 77, dtype), scratch;
  const std::int64_t pieces = device == Device::cpu ? 1 : kernels::reduce_pieces(e.outer, e.n, e.inner);
  if (pieces > 1) scratch = empty({e.outer, pieces, e.inner});
  kernels::reduce.on(device)(f, e.outer, e.n, e.inner, in.view(), scratch ? scratch.view() : kernels::View{}, y.view());
  return y.to_vector<double>();
}
std::vector<double> largest(const Extents& e, const std::vector<double>& x, Device device, DType dtype) {
  const DeviceScope scope(device);
  Tensor in = from_vector({e.outer, e.n, e.inner}, x, dtype), y = full({e.outer, e.inner}, 77, DType::i32);
  kernels::argmax.on(device)(e.outer, e.n, e.inner, in.view(), y.view());
  return y.to_vector<double>();
}
std::vector<double> soft(Softmax f, std::int64_t rows, std::int64_t n, const std::vector<double>& x, Device device,
                         DType dtype) {
  const DeviceScope scope(device);
  Tensor in = from_vector({rows, n}, x, dtype), y = full({rows, f == Softmax::logsumexp ? 1 : n}, 77, dtype);
  kernels::softmax.on(device)(f, in.view(), y.view());
  return y.to_vector<double>();
}

const Extents shapes[] = {{1, 1, 1},     {3, 0, 5},     {0, 4, 2},      {2, 4, 0},     {2, 7, 1},     {5, 64, 1},
                          {9, 33, 1},    {700, 12, 1},  {70000, 2, 1},  {3, 2, 33},    {40, 2, 96},   {2000, 5, 3},
                          {300, 8, 6},   {2, 3, 1000},  {1, 6, 40000},  {2, 50, 260},  {1, 64, 8},    {1, 37, 31},
                          {4, 24, 12},   {1, 70001, 1}, {1, 131072, 1}, {2, 65536, 1}, {1, 40000, 3}, {1, 4099, 16},
                          {1, 3000, 70}, {3, 900, 37},  {1, 2048, 128}, {30, 500, 100}};

}  // namespace

GPU_TEST("reduce at the edges of tiles") {
  for (const Extents& e : shapes) {
    const std::vector<double> x = values(e.outer * e.n * e.inner);
    for (const Reduce f : {Reduce::sum, Reduce::sum_squares, Reduce::max, Reduce::min}) {
      const std::vector<double> expected = reduced(f, e, x, Device::cpu, DType::f64);
      for (const DType dtype : {DType::f32, DType::bf16}) {
        INFO(static_cast<int>(f) << " " << e.outer << " " << e.n << " " << e.inner << " " << to_string(dtype));
        const std::vector<double> y = reduced(f, e, x, device, dtype);
        if (e.n == 0) {
          CHECK(y == expected);
          continue;
        }
        CHECK(error_as_stored(y, expected, dtype) <= (f == Reduce::max || f == Reduce::min ? 0 : 2e-6));
      }
    }
    for (const DType dtype : {DType::f32, DType::bf16}) {
      INFO("argmax " << e.outer << " " << e.n << " " << e.inner << " " << to_string(dtype));
      CHECK(largest(e, x, device, dtype) == largest(e, x, Device::cpu, DType::f64));
    }
  }
}

GPU_TEST("the order of threads does not change a sum") {
  for (const Extents& e : {Extents{1, 70001, 1}, Extents{1, 40000, 3}, Extents{3, 900, 37}, Extents{9, 33, 1}}) {
    std::vector<double> x = values(e.outer * e.n * e.inner);
    for (double& v : x) v = std::sin(1000 * v);
    std::vector<std::vector<double>> sums;
    in_every_order([&] { sums.push_back(reduced(Reduce::sum, e, x, device, DType::f32)); });
    CHECK(sums[0] == sums[1]);
    CHECK(sums[0] == sums[2]);
  }
}

GPU_TEST("reduce and argmax of NaN") {
  for (const Extents& e : {Extents{1, 40, 1}, Extents{1, 100, 3}, Extents{1, 40000, 1}, Extents{1, 20000, 3}})
    for (const std::int64_t at : {std::int64_t{0}, e.n / 2, e.n - 1}) {
      std::vector<double> x = values(e.n * e.inner);
      x[static_cast<std::size_t>(at * e.inner)] = nan;
      for (const Device d : {Device::cpu, device}) {
        INFO(e.n << " " << e.inner << " " << at << " " << name_of(d));
        for (const Reduce f : {Reduce::sum, Reduce::sum_squares, Reduce::max, Reduce::min}) {
          const std::vector<double> y = reduced(f, e, x, d, DType::f32);
          CHECK(std::isnan(y[0]));
          for (std::size_t i = 1; i < y.size(); ++i) CHECK(std::isfinite(y[i]));
        }
        CHECK(largest(e, x, d, DType::f32)[0] == static_cast<double>(at));
      }
    }
  const Extents e{1, 50, 1};
  CHECK(largest(e, std::vector<double>(50, -inf), device, DType::f32)[0] == 0);
  CHECK(largest(e, std::vector<double>(50, nan), device, DType::f32)[0] == 0);
}

GPU_TEST("softmax at the edges of rows") {
  for (const auto& [rows, n] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {3, 5}, {9, 32}, {17, 40}, {2, 1024}, {3, 1025}, {2, 1032}, {1, 5000}, {3, 2304}, {0, 4}}) {
    std::vector<double> x = values(rows * n);
    // exp of them is beyond f32, on either side
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = x[i] * 8 + (i / static_cast<std::size_t>(n) % 2 ? 64 : -64);
    for (std::size_t i = 0; i + 1 < x.size(); i += 7) x[i] = i % 2 ? -inf : x[i];
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::bf16)
        for (double& v : x) v = static_cast<double>(static_cast<float>(bf16(v)));
      for (const Softmax f : {Softmax::softmax, Softmax::log_softmax, Softmax::logsumexp}) {
        INFO(static_cast<int>(f) << " " << rows << " " << n << " " << to_string(dtype));
        const std::vector<double> expected = soft(f, rows, n, x, Device::cpu, DType::f64);
        in_every_order([&] {
          const std::vector<double> y = soft(f, rows, n, x, device, dtype);
          REQUIRE(y.size() == expected.size());
          for (std::size_t i = 0; i < y.size(); ++i) {
            const double tolerance = 2e-6 * (1 + std::abs(expected[i])) + rounding(expected[i], dtype);
            if (y[i] != expected[i]) CHECK(std::abs(y[i] - expected[i]) <= tolerance);
          }
        });
      }
    }
  }
}

GPU_TEST("softmax of rows without a finite value") {
  for (const double value : {-inf, inf, nan})
    for (const Softmax f : {Softmax::softmax, Softmax::log_softmax, Softmax::logsumexp})
      for (const double v : soft(f, 2, 9, std::vector<double>(18, value), device, DType::f32)) CHECK(std::isnan(v));
}

}  // namespace duel::test
