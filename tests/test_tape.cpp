// The tape itself: pruning, symbolic zeros, keeping and giving back graphs, third order, errors.
#include <doctest/doctest.h>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/tape.h"
#include "tests/support.h"

namespace duel::test {
namespace {

Tensor number(double v) { return full({}, v, DType::f64); }
// The kernels launched by f, by op name.
std::map<std::string, int> launches_of(const std::function<void()>& f) {
  std::map<std::string, int> count;
  launch_hook() = [&](const Launch& l) { ++count[l.op]; };
  f();
  launch_hook() = nullptr;
  return count;
}

}  // namespace

TEST_CASE("tape: gradients of any order of x^5") {
  Tensor x = number(1.3), y = x * x * x * x * x;
  double factor = 1, power = std::pow(1.3, 5);
  for (int order = 1; order <= 5; ++order) {
    y = grad(y, {x}, keep_graph)[0];
    factor *= 6 - order;
    power /= 1.3;
    CHECK(y.item() == doctest::Approx(factor * power).epsilon(1e-12));
  }
}

TEST_CASE("tape: third order through the fused batch norm agrees with differences of the second") {
  set_seed(2);
  Tensor x = detach(normal({6, 3}, DType::f64)), w = detach(normal({6, 3}, DType::f64));
  auto second = [&](const Tensor& at) {
    Tensor y = sum(w * tanh(batch_norm(at, {}, {})));
    Tensor g = grad(y, {at}, keep_graph)[0];
    return grad(sum(square(g)), {at}, keep_graph)[0];
  };
  Tensor h = second(x), direction = detach(normal({6, 3}, DType::f64));
  Tensor third = grad(sum(h * w), {x})[0];
  const double e = 1e-5;
  auto along = [&](double t) { return sum(second(detach(x + t * direction)) * w).item(); };
  const double numeric = (8 * (along(e) - along(-e)) - (along(2 * e) - along(-2 * e))) / (12 * e);
  CHECK(sum(third * direction).item() == doctest::Approx(numeric).epsilon(1e-6));
}

TEST_CASE("tape: only what lies on a path is computed") {
  Tensor x = ones({4, 3}), w = ones({2, 3}), b = ones({2});
  Tensor y = sum(square(linear(x, w, b)));
  auto n = launches_of([&] { grad(y, {x}); });
  CHECK(n["matmul"] == 1);  // no weight gradient
  CHECK(n["sum"] == 0);     // no bias gradient
}

TEST_CASE("tape: the second order of leaky ReLU is a symbolic zero") {
  Tensor x = ones({4, 3}), w = ones({2, 3});
  Tensor y = sum(leaky_relu(matmul(x, w, false, true), 0.2));
  Tensor g = grad(y, {x}, keep_graph)[0];
  Tensor penalty = sum(square(g));
  auto second = grad(penalty, {w, x}, free_graph);
  CHECK(static_cast<bool>(second[0]));
  CHECK_FALSE(static_cast<bool>(second[1]));  // towards x there is nothing, not a dense zero
}

TEST_CASE("tape: a used graph is given back unless it is kept") {
  Tensor x = number(2), y = square(x) * x;
  CHECK(grad(y, {x}, keep_graph)[0].item() == doctest::Approx(12));
  CHECK(grad(y, {x})[0].item() == doctest::Approx(12));
  CHECK_THROWS_WITH_AS(grad(y, {x}), doctest::Contains("keep_graph"), Error);
}

TEST_CASE("tape: memory is freed on the way and afterwards") {
  const std::size_t before = current_pool()->live_bytes();
  {
    Tensor x = ones({1000}), y = x;
    for (int i = 0; i < 20; ++i) y = sin(y);
    grad(sum(y), {x});
    Tensor z = sin(x);
    grad(sum(grad(sum(z), {x}, keep_graph)[0]), {x}, keep_graph);
  }
  CHECK(current_pool()->live_bytes() == before);
  Tensor x = ones({1});
  for (int i = 0; i < 100000; ++i) x = x + 1.0;  // a long chain is freed without recursion
  CHECK(x.item() == 100001);
}

TEST_CASE("tape: x twice, y among the xs, x unreachable, no gradient through detach") {
  Tensor x = number(3), z = number(1), y = x * x;
  auto g = grad(y, {x, y, z}, keep_graph);
  CHECK(g[0].item() == 6);
  CHECK(g[1].item() == 1);
  CHECK_FALSE(static_cast<bool>(g[2]));
  CHECK_FALSE(static_cast<bool>(grad(square(detach(x)), {x})[0]));
  NoGrad off;
  CHECK_FALSE(static_cast<bool>(grad(square(x), {x})[0]));
}

TEST_CASE("tape: errors name the op and what was found") {
  CHECK_THROWS_WITH_AS(grad(ones({2}), {ones({2})}), doctest::Contains("(2)"), Error);
  CHECK_THROWS_WITH_AS(add(ones({2}), ones({3})), "[add] cannot broadcast: (2) f32 with (3) f32", Error);
  CHECK_THROWS_WITH_AS(add(ones({2}), zeros({2}, DType::f64)), doctest::Contains("types differ"), Error);
  CHECK_THROWS_WITH_AS(conv2d(zeros({16, 32, 32, 32}), zeros({128, 4, 4, 64}), conv_options(2, 1)),
                       "[conv2d] x has 32 channels but w expects 64: x (16,32,32,32) f32, w (128,4,4,64) f32", Error);
  CHECK_THROWS_AS(matmul(zeros({2, 3}), zeros({2, 3})), Error);
  CHECK_THROWS_AS(reshape(zeros({2, 3}), {7}), Error);
  CHECK_THROWS_AS(batch_norm(zeros({2, 3}), zeros({4}), zeros({4})), Error);
  CHECK_THROWS_AS(slice(zeros({2, 3}), 1, 2, 4), Error);
  CHECK_THROWS_AS(Tensor().shape(), Error);
}

}  // namespace duel::test
