// A Step: replayed and eager iterations agree to the bit, a replay allocates nothing, and the arithmetic is what it
// should be.
#include <doctest/doctest.h>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "tests/both_devices.h"
#include "tests/count_allocations.h"
#include "tests/small_models.h"

namespace duel::test {

TEST_CASE("step: replayed and eager iterations give the same bits, for every model") {
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    REQUIRE(small().count(info.name) > 0);
    Trainer a(info.name, small().at(info.name), 6), b(info.name, small().at(info.name), 6);
    b.step.set_eager(true);
    for (int i = 0; i < 5; ++i) CHECK(a.iterate() == b.iterate());
    CHECK(whole_state(*a.model) == whole_state(*b.model));
    // Sampling in between moves nothing.
    a.model->sample(a.model->noise(3));
    CHECK(a.iterate() == b.iterate());
    CHECK(whole_state(*a.model) == whole_state(*b.model));
  }
}

// Losses of three iterations of the smallest nets on the CPU, and replayed and eager on another device.
void check_models(Device other, double tolerance) {
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    const auto run = [&](Device device, bool eager) {
      const DeviceScope scope(device);
      Trainer t(info.name, small().at(info.name), 8);
      t.step.set_eager(eager);
      std::vector<double> losses;
      for (int i = 0; i < 3; ++i)
        for (double v : t.iterate()) losses.push_back(v);
      return losses;
    };
    const std::vector<double> here = run(Device::cpu, false), there = run(other, false);
    REQUIRE(here.size() == there.size());
    double worst = 0;
    for (std::size_t i = 0; i < here.size(); ++i) {
      const double error = std::abs(there[i] - here[i]) / (1e-3 + std::abs(here[i]));
      CHECK(error <= tolerance);
      worst = std::max(worst, error);
    }
    CHECK(run(other, true) == there);
    std::printf("%s: %-8s agrees with the CPU within %.2g of each loss\n", name_of(other), info.name.c_str(), worst);
  }
}

GPU_TEST("training: every model as on the CPU, replayed and eager") { check_models(device, 1e-4); }

namespace {

// The metrics of 7 iterations, `ahead` of them in flight; the batches live only until the next ones are asked for.
std::vector<double> in_flight(const std::string& name, std::size_t ahead, bool resident) {
  Trainer t(name, small().at(name), 4);
  t.data = Dataset(make_glyphs(200, 3), 4, true);
  if (resident) t.data.make_resident();
  std::vector<double> all;
  std::int64_t taken = 0;
  const auto take = [&] {
    const Step::Outcome o = t.step.take();
    CHECK(o.iteration == taken++);
    CHECK(o.finite);
    all.insert(all.end(), o.values.begin(), o.values.end());
  };
  for (int i = 0; i < 7; ++i) {
    t.step.submit(t.data.next(t.model->batches_per_step(), t.batch));
    while (t.step.in_flight() > ahead) take();
  }
  while (t.step.in_flight() > 0) take();
  CHECK(taken == 7);
  return all;
}
void check_in_flight(const std::string& name) {
  INFO(name);
  const std::vector<double> expected = in_flight(name, 0, false);
  CHECK(in_flight(name, Step::most_in_flight - 1, false) == expected);
  CHECK(in_flight(name, Step::most_in_flight - 1, true) == expected);
  CHECK(in_flight(name, 0, true) == expected);
}
}  // namespace

GPU_TEST("training: iterations in flight and resident images change no bit") {
  check_in_flight("gan");
  check_in_flight("wgan-gp");
}
TEST_CASE("step: iterations in flight and resident images change no bit") {
  check_in_flight("dcgan");
  check_in_flight("wgan");
}
TEST_CASE("step: what is submitted has to be taken") {
  Trainer t("gan", small().at("gan"), 4);
  CHECK_THROWS_WITH_AS(t.step.take(), "step: no iteration is in flight", Error);
  for (std::size_t i = 0; i < Step::most_in_flight; ++i) t.step.submit(t.data.next(1, 4));
  CHECK_THROWS_WITH_AS(t.step.submit(t.data.next(1, 4)), "step: 3 iterations are in flight already", Error);
  CHECK_THROWS_WITH_AS(t.step(t.data.next(1, 4)), "step: 3 submitted iterations were not taken", Error);
  CHECK(t.step.iteration() == 3);
  CHECK(t.step.take().iteration == 0);
}

GPU_TEST("training: steady iterations allocate no tensor") {
  for (const auto& [name, settings] : small()) {
    INFO(name);
    Trainer t(name, settings, 4);
    for (int i = 0; i < 3; ++i) t.iterate();
    const std::uint64_t before = allocation_count();
    for (int i = 0; i < (device == Device::cuda ? 100 : 5); ++i) t.iterate();
    CHECK(allocation_count() == before);
  }
}

TEST_CASE("step: 100 steady iterations allocate nothing") {
  for (const auto& [name, settings] : small()) {
    INFO(name);
    Trainer t(name, settings, 4);
    for (int i = 0; i < 3; ++i) t.iterate();
    const std::uint64_t before = allocation_count();
    long total = 0, library = 0;
    for (int i = 0; i < 100; ++i) {
      const auto batches = t.data.next(t.model->batches_per_step(), t.batch);
      CountAllocations here;
      t.step(batches);
      total += here.count();
    }
    CHECK(allocation_count() == before);  // memory of tensors
    // oneDNN allocates a few bytes of bookkeeping inside each call; all the rest must be nothing.
    for (const Launch& l : t.step.launches()) {
      if (!l.is_product()) continue;
      CountAllocations here;
      l.run();
      library += 100 * here.count();
    }
    CHECK(total - library <= 0);
    std::printf(
        "step: %s, 100 iterations: %ld heap allocations, of which %ld inside the library's calls; 0 tensor "
        "allocations\n",
        name.c_str(), total, library);
  }
}

TEST_CASE("step: a value read inside, a metric that is no number, and a Step in a Step are refused") {
  const std::vector<std::uint8_t> pixels(16, 7);
  const std::vector<HostBatch> batches{{pixels.data(), nullptr, 1, 4, 4, 1}};
  Step reads([](std::span<const Batch> b) { return Metrics{{"m", full({}, mean(b[0].images).item())}}; });
  CHECK_THROWS_AS(reads(batches), Error);
  Step wide([](std::span<const Batch> b) { return Metrics{{"m", b[0].images}}; });
  CHECK_THROWS_AS(wide(batches), Error);
  Step good([](std::span<const Batch> b) { return Metrics{{"m", mean(b[0].images)}}; });
  CHECK(good(batches)[0] == doctest::Approx(7 * 2.0 / 255 - 1));
  Step nested([&](std::span<const Batch> b) {
    good(batches);
    return Metrics{{"m", mean(b[0].images)}};
  });
  CHECK_THROWS_AS(nested(batches), Error);
}

TEST_CASE("step: other shapes and variants are recorded for themselves") {
  const std::vector<std::uint8_t> pixels(64, 100);
  int runs = 0;
  Step step([&](std::span<const Batch> b) {
    ++runs;
    return Metrics{{"m", sum(b[0].images)}};
  });
  const std::vector<HostBatch> one{{pixels.data(), nullptr, 1, 4, 4, 1}}, two{{pixels.data(), nullptr, 2, 4, 4, 1}};
  const double a = step(one)[0], b = step(two)[0];
  CHECK(b == doctest::Approx(2 * a));
  CHECK(step(one)[0] == a);
  CHECK(step(one, 1)[0] == a);
  CHECK(step(one, 1)[0] == a);
  CHECK(runs == 3);
}

TEST_CASE("step: a gradient that is not finite stops every later write") {
  Net net;
  net.linear(1, 3);
  Adam opt(net.state(), {.lr = 0.1});
  double factor = 1;
  Tensor scale = full({}, factor);
  Step step([&](std::span<const Batch> b) {
    Tensor loss = mean(square(net(reshape(b[0].images, {4, 1})))) * scale;
    opt.step(grad(loss, net.parameters()));
    return Metrics{{"loss", loss}};
  });
  const std::vector<std::uint8_t> pixels{1, 50, 100, 200};
  const std::vector<HostBatch> batches{{pixels.data(), nullptr, 4, 1, 1, 1}};
  step(batches);
  auto weights = [&] { return net.parameters()[0].to_vector<double>(); };
  const auto first = weights();
  step(batches);
  const auto good = weights();
  CHECK(first != good);
  CHECK(step.finite());
  const float infinite = std::numeric_limits<float>::infinity(), one = 1;
  assign(scale, &infinite, sizeof infinite);
  step(batches);
  CHECK_FALSE(step.finite());
  assign(scale, &one, sizeof one);
  step(batches);
  CHECK(weights() == good);
}

namespace {
// Flops of the convolutions of one critic step, with the penalty or without.
double critic_flops(bool penalty) {
  set_seed(1);
  Net d(init_kaiming);
  d.conv(3, 32, 4, 2, 1, Act::leaky_relu)
      .conv(32, 64, 4, 2, 1, Act::leaky_relu)
      .conv(64, 128, 4, 2, 1, Act::leaky_relu);
  d.conv(128, 1, 4, 1, 0).flatten();
  Adam opt(d.state(), {});
  Step step([&](std::span<const Batch> b) {
    const Tensor& x = b[0].images;
    Tensor fake = uniform(x.shape(), -1, 1);
    Tensor loss = wasserstein_critic(d(x), d(fake));
    if (penalty) loss = loss + gradient_penalty(d, x, fake, 10);
    opt.step(grad(loss, d.parameters()));
    return Metrics{{"loss", loss}};
  });
  const std::vector<std::uint8_t> pixels(4 * 32 * 32 * 3, 9);
  const std::vector<HostBatch> batches{{pixels.data(), nullptr, 4, 32, 32, 3}};
  step(batches);
  double flops = 0;
  for (const Launch& l : step.launches())
    if (l.is_product()) flops += l.flops;
  return flops;
}
}  // namespace

TEST_CASE("step: the penalty costs at most 1.75 times the critic's convolutions") {
  const double ratio = critic_flops(true) / critic_flops(false);
  CHECK(ratio <= 1.75);
  CHECK(ratio > 1.5);
  std::printf("step: the gradient penalty makes the critic step %.3f times the arithmetic of its convolutions\n",
              ratio);
}

}  // namespace duel::test
