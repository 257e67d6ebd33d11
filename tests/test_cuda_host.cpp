// Every row of the op table through the CUDA kernels: executed on the CPU, and on a GPU where there is one.
// DUEL_ONLY=conv2d,matmul runs only the rows of these ops; DUEL_ORDER=in_turn|shuffled|unfair picks one order.
#include <doctest/doctest.h>

#include <cstdlib>
#include <utility>

#include "engine/context.h"
#include "engine/device.h"
#include "engine/error.h"
#include "engine/products.h"
#include "engine/step.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

bool wanted(const char* variable, const std::string& name) {
  const char* only = std::getenv(variable);
  return !only || ("," + std::string(only) + ",").find("," + name + ",") != std::string::npos;
}

void check_rows(Device device, DType dtype, double tolerance) {
  double worst = 0;
  int rows = 0;
  std::string where;
  for (const OpCase& c : op_cases()) {
    if (!wanted("DUEL_ONLY", c.op)) continue;
    INFO(title(c));
    const Numbers n = draw(c, dtype, 11);
    const Derivatives expected = evaluate(c, n, Device::cpu, DType::f64);
    double error = 0;
    try {
      error = worst_error(evaluate(c, n, device, dtype), expected);
    } catch (const std::exception& e) {
      FAIL_CHECK(std::string(e.what()));
      continue;
    }
    CHECK(error <= tolerance);
    if (!(error <= worst)) {
      worst = error;
      where = title(c);
    }
    ++rows;
  }
  std::printf("%s: %d rows in %s, worst error %.2g (%s)\n", name_of(device), rows, to_string(dtype).c_str(), worst,
              where.c_str());
}

constexpr double f32_tolerance = 1e-4, bf16_tolerance = 0.03;

}  // namespace

TEST_CASE("cuda_host: every row in f32, in three orders of the threads") {
  const std::pair<const char*, on_host::Order> orders[] = {
      {"in_turn", on_host::Order::in_turn}, {"shuffled", on_host::Order::shuffled}, {"unfair", on_host::Order::unfair}};
  for (const auto& [name, order] : orders) {
    if (!wanted("DUEL_ORDER", name)) continue;
    if (watches_races && order != on_host::Order::shuffled) continue;  // a race is found in any order
    const OrderScope scope(order);
    check_rows(Device::cuda_host, DType::f32, f32_tolerance);
  }
}
GPU_TEST("every row in bf16") {
  const OrderScope order(on_host::Order::unfair);
  check_rows(device, DType::bf16, bf16_tolerance);
}
// The engines of cuDNN and cuBLASLt, and the choice among them and our own kernels.
TEST_CASE("cuda: every row with the libraries' products") {
  where_present(Device::cuda, [](Device device) {
    ::setenv("DUEL_TUNER_CACHE", "", 0);  // what a test measures is nobody's
    for (const char* word : {"cudnn", "auto"}) {
      try {
        choose_products(word, false);
      } catch (const Error& e) {
        std::printf("cuda: not run: %s\n", e.what());
        continue;
      }
      check_rows(device, DType::f32, f32_tolerance);
      check_rows(device, DType::bf16, bf16_tolerance);
    }
    choose_products("own", false);
    for (const std::string& engine : dropped_products()) std::printf("cuda: not used: %s\n", engine.c_str());
  });
}
TEST_CASE("cuda: every row in f32") {
  where_present(Device::cuda, [](Device device) { check_rows(device, DType::f32, f32_tolerance); });
}

}  // namespace duel::test
