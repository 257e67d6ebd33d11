// Kernels called directly: on the CPU, and as CUDA, executed on the CPU and on a GPU where there is one.
#pragma once
#include <doctest/doctest.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "engine/context.h"
#include "kernels/on_host/executor.h"
#include "tests/on_device.h"
#include "tests/support.h"

namespace duel::test {

// Runs the body with new tensors on the device; without a GPU there is nothing to say about one.
template <class F>
void where_present(Device device, F body) {
  if (const std::string why = missing(device); !why.empty()) {
    std::printf("%s: not run: %s\n", name_of(device), why.c_str());
    return;
  }
  const DeviceScope scope(device);
  body(device);
}

// GPU_TEST("what") { ... } is a test case "cuda_host: what" and one "cuda: what"; its body knows its `device`.
#define GPU_TEST(title) GPU_TEST_AS(title, DOCTEST_ANONYMOUS(gpu_test_))
#define GPU_TEST_AS(title, body)                                                   \
  static void body(Device device);                                                 \
  TEST_CASE("cuda_host: " title) { test::where_present(Device::cuda_host, body); } \
  TEST_CASE("cuda: " title) { test::where_present(Device::cuda, body); }           \
  static void body([[maybe_unused]] Device device)

// How cuda_host orders the threads; a GPU has an order of its own.
struct OrderScope {
  explicit OrderScope(on_host::Order order, std::uint64_t seed = 7)
      : before(std::exchange(on_host::options(), {order, seed})) {}
  ~OrderScope() { on_host::options() = before; }
  on_host::Options before;
};
// Calls f() with the threads of cuda_host in each of the three orders.
template <class F>
void in_every_order(F f) {
  for (on_host::Order order : {on_host::Order::in_turn, on_host::Order::shuffled, on_host::Order::unfair}) {
    const OrderScope scope(order);
    f();
  }
}

// The same values on the CPU and on the device under test; there in another storage type where that is given.
struct Pair {
  Tensor cpu, gpu;
  Pair(const Shape& shape, const std::vector<double>& values, DType on_cpu, DType on_gpu)
      : gpu(from_vector(shape, values, on_gpu)) {
    const DeviceScope scope(Device::cpu);
    cpu = from_vector(shape, values, on_cpu);
  }
  Pair(const Shape& shape, const std::vector<double>& values, DType dtype) : Pair(shape, values, dtype, dtype) {}
  // How far the device is from the CPU, relative to the largest value.
  double error() const {
    const auto expected = cpu.to_vector<double>();
    return max_difference(gpu.to_vector<double>(), expected) / (1 + max_abs(expected));
  }
};

// What rounding x to nearest may make of it where it is stored: half a unit in the last place of bf16, at most.
inline double rounding(double x, DType stored) { return stored == DType::bf16 ? std::abs(x) / 256 : 0; }
// The largest |a - b| beyond that, relative to the largest value.
inline double error_as_stored(const std::vector<double>& a, const std::vector<double>& b, DType stored) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double e = std::abs(a[i] - b[i]) - rounding(b[i], stored);
    if (!(e <= worst)) worst = std::isnan(e) ? std::numeric_limits<double>::infinity() : e;
  }
  return worst / (1 + max_abs(b));
}

// Values that bf16 holds exactly.
inline std::vector<double> coarse(std::int64_t n, std::uint64_t seed) {
  const DeviceScope on_cpu(Device::cpu);
  Context context(seed);
  const ContextScope here(context);
  auto v = normal({n}).to_vector<double>();
  for (double& x : v) x = static_cast<double>(bf16(x));
  return v;
}

}  // namespace duel::test
