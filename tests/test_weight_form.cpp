// What layers multiply with instead of their weights (engine/weight_form.h), and noise between layers.
#include <doctest/doctest.h>

#include "engine/bf16_copy.h"
#include "engine/net.h"
#include "tests/both_devices.h"
#include "tests/finite_differences.h"

namespace duel::test {
namespace {

Tensor drawn(const Shape& shape) { return detach(normal(shape, DType::f64)); }

// The largest singular value of a matrix with two rows, from the characteristic polynomial of its Gram matrix.
double largest_singular_value(const Tensor& rows) {
  const std::vector<double> gram = matmul(rows, rows, false, true).to_vector<double>();
  const double middle = (gram[0] + gram[3]) / 2, half = (gram[0] - gram[3]) / 2;
  return std::sqrt(middle + std::sqrt(half * half + gram[1] * gram[1]));
}
// The weight as (out,rest).
Tensor by_output(const Tensor& w, int out_axis) {
  if (out_axis == 0) return reshape(w, {w.dim(0), w.size() / w.dim(0)});
  const std::int64_t out = w.dim(out_axis);
  return transpose(reshape(w, {w.size() / out, out}));
}

struct Weight {
  Shape shape;
  int out_axis;
};
const std::vector<Weight> weights{{{2, 7}, 0}, {{2, 3, 3, 4}, 0}, {{4, 3, 3, 2}, 3}};

std::vector<double> buffers(const WeightForm& form) {
  State state;
  form.collect("0.", state);
  std::vector<double> all;
  for (const NamedTensor& t : state)
    for (double v : t.value.to_vector<double>()) all.push_back(v);
  return all;
}

}  // namespace

TEST_CASE("regularisers: spectral norm divides by the largest singular value") {
  set_seed(31);
  for (const Weight& k : weights) {
    INFO(to_string(k.shape));
    const Tensor w = drawn(k.shape);
    const auto form = spectral_form(w, k.out_axis);
    const double sigma = largest_singular_value(by_output(w, k.out_axis));
    Tensor y;
    for (int i = 0; i < 200; ++i) y = (*form)(w, true);
    CHECK(largest_singular_value(by_output(y, k.out_axis)) == doctest::Approx(1).epsilon(1e-9));
    CHECK(max_difference((y * sigma).to_vector<double>(), w.to_vector<double>()) < 1e-9);
    // Out of training u and v stay, and so does sigma.
    const std::vector<double> before = buffers(*form);
    CHECK(max_difference((*form)(w, false).to_vector<double>(), y.to_vector<double>()) < 1e-9);
    (*form)(w * 2.0, false);
    CHECK(buffers(*form) == before);
    // Another weight of the same shape: one step is on its way, many arrive. Halted, nothing is written.
    const Tensor other = drawn(k.shape);
    (*form)(other, true);
    CHECK(buffers(*form) != before);
    const Tensor& finite = current_context().finite;
    const std::vector<double> moved = buffers(*form);
    assign(finite, zeros({1}, DType::i32));
    (*form)(other, true);
    CHECK(buffers(*form) == moved);
    assign(finite, ones({1}, DType::i32));
    for (int i = 0; i < 400; ++i) y = (*form)(other, true);
    CHECK(largest_singular_value(by_output(y, k.out_axis)) == doctest::Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("regularisers: the gradients of weight forms, first and second order") {
  set_seed(32);
  for (const Weight& k : weights)
    for (const auto make : {spectral_form, normalised_form}) {
      const Tensor w = drawn(k.shape), r = drawn(k.shape);
      const auto form = make(w, k.out_axis);
      INFO(form->describe() << " " << to_string(k.shape));
      // With u and v as they are: the power iteration has no gradient.
      const Scalar f = [&](const std::vector<Tensor>& x) { return sum(square((*form)(x[0], false)) * r); };
      CHECK(directional_error(f, {w}) < 1e-7);
      CHECK(directional_error(gradients_of(f, {r}), {w}) < 1e-6);
      // Far from their limit, too: a call in training leaves the u and v that it took.
      const Tensor other = drawn(k.shape);
      const Tensor in_training = grad(sum((*form)(other, true) * r), {other})[0],
                   later = grad(sum((*form)(other, false) * r), {other})[0];
      CHECK(max_difference(in_training.to_vector<double>(), later.to_vector<double>()) < 1e-9);
    }
}

TEST_CASE("regularisers: a later forward pass leaves the gradient of an earlier one alone") {
  set_seed(33);
  const Tensor w = drawn({5, 6}), r = drawn({5, 6});
  const auto gradient = [&](int passes) {
    set_seed(34);
    const auto form = spectral_form(w, 0);
    const Tensor y = (*form)(w, true);
    for (int i = 1; i < passes; ++i) (*form)(w, true);
    return grad(sum(y * r), {w})[0].to_vector<double>();
  };
  CHECK(gradient(1) == gradient(5));
}

TEST_CASE("regularisers: weight norm keeps length and direction apart") {
  set_seed(35);
  for (const Weight& k : weights) {
    const Tensor v = drawn(k.shape);
    const auto form = normalised_form(v, k.out_axis);
    CHECK(max_difference((*form)(v, true).to_vector<double>(), v.to_vector<double>()) < 1e-12);
    State state;
    form->collect("", state);
    REQUIRE(state.size() == 1);
    CHECK(state[0].name == "g");
    CHECK(state[0].kind == Kind::parameter);
    const Tensor g = full({2}, 3, DType::f64);
    assign(state[0].value, g);
    const Tensor rows = by_output((*form)(v * 5.0, true), k.out_axis);
    CHECK(max_difference(norm_per_sample(rows).to_vector<double>(), {3, 3}) < 1e-12);
  }
}

TEST_CASE("regularisers: nets with weight forms and noise") {
  set_seed(36);
  Net d(init_kaiming, DType::f64);
  d.spectral_norm().conv(1, 4, 4, 2, 1, Act::leaky_relu).conv_transpose(4, 2, 3, 1, 1).flatten();
  d.weight_norm().linear(18, 3).weight_norm(false).linear(3, 1).gaussian_noise(0.5);
  std::vector<std::string> names;
  for (const NamedTensor& t : d.state()) names.push_back(t.name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "0.u", "0.v", "1.weight", "1.bias", "1.u", "1.v",
                                          "2.weight", "2.bias", "2.g", "3.weight", "3.bias"});
  CHECK(d.parameters().size() == 9);
  const auto rows = d.summary({6, 6, 1});
  CHECK(rows[0].what == "conv 4x4, stride 2, padding 1, spectral norm, leaky ReLU");
  CHECK(rows[3].what == "linear, weight norm");
  CHECK(rows[5].what == "noise, deviation 0.5");
  CHECK(rows[0].parameters == 68);

  const Tensor x = drawn({5, 6, 6, 1});
  CHECK(d(x).to_vector<double>() != d(x).to_vector<double>());
  d.set_training(false);
  const State before = d.state();
  std::vector<std::vector<double>> values;
  for (const NamedTensor& t : before) values.push_back(t.value.to_vector<double>());
  CHECK(d(x).to_vector<double>() == d(x).to_vector<double>());
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(before[i].value.to_vector<double>() == values[i]);

  Net noise;
  noise.gaussian_noise(0.5);
  const auto y = noise(zeros({100, 100})).to_vector<double>();
  double square = 0;
  for (double v : y) square += v * v;
  CHECK(std::sqrt(square / 1e4) == doctest::Approx(0.5).epsilon(0.03));
}

GPU_TEST("bf16: weight forms are of the f32 weights, rounded afterwards") {
  const auto run = [](Precision p, bool spectral) {
    const PrecisionScope scope(p);
    set_seed(37);
    Net net(init_kaiming);
    (spectral ? net.spectral_norm() : net.weight_norm()).conv(8, 16, 3, 1, 1, Act::leaky_relu).gaussian_noise(0.1);
    net.conv(16, 1, 4, 1, 0).flatten();
    for (const NamedTensor& t : net.state()) {
      CHECK(t.value.dtype() == DType::f32);
      const bool bias = t.name.ends_with("bias");
      CHECK(static_cast<bool>(stored_bf16_copy(t.value)) == (bias && p == Precision::bf16));
    }
    const Tensor x = detach(normal({3, 4, 4, 8}));
    std::vector<double> all;
    for (int i = 0; i < 3; ++i)
      for (double v : net(x).to_vector<double>()) all.push_back(v);
    for (const Tensor& g : grad(sum(square(net(x))), net.parameters())) {
      CHECK(g.dtype() == DType::f32);
      for (double v : g.to_vector<double>()) all.push_back(v);
    }
    return all;
  };
  for (const bool spectral : {true, false}) {
    const auto exact = run(Precision::f32, spectral), rounded = run(Precision::bf16, spectral);
    CHECK(max_difference(exact, rounded) <= 0.03 * (1 + max_abs(exact)));
    CHECK(exact != rounded);
  }
}

}  // namespace duel::test
