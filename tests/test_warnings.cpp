// Warnings: none on healthy curves, one each on planted faults. And the op that made the first bad value is named.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/bad_value.h"
#include "engine/data/glyphs.h"
#include "engine/data/images.h"
#include "engine/ops.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "tests/both_devices.h"
#include "tools/warnings.h"

using namespace duel;

namespace {

// What a run of `steps` iterations is warned of; f(step) answers the metrics' values.
template <class F>
std::vector<std::string> warned(const WatchRules& rules, std::int64_t steps, const std::vector<std::string>& names,
                                F f) {
  Watch watch(rules);
  std::vector<std::string> ids;
  for (std::int64_t s = 1; s <= steps; ++s) {
    const std::vector<double> values = f(s);
    for (const Warning& w : watch.look(Record{s, names, values})) ids.push_back(w.id);
  }
  return ids;
}
using Ids = std::vector<std::string>;

Ids diversity_warned(const std::vector<double>& values, std::int64_t every = 500) {
  Watch watch(WatchRules::of("gan", {{"loss", "minimax"}}));
  Ids ids;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (const auto w = watch.look(static_cast<std::int64_t>(i) * every, values[i])) ids.push_back(w->id);
  return ids;
}

const WatchRules gan = WatchRules::of("gan", {{"loss", "non-saturating"}}),
                 wgan_gp = WatchRules::of("wgan-gp", {{"loss", "wasserstein"}, {"lambda", "10"}});
const std::vector<std::string> names{"loss_d", "loss_g", "d_real", "d_fake"};

}  // namespace

TEST_CASE("warnings: healthy curves raise none") {
  SplitMix64 random{1};
  const auto noise = [&](double a) { return a * static_cast<double>(random.uniform(-1, 1)); };
  // gan on MNIST, with batches now and then that D gets all right.
  CHECK(warned(gan, 5000, names, [&](std::int64_t s) {
          const bool sure = s % 50 == 0;
          return std::vector{0.9 + noise(0.4), 1.9 + noise(1.5), sure ? 0.999 : 0.72 + noise(0.2),
                             sure ? 0.001 : 0.3 + noise(0.2)};
        }) == Ids{});
  // D ahead at the start only.
  CHECK(warned(gan, 3000, names, [&](std::int64_t s) {
          return s < 400 ? std::vector{0.001, 9.0, 0.9999, 0.0001} : std::vector{0.9, 1.9, 0.7, 0.3};
        }) == Ids{});
  // wgan-gp: from -30 to -3, while the critic's level drifts anywhere, D(x) far beyond 1.
  CHECK(warned(wgan_gp, 5000, names, [&](std::int64_t s) {
          const double t = static_cast<double>(s), w = 3 + 30 * std::exp(-t / 100), drift = t;
          return std::vector{-w + noise(1), -drift, drift + w, drift};
        }) == Ids{});
  CHECK(diversity_warned({0.05, 0.08, 0.2, 0.5, 0.9, 1.0, 1.05}) == Ids{});
  CHECK(diversity_warned({0.05, 0.9, 0.05, 0.9, 0.9}) == Ids{});  // one bad picture
}

TEST_CASE("warnings: planted faults raise one each, once") {
  const auto saturated = [](std::int64_t) { return std::vector{1e-4, 9.0, 0.9999, 0.0001}; };
  CHECK(warned(gan, 3000, names, saturated) == Ids{"saturated"});
  CHECK(warned(wgan_gp, 3000, names, saturated) == Ids{});  // its outputs are no probabilities
  const auto growing = [](std::int64_t s) {
    return std::vector{-3 * std::exp(static_cast<double>(s) / 200), 1.0, 0.5, 0.5};
  };
  CHECK(warned(wgan_gp, 3000, names, growing) == Ids{"loss"});
  CHECK(warned(gan, 300, names, [](std::int64_t) { return std::vector{2e6, 1.0, 0.5, 0.5}; }) == Ids{"loss"});
  CHECK(warned(gan, 300, names, [](std::int64_t s) {
          return std::vector{s < 100 ? 1 : std::numeric_limits<double>::quiet_NaN(), 1.0, 0.5, 0.5};
        }) == Ids{"loss"});
  CHECK(diversity_warned({0.05, 0.5, 0.9, 0.09, 0.05, 0.01, 0.9, 0.01, 0.01}) == Ids{"diversity"});
  CHECK(diversity_warned(std::vector<double>(20, 0.03)) == Ids{"diversity"});
}

TEST_CASE("warnings: a resumed run does not repeat itself, and a line says what to do") {
  Watch watch(gan);
  watch.said("diversity");
  for (const double v : {0.9, 0.01, 0.01}) CHECK_FALSE(watch.look(500, v).has_value());
  const Warning w{"loss", 12, "loss_d explodes", "try a smaller --lr"};
  CHECK(w.line() == "step 12: loss_d explodes; try a smaller --lr");
}

namespace {
void check_bad_value_is_named() {
  const Tensor a = full({4}, 1.0), b = full({4}, 1.0);
  Sgd opt_a({{"a", a, Kind::parameter}}, {.lr = 1e-3}), opt_b({{"b", b, Kind::parameter}}, {.lr = 1e-3});
  Step step([&](std::span<const Batch> batches) {
    opt_a.step(grad(sum(square(a)), {a}));
    const Tensor x = mean(batches[0].images);  // -1 or more
    const Tensor loss = sum(log(add(b, x)));   // log(0) where an image is black and b is 1
    opt_b.step(grad(loss, {b}));
    return Metrics{{"loss", loss}};
  });
  std::vector<std::uint8_t> grey(784, 128), black(784, 0);
  const auto batch = [](const std::vector<std::uint8_t>& pixels) {
    return std::vector<HostBatch>{{pixels.data(), nullptr, 1, 28, 28, 1}};
  };
  step(batch(grey));
  REQUIRE(step.finite());
  assign(b, full({4}, 1.0));
  step(batch(black));
  REQUIRE_FALSE(step.finite());
  const std::vector<double> before_a = a.to_vector<double>(), before_b = b.to_vector<double>();
  const State state{{"a", a, Kind::parameter}, {"b", b, Kind::parameter}};
  const std::string found = find_bad_value(step, batch(black), state);
  CHECK_MESSAGE(found.starts_with("op log (kernel map) made inf in 4 of 4 values (4) f32 from (4) f32"), found);
  CHECK(step.iteration() == 2);
  CHECK(a.to_vector<double>() == before_a);
  CHECK(b.to_vector<double>() == before_b);

  std::vector<float> bad{1, std::numeric_limits<float>::quiet_NaN(), 1, 1};
  assign(b, bad.data(), 16);
  const std::string held = find_bad_value(step, batch(black), state);
  CHECK_MESSAGE(held == "b (4) f32 held nan in 1 of its values before the step, and op add read them", held);
}
}  // namespace

TEST_CASE("warnings: the op that made the first value that is not finite is named") { check_bad_value_is_named(); }
GPU_TEST("the op that made the first value that is not finite is named") { check_bad_value_is_named(); }
