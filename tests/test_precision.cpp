// Nets in tf32 and bf16: the copies of their weights, their gradients and what they train to.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/bf16_copy.h"
#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/step.h"
#include "engine/tape.h"
#include "kernels/conv.h"
#include "kernels/matmul.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "tests/both_devices.h"
#include "tests/small_models.h"

namespace duel::test {
namespace {

// One layer of every kind that has parameters; 1x6x6 images.
Net every_layer() {
  Net net(init_dcgan);
  net.conv(1, 8, 3, 1, 1).batch_norm(8, Act::leaky_relu).conv_transpose(8, 2, 4, 2, 1, Act::tanh, true);
  return net.flatten().linear(2 * 12 * 12, 5, Act::leaky_relu).linear(5, 1);
}

std::vector<std::vector<double>> copies_of(const Net& net) {
  std::vector<std::vector<double>> all;
  for (const Tensor& p : net.parameters()) all.push_back(stored_bf16_copy(p).to_vector<double>());
  return all;
}
std::vector<std::vector<double>> rounded_masters(const Net& net) {
  std::vector<std::vector<double>> all;
  for (const Tensor& p : net.parameters()) {
    all.push_back(p.to_vector<double>());
    for (double& v : all.back()) v = static_cast<double>(bf16(v));
  }
  return all;
}
// Calls f(), which writes every parameter of the net.
template <class F>
void check_writer(const std::string& name, const Net& net, F f) {
  INFO(name);
  const auto before = copies_of(net);
  f();
  const auto after = copies_of(net);
  for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i] != before[i]);
  CHECK(after == rounded_masters(net));
}

std::vector<Tensor> like(const std::vector<Tensor>& xs, double deviation) {
  std::vector<Tensor> out;
  for (const Tensor& x : xs) out.push_back(detach(normal(x.shape(), 0, deviation)));
  return out;
}

const std::vector<std::uint8_t> pixels{3,  50,  99,  140, 7, 250, 31, 77, 0,  18,  222, 64,  5,  9,  81,  13,  55, 144,
                                       89, 233, 121, 212, 4, 46,  71, 17, 28, 254, 82,  190, 62, 34, 160, 194, 11, 205};

}  // namespace

GPU_TEST("bf16: whoever writes a parameter rounds its copy") {
  const PrecisionScope scope(Precision::bf16);
  set_seed(5);
  const Net net = every_layer(), other = every_layer();
  const std::vector<Tensor> w = net.parameters();
  CHECK(w.size() == 10);
  CHECK(copies_of(net) == rounded_masters(net));
  for (const NamedTensor& t : net.state())
    CHECK(static_cast<bool>(stored_bf16_copy(t.value)) == (t.kind == Kind::parameter));

  Adam adam(net, {.lr = 0.05});
  Rmsprop rmsprop(net, {.lr = 0.05});
  Sgd sgd(net, {.lr = 0.1});
  check_writer("Adam", net, [&] { adam.step(like(w, 1)); });
  check_writer("RMSprop", net, [&] { rmsprop.step(like(w, 1)); });
  check_writer("SGD", net, [&] { sgd.step(like(w, 1)); });
  check_writer("ema", net, [&] { ema_update(w, like(w, 2), 0.999); });
  check_writer("clip", net, [&] { clip_values(w, -0.011, 0.013); });
  check_writer("assign from a tensor", net, [&] {
    const std::vector<Tensor> from = like(w, 1);
    for (std::size_t i = 0; i < w.size(); ++i) assign(w[i], from[i]);
  });
  check_writer("assign through a view", net, [&] {
    for (const Tensor& p : w) assign(view_as(p, {p.size()}), full({p.size()}, 0.3));
  });
  check_writer("assign from the host", net, [&] {
    for (const Tensor& p : w) {
      const std::vector<float> values(static_cast<std::size_t>(p.size()), 1.2345678f);
      assign(p, values.data(), values.size() * sizeof(float));
    }
  });
  adam.step(like(other.parameters(), 1));
  check_writer("copy_state", net, [&] { copy_state(net.state(), other.state()); });
}

GPU_TEST("bf16: copies follow replayed iterations, and stay when these are halted") {
  const PrecisionScope scope(Precision::bf16);
  set_seed(6);
  Net net = every_layer(), average = every_layer();
  Rmsprop opt(net, {.lr = 0.01});
  const Tensor scale = full({}, 1);
  Step step([&](std::span<const Batch> b) {
    const Tensor loss = mean(square(net(b[0].images))) * scale;
    opt.step(grad(loss, net.parameters()));
    clip_values(net.parameters(), -0.5, 0.5);
    ema_update(tensors(average.state()), tensors(net.state()), 0.9);
    return Metrics{{"loss", loss}};
  });
  const std::vector<HostBatch> batches{{pixels.data(), nullptr, 1, 6, 6, 1}};
  for (int i = 0; i < 3; ++i) {
    const auto before = copies_of(net), average_before = copies_of(average);
    step(batches);
    CHECK(copies_of(net) != before);
    CHECK(copies_of(average) != average_before);
    CHECK(copies_of(net) == rounded_masters(net));
    CHECK(copies_of(average) == rounded_masters(average));
  }
  const float infinite = std::numeric_limits<float>::infinity();
  assign(scale, &infinite, sizeof infinite);
  const auto before = copies_of(net);
  step(batches);
  CHECK_FALSE(step.finite());
  CHECK(copies_of(net) == before);
}

GPU_TEST("bf16: gradients of both orders are those of weights converted in place, and f32") {
  const PrecisionScope scope(Precision::bf16);
  set_seed(7);
  Net d(init_kaiming);
  d.conv(1, 8, 4, 2, 1, Act::leaky_relu).conv(8, 1, 3, 1, 0, Act::none).flatten();
  const std::vector<Tensor> w = d.parameters();
  const Critic plain = [&](const Tensor& x) {
    const auto narrow = [](const Tensor& t) { return convert(t, DType::bf16); };
    Tensor h = conv2d(narrow(x), narrow(w[0]), conv_options(2, 1), {.bias = narrow(w[1]), .act = Act::leaky_relu});
    h = conv2d(h, narrow(w[2]), conv_options(1, 0), {.bias = narrow(w[3])});
    return convert(reshape(h, {x.dim(0), 1}), DType::f32);
  };
  const Tensor x = detach(normal({3, 6, 6, 1})), y = detach(normal({3, 6, 6, 1}));
  const auto derivatives = [&](const Critic& critic) {
    std::vector<std::vector<double>> all;
    const auto add = [&](const Tensor& loss) {
      CHECK(loss.dtype() == DType::f32);
      all.push_back(loss.to_vector<double>());
      for (const Tensor& g : grad(loss, w)) {
        // The last bias has no part in the penalty.
        all.push_back(g ? g.to_vector<double>() : std::vector<double>{});
        if (g) CHECK(g.dtype() == DType::f32);
      }
    };
    add(wasserstein_critic(critic(x), critic(y)));
    add(gradient_penalty_at(critic, x, 10));
    add(r1_penalty(critic, y, 10));
    // The gradients towards the weights once more.
    Tensor squares = full({}, 0);
    for (const Tensor& g : grad(mean(square(critic(x))), w, keep_graph)) squares = squares + sum(square(g));
    add(squares);
    return all;
  };
  const auto with_copies = derivatives(d);
  CHECK(with_copies == derivatives(plain));
  double penalty_slope = 0;
  for (double v : with_copies[6]) penalty_slope = std::max(penalty_slope, std::abs(v));
  CHECK(penalty_slope > 0);

  const Net f32 = [] {
    const PrecisionScope exact(Precision::f32);
    return Net().linear(2, 1);
  }();
  CHECK_FALSE(stored_bf16_copy(f32.parameters()[0]));
  CHECK_THROWS_AS(keep_bf16_copy(full({2}, 1, DType::i32)), Error);
}

GPU_TEST("bf16: batch norm's running statistics are f32, and inference computes with them") {
  set_seed(8);
  const Tensor x = detach(normal({16, 3, 3, 8}, 0.5, 2));
  const auto outputs = [&](Precision p) {
    const PrecisionScope scope(p);
    set_seed(9);
    Net net(init_dcgan);
    net.batch_norm(8, Act::leaky_relu);
    for (int i = 0; i < 20; ++i) net(x);
    for (const NamedTensor& t : net.state()) CHECK(t.value.dtype() == DType::f32);
    net.set_training(false);
    return net(x).to_vector<double>();
  };
  const auto exact = outputs(Precision::f32);
  CHECK(error_as_stored(outputs(Precision::bf16), exact, DType::bf16) < 0.01);
}

TEST_CASE("precision: oneDNN takes bf16 for the products of f32 tensors, and rounds no more than that") {
  const auto results = [](bool on) {
    kernels::cpu::set_bf16_products(on);
    std::vector<std::vector<double>> all;
    const auto tensor = [](const Shape& s, std::uint64_t seed) {
      Context context(seed);
      const ContextScope here(context);
      return detach(normal(s));
    };
    const Tensor x = tensor({4, 16, 16, 32}, 1), w = tensor({64, 4, 4, 32}, 2);
    const Tensor y = conv2d(x, w, conv_options(2, 1));
    all.push_back(y.to_vector<double>());
    for (const Tensor& g : grad(y, {x, w}, free_graph, tensor(y.shape(), 3))) all.push_back(g.to_vector<double>());
    all.push_back(matmul(tensor({64, 256}, 4), tensor({256, 128}, 5)).to_vector<double>());
    kernels::cpu::set_bf16_products(false);
    return all;
  };
  const auto exact = results(false), rounded = results(true);
  double worst = 0;
  for (std::size_t i = 0; i < exact.size(); ++i)
    worst = std::max(worst, max_difference(rounded[i], exact[i]) / max_abs(exact[i]));
  CHECK(worst < 0.01);
  CHECK(results(false) == exact);
  // Without AMX the program refuses bf16, because it would do nothing.
  if (!kernels::cpu::has_amx()) CHECK(worst == 0);
  std::printf("precision: oneDNN's products in bf16 %s AMX, worst difference %.2g of the largest value\n",
              kernels::cpu::has_amx() ? "with" : "without", worst);
}

// Three iterations in less than f32 beside f32: the worst difference of a value, of the largest of that name.
GPU_TEST("training: every model in tf32 and bf16 about as in f32, replayed and eager") {
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    const auto run = [&](Precision p, bool eager) {
      const PrecisionScope scope(p);
      Trainer t(info.name, small().at(info.name), 8);
      t.step.set_eager(eager);
      std::vector<std::vector<double>> iterations;
      for (int i = 0; i < 3; ++i) iterations.push_back(t.iterate());
      return std::pair(iterations, whole_state(*t.model));
    };
    const auto exact = run(Precision::f32, false);
    for (const Precision p : {Precision::tf32, Precision::bf16}) {
      const auto found = run(p, false);
      CHECK(found == run(p, true));
      CHECK(found != exact);
      double worst = 0;
      for (std::size_t m = 0; m < exact.first[0].size(); ++m) {
        // infogan's third value is the information of its category: log 10 less an entropy, at first nearly nothing.
        double largest = info.name == "infogan" && m == 2 ? std::log(10.0) : 0, difference = 0;
        for (std::size_t i = 0; i < 3; ++i) {
          largest = std::max(largest, std::abs(exact.first[i][m]));
          difference = std::max(difference, std::abs(found.first[i][m] - exact.first[i][m]));
        }
        worst = std::max(worst, difference / largest);
      }
      // With its clipped weights wgan's scores are small differences, which bf16 rounds (as in the golden runs).
      CHECK(worst <= (p == Precision::bf16 && info.name == "wgan" ? 0.2 : 0.05));
      std::printf("%s: %-8s in %s within %.2g of f32\n", name_of(device), info.name.c_str(),
                  p == Precision::tf32 ? "tf32" : "bf16", worst);
    }
  }
}

}  // namespace duel::test
