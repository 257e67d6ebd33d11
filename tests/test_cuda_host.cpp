// Every row of the op table through the CUDA kernels, executed on the CPU, against the CPU in f64.
// DUEL_ONLY=conv2d,matmul runs only the rows of these ops; DUEL_ORDER=in_turn|shuffled|unfair picks one order.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/on_host/executor.h"
#include "tests/on_device.h"

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

void check_rows(DType dtype, on_host::Options order, double tolerance) {
  const OrderScope scope(order);
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
      error = worst_error(evaluate(c, n, Device::cuda_host, dtype), expected);
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
  std::printf("cuda-host: %d rows, worst error %.2g (%s)\n", rows, worst, where.c_str());
}

}  // namespace

TEST_CASE("cuda_host: every row in f32") {
  if (wanted("DUEL_ORDER", "in_turn")) check_rows(DType::f32, {on_host::Order::in_turn, 1}, 1e-4);
  if (wanted("DUEL_ORDER", "shuffled")) check_rows(DType::f32, {on_host::Order::shuffled, 2}, 1e-4);
  if (wanted("DUEL_ORDER", "unfair")) check_rows(DType::f32, {on_host::Order::unfair, 3}, 1e-4);
}

TEST_CASE("cuda_host: every row in bf16") { check_rows(DType::bf16, {on_host::Order::shuffled, 4}, 0.05); }

}  // namespace duel::test
