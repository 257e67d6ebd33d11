// Every row of the op table: first and second derivatives against finite differences in f64, and f32 on the fast path
// against f64 on the reference path.
#include <doctest/doctest.h>

#include <set>

#include "engine/context.h"
#include "engine/launch.h"
#include "engine/tape.h"
#include "tests/finite_differences.h"
#include "tests/op_table.h"
#include "tests/support.h"

namespace duel::test {
namespace {

Tensor input(const Shape& shape, Domain domain) {
  if (domain == Domain::positive) return uniform(shape, 0.5, 2.5, DType::f64);
  if (domain == Domain::unit) return uniform(shape, 0.1, 0.9, DType::f64);
  return normal(shape, DType::f64);
}
std::vector<Tensor> inputs_of(const OpCase& c) {
  std::vector<Tensor> xs;
  for (const Shape& s : c.shapes) xs.push_back(detach(input(s, c.domain)));
  return xs;
}
// L = <f(x), v>
Scalar first_order(const OpCase& c, const Tensor& v) {
  return [&c, v](const std::vector<Tensor>& x) { return sum(c.f(x) * v); };
}
// L = sum of <dL1/dx, u>, a function of x and of the cotangent v
Scalar second_order(const OpCase& c, const std::vector<Tensor>& u) {
  return [&c, u](const std::vector<Tensor>& xv) {
    const std::vector<Tensor> x(xv.begin(), xv.end() - 1);
    const std::vector<Tensor> g = grad(c.f(x), x, keep_graph, xv.back());
    Tensor s = full({}, 0, DType::f64);
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i]) s = s + sum(square(g[i]) * u[i]);
    return s;
  };
}

void collect_ops(const std::shared_ptr<Node>& node, std::set<const Node*>& seen, std::set<std::string>& ops) {
  if (!seen.insert(node.get()).second) return;
  if (node->op) ops.insert(node->op->name);
  for (const auto& input : node->inputs) collect_ops(input, seen, ops);
}

std::string title(const OpCase& c) {
  std::string s = c.op + " " + c.note;
  for (const Shape& shape : c.shapes) s += " " + to_string(shape);
  return s;
}

}  // namespace

TEST_CASE("ops: first and second order against finite differences, and every op has a row") {
  set_seed(7);
  std::set<std::string> used, rows;
  int first = 0, second = 0;
  for (const OpCase& c : op_cases()) {
    INFO(title(c));
    rows.insert(c.op);
    std::set<std::string> here;
    launch_hook() = [&](const Launch& l) { here.insert(l.op); };
    std::vector<Tensor> xs = inputs_of(c);
    Tensor y = c.f(xs);
    std::set<const Node*> seen;
    collect_ops(y.node(), seen, here);
    if (c.differentiable) {
      Tensor v = detach(normal(y.shape(), DType::f64));
      for (const Tensor& g : grad(y, xs, keep_graph, v))
        if (g) collect_ops(g.node(), seen, here);
      CHECK(directional_error(first_order(c, v), xs) < 1e-7);
      ++first;
      std::vector<Tensor> u;
      for (const Tensor& x : xs) u.push_back(detach(normal(x.shape(), DType::f64)));
      xs.push_back(v);
      CHECK(directional_error(second_order(c, u), xs) < 1e-6);
      ++second;
    }
    launch_hook() = nullptr;
    CHECK_MESSAGE(here.count(c.op) > 0, "the row does not use its op");
    used.insert(here.begin(), here.end());
  }
  for (const Op* op : all_ops()) CHECK_MESSAGE(rows.count(op->name) > 0, "op without a row: " << op->name);
  std::printf("ops: %zu registered, %d first-order and %d second-order checks\n", all_ops().size(), first, second);
}

TEST_CASE("ops: f32 on the fast path agrees with f64 on the reference path") {
  set_seed(8);
  int checked = 0;
  for (const OpCase& c : op_cases()) {
    INFO(title(c));
    std::vector<Tensor> wide = inputs_of(c), narrow;
    // Both see the same numbers: what f32 can hold.
    for (Tensor& x : wide) {
      narrow.push_back(detach(convert(x, DType::f32)));
      x = detach(convert(narrow.back(), DType::f64));
    }
    Tensor y64 = c.f(wide), y32 = c.f(narrow);
    REQUIRE(y32.shape() == y64.shape());
    const auto expected = y64.to_vector<double>();
    CHECK(max_difference(y32.to_vector<double>(), expected) <= 2e-5 * (1 + max_abs(expected)));
    if (!c.differentiable) continue;
    Tensor v = detach(normal(y64.shape(), DType::f32));
    const auto g64 = grad(y64, wide, free_graph, convert(v, DType::f64)), g32 = grad(y32, narrow, free_graph, v);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      REQUIRE(static_cast<bool>(g64[i]) == static_cast<bool>(g32[i]));
      if (!g64[i]) continue;
      const auto e = g64[i].to_vector<double>();
      CHECK(max_difference(g32[i].to_vector<double>(), e) <= 1e-4 * (1 + max_abs(e)));
    }
    ++checked;
  }
  std::printf("ops: %d rows agree between f32 and f64\n", checked);
}

}  // namespace duel::test
