// R3GAN: its losses and their gradients, how its nets begin, and its schedules.
#include <doctest/doctest.h>

#include <numbers>

#include "engine/error.h"
#include "engine/optim.h"
#include "engine/schedule.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "tests/program.h"
#include "tests/small_models.h"
#include "tests/support.h"

namespace duel::test {
namespace {

std::unique_ptr<Model> r3gan(std::map<std::string, std::string> given, std::int64_t size = 28) {
  set_seed(3);
  const ModelInfo& info = find_model("r3gan");
  return info.make({size, size, 1, 0}, Settings(info.settings, given));
}
double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] && b[i]) s += sum(a[i] * b[i]).item();
  return s;
}
std::vector<Tensor> directions(const std::vector<Tensor>& like) {
  std::vector<Tensor> out;
  for (const Tensor& t : like) out.push_back(detach(normal(t.shape())));
  return out;
}

// df/dt at p + t d for t = 0, where f reads the parameters p themselves.
double difference(const std::vector<Tensor>& p, const std::vector<Tensor>& d, const std::function<double()>& f) {
  std::vector<Tensor> before;
  for (const Tensor& t : p) before.push_back(detach(t + 0.0));
  const auto at = [&](double t) {
    for (std::size_t i = 0; i < p.size(); ++i) assign(p[i], detach(before[i] + t * d[i]));
    return f();
  };
  // So small that hardly a unit passes the kink of its leaky ReLU on the way.
  const double h = 1e-7, slope = (at(h) - at(-h)) / (2 * h);
  at(0);
  return slope;
}

// The gradient of a loss, and the gradient of its gradient, along random directions.
void check_derivatives(const char* name, const std::vector<Tensor>& p, const std::function<Tensor()>& loss) {
  const std::vector<Tensor> u = directions(p), v = directions(p);
  const auto along_u = [&](Graph graph) {
    const std::vector<Tensor> g = grad(loss(), p, graph);
    Tensor s = full({}, 0);
    for (std::size_t i = 0; i < p.size(); ++i) s = s + sum(g[i] * u[i]);
    return s;
  };
  const double first = along_u(free_graph).item(), second = dot(grad(along_u(keep_graph), p), v);
  const double first_error = std::abs(difference(p, u, [&] { return loss().item(); }) / first - 1);
  const double second_error = std::abs(difference(p, v, [&] { return along_u(free_graph).item(); }) / second - 1);
  CHECK(std::abs(first) > 1e-3);
  CHECK(std::abs(second) > 1e-3);
  CHECK(first_error < 1e-5);
  CHECK(second_error < 1e-4);
  std::printf("r3gan: %s, first order within %.1g, second within %.1g of finite differences\n", name, first_error,
              second_error);
}

double deviation(const Tensor& w) { return std::sqrt(mean(square(convert(w, DType::f64))).item()); }

}  // namespace

TEST_CASE("r3gan: both losses, penalties included, against finite differences") {
  const FloatScope in_f64(DType::f64);
  const auto model = r3gan({{"width", "8"}, {"z-dim", "5"}});
  const Net g = net_of(*model, "G"), d = net_of(*model, "D");
  // Away from the beginning, where whole branches are zero.
  for (const Net& net : {g, d})
    for (const Tensor& t : net.parameters()) assign(t, detach(t + 0.1 * normal(t.shape())));
  const Tensor x = detach(uniform({2, 28, 28, 1}, -1, 1)), z = detach(normal({2, 5}));
  check_derivatives("D's loss with R1 and R2", d.parameters(), [&] {
    const Tensor real = detach(x), fake = detach(g(z)), d_real = d(real), d_fake = d(fake);
    const Tensor penalties = mean_square_slope(d_real, real) + mean_square_slope(d_fake, fake);
    return relativistic_discriminator(d_real, d_fake) + 0.5 * penalties;
  });
  check_derivatives("G's loss", g.parameters(), [&] { return relativistic_generator(d(x), d(g(z))); });
}

TEST_CASE("r3gan: an iteration reports the paper's losses") {
  const FloatScope in_f64(DType::f64);
  const double gamma = 0.3;
  const std::map<std::string, std::string> small{{"width", "8"}, {"z-dim", "5"}, {"gamma", "0.3"}, {"burn-in", "10"}};
  const auto model = r3gan(small), same = r3gan(small);
  const Net g = net_of(*same, "G"), d = net_of(*same, "D");
  const Tensor x = detach(uniform({3, 28, 28, 1}, -1, 1));

  Context a(5), b(5);
  const Batch batch{x, {}};
  Metrics found;
  {
    const ContextScope scope(a);
    found = model->step({&batch, 1});
  }
  const ContextScope scope(b);
  const Tensor fake = detach(g(normal({3, 5}))), d_real = d(x), d_fake = d(fake);
  double pairs = 0, slopes = 0;
  for (std::int64_t i = 0; i < 3; ++i) pairs += std::log1p(std::exp(slice(d_fake - d_real, 0, i, i + 1).item())) / 3;
  for (const Tensor& at : {x, fake})
    for (double v : grad(sum(d(at)), {at})[0].to_vector<double>()) slopes += v * v / 3;
  CHECK(found[0].second.item() == doctest::Approx(pairs + gamma / 2 * slopes).epsilon(1e-12));
  CHECK(found[2].second.item() == doctest::Approx(gamma / 2 * slopes).epsilon(1e-12));
  CHECK(slopes > 0);
  // G's loss comes after D's step and has noise of its own.
  const Net moved = net_of(*model, "D");
  const Tensor d_next = moved(x), d_made = moved(g(normal({3, 5})));
  double of_g = 0;
  for (std::int64_t i = 0; i < 3; ++i) of_g += std::log1p(std::exp(slice(d_next - d_made, 0, i, i + 1).item())) / 3;
  CHECK(found[1].second.item() == doctest::Approx(of_g).epsilon(1e-12));
}

TEST_CASE("r3gan: at first every branch adds nothing, and layers within are scaled by the number of blocks") {
  for (const auto& [net, all_blocks] : {std::pair{"small", 4.0}, std::pair{"cifar", 8.0}}) {
    INFO(net);
    const auto model = r3gan({{"width", "32"}, {"net", net}}, 32);
    const double gain = std::sqrt(2 / 1.04) / std::pow(all_blocks, 0.25);
    int blocks = 0;
    for (const NamedTensor& t : model->state()) {
      if (!t.name.starts_with("D.") && !t.name.starts_with("G.")) continue;
      if (t.name.ends_with("bias")) CHECK(deviation(t.value) == 0);
      if (t.name.ends_with(".2.weight") && t.name.size() > 10) {
        CHECK(deviation(t.value) == 0);
        ++blocks;
      }
      // Within four deviations of the estimate, 1 / sqrt(2n).
      const double fan_in = static_cast<double>(t.value.size() / t.value.dim(0));
      const double close = 4 / std::sqrt(2.0 * static_cast<double>(t.value.size()));
      if (t.name.size() > 10 && (t.name.ends_with(".0.weight") || t.name.ends_with(".1.weight")))
        CHECK(deviation(t.value) == doctest::Approx(gain / std::sqrt(fan_in)).epsilon(close));
    }
    CHECK(blocks == 2 * all_blocks);
    // What is left is linear.
    const Net d = net_of(*model, "D");
    const Tensor x = uniform({1, 32, 32, 1}, -1, 1);
    CHECK(d(3.0 * x).item() == doctest::Approx(3 * d(x).item()).epsilon(1e-4));
  }
}

TEST_CASE("r3gan: the nets of CIFAR-10 have the paper's size") {
  set_seed(1);
  const ModelInfo& info = find_model("r3gan");
  const auto model = info.make({32, 32, 3, 0}, Settings(info.settings, {{"net", "cifar"}}));
  // A block: 768 x 1536 twice, 1536 x 16 x 9 and two biases.
  const double block = 2 * 768 * 1536.0 + 1536 * 16 * 9 + 2 * 1536;
  const double count = 8 * block + 768 * 16 + 3 * 768;
  for (const auto& [name, of_ends] : {std::pair{"G", 64.0 * 768}, std::pair{"D", 768.0}}) {
    double n = 0;
    for (const Tensor& t : net_of(*model, name).parameters()) n += static_cast<double>(t.size());
    CHECK(n == count + of_ends);
  }
}

TEST_CASE("r3gan: schedules follow the iteration on the device") {
  const std::vector<std::uint8_t> pixels(4, 7);
  const std::vector<HostBatch> batches{{pixels.data(), nullptr, 1, 2, 2, 1}};
  int runs = 0;
  Step step([&](std::span<const Batch>) {
    ++runs;
    const Tensor s = cosine_progress(100);
    return Metrics{{"s", s}, {"decay", decay_of_part(0.999, s)}, {"none", cosine_progress(0)}};
  });
  for (const std::int64_t at : {0, 1, 25, 50, 99, 100, 5000}) {
    INFO(at);
    step.seek(at);
    const auto v = step(batches);
    const double t = std::min(static_cast<double>(at) / 100, 1.0), s = (1 - std::cos(std::numbers::pi * t)) / 2;
    CHECK(v[0] == doctest::Approx(s).epsilon(1e-4));
    // Half-lives in iterations: log(1/2) / log(decay).
    if (s > 0.001)
      CHECK(std::log(0.5) / std::log(v[1]) == doctest::Approx(s * std::log(0.5) / std::log(0.999)).epsilon(1e-3));
    if (s == 0) CHECK(v[1] == 0);
    CHECK(v[2] == 1);
  }
  CHECK(runs == 1);
  CHECK_THROWS_AS(cosine_progress(-1), Error);
  CHECK_THROWS_AS(decay_of_part(1, ones({1})), Error);
}

TEST_CASE("r3gan: an optimizer takes rates of the device, and so does an average") {
  const State one{{"p", full({1}, 0.5, DType::f64), Kind::parameter}},
      two{{"p", full({1}, 0.5, DType::f64), Kind::parameter}};
  Adam scheduled(one, {.lr = 7, .beta1 = 0, .beta2 = 0.1}), fixed(two, {.lr = 0.01, .beta1 = 0, .beta2 = 0.9});
  for (const double g : {0.3, -0.7, 2.0}) {
    scheduled.step({full({1}, g, DType::f64)}, {full({1}, 0.01, DType::f64), full({1}, 0.9, DType::f64)});
    fixed.step({full({1}, g, DType::f64)});
    CHECK(one[0].value.item() == two[0].value.item());
  }
  CHECK(scheduled.lr() == 7);
  CHECK_THROWS_AS(scheduled.step({full({1}, 1, DType::f64)}, {ones({2})}), Error);

  const Tensor average = full({2}, 1), source = full({2}, 3);
  ema_update({average}, {source}, full({1}, 0.75));
  CHECK(average.to_vector<double>() == std::vector<double>{1.5, 1.5});
}

TEST_CASE("r3gan: what it does not know is refused") {
  const Scratch in;
  const auto refused = [&](const Words& more, const std::string& what) {
    Words words{"train", "r3gan", "--out", "run", "--dry-run"};
    words.insert(words.end(), more.begin(), more.end());
    check_refused(in, words, what);
  };
  refused({"--size", "128"}, "r3gan: images are 128x128, expected 28, 32 or 64 pixels a side");
  refused({"--net", "large"}, "--net: found 'large', expected one of: small, cifar");
  refused({"--width", "12"}, "--width: found 12, expected a multiple of 8, or 1, 2 or 4");
  refused({"--burn-in", "-1"}, "--burn-in: found '-1', expected a whole number from 0");
  refused({"--beta2-end", "1"}, "--beta2-end: found '1', expected a number from 0");
}

}  // namespace duel::test
