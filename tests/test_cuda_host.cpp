// Every row of the op table through the CUDA kernels: executed on the CPU, and on a GPU where there is one.
// DUEL_ONLY=conv2d,matmul runs only the rows of these ops; DUEL_ORDER=in_turn|shuffled|unfair picks one order.
#include <doctest/doctest.h>

#include <cstdlib>
#include <utility>

#include "engine/context.h"
#include "engine/device.h"
#include "engine/step.h"
#include "kernels/on_host/executor.h"
#include "models/model.h"
#include "tests/on_device.h"
#include "tests/support.h"

namespace duel::test {
namespace {

bool wanted(const char* variable, const std::string& name) {
  const char* only = std::getenv(variable);
  return !only || ("," + std::string(only) + ",").find("," + name + ",") != std::string::npos;
}

struct OrderScope {
  explicit OrderScope(on_host::Options o) : before(std::exchange(on_host::options(), o)) {}
  ~OrderScope() { on_host::options() = before; }
  on_host::Options before;
};

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

// Without a GPU there is nothing to say about one.
bool gpu_is_missing() {
  const std::string why = missing(Device::cuda);
  if (!why.empty()) std::printf("cuda: not run: %s\n", why.c_str());
  return !why.empty();
}

constexpr double f32_tolerance = 1e-4, bf16_tolerance = 0.03;

}  // namespace

TEST_CASE("cuda_host: every row in f32, in three orders of the threads") {
  const std::pair<const char*, on_host::Options> orders[] = {{"in_turn", {on_host::Order::in_turn, 1}},
                                                             {"shuffled", {on_host::Order::shuffled, 2}},
                                                             {"unfair", {on_host::Order::unfair, 3}}};
  for (const auto& [name, order] : orders) {
    if (!wanted("DUEL_ORDER", name)) continue;
    const OrderScope scope(order);
    check_rows(Device::cuda_host, DType::f32, f32_tolerance);
  }
}
TEST_CASE("cuda_host: every row in bf16") {
  const OrderScope scope({on_host::Order::unfair, 4});
  check_rows(Device::cuda_host, DType::bf16, bf16_tolerance);
}
TEST_CASE("cuda: every row in f32") {
  if (!gpu_is_missing()) check_rows(Device::cuda, DType::f32, f32_tolerance);
}
TEST_CASE("cuda: every row in bf16") {
  if (!gpu_is_missing()) check_rows(Device::cuda, DType::bf16, bf16_tolerance);
}

}  // namespace duel::test
