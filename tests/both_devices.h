// Kernels called directly: on the CPU, and as CUDA executed on the CPU.
#pragma once
#include <utility>
#include <vector>

#include "engine/context.h"
#include "kernels/on_host/executor.h"
#include "tests/on_device.h"
#include "tests/support.h"

namespace duel::test {

// Calls f() with the threads of cuda_host in each of the three orders.
template <class F>
void in_every_order(F f) {
  const on_host::Options before = on_host::options();
  for (on_host::Order order : {on_host::Order::in_turn, on_host::Order::shuffled, on_host::Order::unfair}) {
    on_host::options() = {order, 7};
    f();
  }
  on_host::options() = before;
}

// The same values on the CPU and on cuda_host; the latter in another storage type where that is given.
struct Pair {
  Tensor cpu, gpu;
  Pair(const Shape& shape, const std::vector<double>& values, DType on_cpu, DType on_gpu) {
    {
      const DeviceScope scope(Device::cpu);
      cpu = from_vector(shape, values, on_cpu);
    }
    const DeviceScope scope(Device::cuda_host);
    gpu = from_vector(shape, values, on_gpu);
  }
  Pair(const Shape& shape, const std::vector<double>& values, DType dtype) : Pair(shape, values, dtype, dtype) {}
  // How far cuda_host is from the CPU, relative to the largest value.
  double error() const {
    const auto expected = cpu.to_vector<double>();
    return max_difference(gpu.to_vector<double>(), expected) / (1 + max_abs(expected));
  }
};

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
