// Optimizers against their formulas written out for one number, in f64.
#include <doctest/doctest.h>

#include <limits>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "tests/support.h"

namespace duel::test {
namespace {

struct One {
  State state;
  One(double p) : state{{"p", full({1}, p, DType::f64), Kind::parameter}} {}
  double value() const { return state[0].value.item(); }
};
std::vector<Tensor> gradient(double g) { return {full({1}, g, DType::f64)}; }
double sign(double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }

const double gradients[] = {0.3, -0.7, 0.01, 2.0};

}  // namespace

TEST_CASE("optim: SGD with momentum, Nesterov, L1 and L2") {
  for (bool nesterov : {false, true}) {
    One x(1.5);
    Sgd opt(x.state, {.lr = 0.1, .momentum = 0.9, .nesterov = nesterov, .common = {.l1 = 0.02, .l2 = 0.05}});
    double p = 1.5, m = 0;
    for (double g0 : gradients) {
      const double g = g0 + 0.05 * p + 0.02 * sign(p);
      m = 0.9 * m + g;
      p -= 0.1 * (nesterov ? g + 0.9 * m : m);
      opt.step(gradient(g0));
      CHECK(x.value() == doctest::Approx(p).epsilon(1e-12));
    }
  }
}

TEST_CASE("optim: an optimizer that restarts is as a new one, and keeps its memory once a gradient was not finite") {
  One x(1.5), y(1.5);
  Adam used(x.state, {.lr = 0.1}), fresh(y.state, {.lr = 0.1});
  for (double g : gradients) used.step(gradient(g));
  assign(x.state[0].value, y.state[0].value);
  used.restart();
  for (double g : gradients) {
    used.step(gradient(g));
    fresh.step(gradient(g));
    CHECK(x.value() == y.value());
  }
  Context failed(1);
  const ContextScope scope(failed);
  used.step(gradient(std::numeric_limits<double>::infinity()));
  used.restart();
  State memory;
  used.collect("", memory);
  for (const NamedTensor& t : memory)
    if (t.name.starts_with("m.")) CHECK(t.value.item() != 0);
}

TEST_CASE("optim: AdamW, and Adam with L2, differ as their formulas do") {
  for (bool decoupled : {false, true}) {
    One x(-0.8);
    AdamOptions o{.lr = 0.05, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    (decoupled ? o.weight_decay : o.common.l2) = 0.1;
    Adam opt(x.state, o);
    double p = -0.8, m = 0, v = 0, b1 = 1, b2 = 1;
    for (double g0 : gradients) {
      const double g = g0 + (decoupled ? 0 : 0.1 * p);
      m = 0.9 * m + 0.1 * g;
      v = 0.99 * v + 0.01 * g * g;
      b1 *= 0.9;
      b2 *= 0.99;
      p -= (decoupled ? 0.05 * 0.1 * p : 0) + 0.05 * (m / (1 - b1)) / (std::sqrt(v / (1 - b2)) + 1e-8);
      opt.step(gradient(g0));
      CHECK(x.value() == doctest::Approx(p).epsilon(1e-12));
    }
  }
}

TEST_CASE("optim: the gradient's norm is clipped over all parameters together") {
  State s{{"a", full({2}, 0, DType::f64), Kind::parameter}, {"b", full({1}, 0, DType::f64), Kind::parameter}};
  Sgd opt(s, {.lr = 1, .common = {.max_norm = 1}});
  opt.step({from_vector<double>({2}, {3, 0}, DType::f64), from_vector<double>({1}, {4}, DType::f64)});  // norm 5
  CHECK(s[0].value.to_vector<double>()[0] == doctest::Approx(-0.6));
  CHECK(s[1].value.item() == doctest::Approx(-0.8));
}

TEST_CASE("optim: an empty gradient leaves its parameter and moments alone; wrong shapes are refused") {
  State s{{"a", full({2}, 1, DType::f64), Kind::parameter}, {"b", full({1}, 1, DType::f64), Kind::parameter}};
  Adam opt(s, {.lr = 0.1});
  opt.step({Tensor(), full({1}, 1, DType::f64)});
  CHECK(s[0].value.to_vector<double>()[0] == 1);
  CHECK(s[1].value.item() < 1);
  CHECK_THROWS_AS(opt.step({Tensor()}), Error);
  CHECK_THROWS_AS(opt.step({full({3}, 1, DType::f64), Tensor()}), Error);
}

TEST_CASE("optim: more parameters than one pack, clipping of values, averages") {
  State s;
  for (int i = 0; i < 70; ++i) s.push_back({std::to_string(i), full({i % 3 + 1}, i, DType::f64), Kind::parameter});
  Sgd opt(s, {.lr = 1});
  std::vector<Tensor> g;
  for (const NamedTensor& t : s) g.push_back(full(t.value.shape(), 0.5, DType::f64));
  opt.step(g);
  for (int i = 0; i < 70; ++i) CHECK(s[static_cast<std::size_t>(i)].value.to_vector<double>().back() == i - 0.5);
  clip_values(tensors(s), -0.1, 40);
  CHECK(s[0].value.item() == -0.1);
  CHECK(s[69].value.to_vector<double>()[0] == 40);
  Tensor average = full({1}, 1, DType::f64), source = full({1}, 3, DType::f64);
  ema_update({average}, {source}, 0.9);  // at step 0 the warm-up weighs the average by 1/10
  CHECK(average.item() == doctest::Approx(0.1 * 1 + 0.9 * 3));
}

TEST_CASE("optim: initialisations have the variance they promise") {
  set_seed(3);
  const double fan_in = 300, fan_out = 100;
  auto deviation = [&](const Init& init) {
    double square = 0;
    const auto w = initial({100, 300}, init, fan_in, fan_out, DType::f64).to_vector<double>();
    for (double v : w) square += v * v / static_cast<double>(w.size());
    return std::sqrt(square);
  };
  CHECK(deviation(init_dcgan) == doctest::Approx(0.02).epsilon(0.03));
  CHECK(deviation(init_kaiming) == doctest::Approx(std::sqrt(2 / 1.04 / fan_in)).epsilon(0.03));
  CHECK(deviation(init_xavier) == doctest::Approx(std::sqrt(2 / (fan_in + fan_out))).epsilon(0.03));
  CHECK(deviation(init_default) == doctest::Approx(std::sqrt(1 / (3 * fan_in))).epsilon(0.03));
  Tensor q = initial({40, 5, 2, 9}, init_orthogonal, 90, 40, DType::f64);
  Tensor rows = reshape(q, {40, 90});
  const auto gram = matmul(rows, rows, false, true).to_vector<double>();
  for (int i = 0; i < 40; ++i)
    for (int j = 0; j < 40; ++j) CHECK(std::abs(gram[static_cast<std::size_t>(i * 40 + j)] - (i == j ? 1 : 0)) < 1e-10);
}

}  // namespace duel::test
