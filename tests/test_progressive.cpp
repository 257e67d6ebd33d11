// Progressive growing: which level is trained when, how a new one is faded in, and that runs resume across levels.
#include <doctest/doctest.h>

#include "engine/context.h"
#include "engine/tape.h"
#include "models/progressive.h"
#include "tests/program.h"
#include "tests/small_models.h"
#include "tests/support.h"

namespace duel::test {
namespace {

constexpr std::int64_t phase = 8;
const DcganOptions options{.width = 4, .z_dim = 5, .norm = false};

// What f computes in an iteration of a run.
Tensor at(std::int64_t iteration, const Growth& growth, const std::function<Tensor()>& f) {
  NoGrad off;
  Context c(1);
  assign(c.step, &iteration, sizeof iteration);
  c.variant = growth.variant(iteration);
  const ContextScope scope(c);
  return f();
}
// The tensors of a growing net that the last level uses once it is faded in, without the layers of the others.
State last_level(const Net& net, int levels) {
  State out;
  for (const NamedTensor& t : net.state())
    if (t.name.find("image") == t.name.npos || t.name.find(fmt::format("image{}.", levels)) != t.name.npos)
      out.push_back(t);
  return out;
}

}  // namespace

TEST_CASE("progressive: levels and variants of the iterations") {
  const Growth g = growth(28, phase);
  CHECK(g.levels == 2);
  CHECK(growth(32, phase).levels == 3);
  CHECK(growth(128, phase).levels == 5);
  CHECK_FALSE(growth(28, 0).on());
  const std::vector<int> expected{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 6};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(g.variant(static_cast<std::int64_t>(i)) == expected[i]);
  CHECK(g.variant(1000000) == 6);
  CHECK(g.variant(g.busiest()) == 5);
  const Growth quick = growth(28, 1);
  for (int i = 0; i < 5; ++i) CHECK(quick.variant(i) == (i == 0 ? 0 : i == 1 ? 1 : i == 2 ? 4 : 6));
}

TEST_CASE("progressive: the last level is DCGAN's net") {
  set_seed(5);
  for (const std::int64_t size : {28, 64}) {
    const Growth g = growth(size, phase);
    const Tensor z = detach(normal({2, 5})), x = detach(uniform({2, size, size, 3}, -1, 1));
    const Net G = growing_generator(size, 3, options, g), D = growing_critic(size, 3, options, g);
    const Net plain_G = dcgan_generator(size, 3, options), plain_D = dcgan_critic(size, 3, options);
    const auto copy = [](const Net& to, const State& from, bool backwards) {
      std::vector<Tensor> a = to.parameters(), b = tensors(parameters(from));
      REQUIRE(a.size() == b.size());
      // D's layers lie from the image inwards, a growing D's from the score outwards; weight and bias stay in order.
      for (std::size_t i = 0; i < a.size(); i += 2)
        for (std::size_t k = 0; k < 2; ++k) assign(a[i + k], b[backwards ? b.size() - 2 - i + k : i + k]);
    };
    copy(plain_G, last_level(G, g.levels), false);
    copy(plain_D, last_level(D, g.levels), true);
    const std::int64_t late = 1000;
    CHECK(at(late, g, [&] { return G(z); }).to_vector<double>() == plain_G(z).to_vector<double>());
    CHECK(at(late, g, [&] { return D(x); }).to_vector<double>() == plain_D(x).to_vector<double>());
    CHECK(at(late, g, [&] { return at_level(x, g); }).to_vector<double>() == x.to_vector<double>());
  }
}

TEST_CASE("progressive: a new level comes in from nothing, halfway and wholly") {
  const FloatScope in_f64(DType::f64);
  set_seed(5);
  const Growth g = growth(32, phase);
  const Tensor z = detach(normal({2, 5})), x = detach(uniform({2, 32, 32, 1}, -1, 1));
  const Net G = growing_generator(32, 1, options, g), D = growing_critic(32, 1, options, g);
  for (std::int64_t level = 1; level <= g.levels; ++level) {
    const std::int64_t begin = level * phase, before = begin - 1, after = begin + phase / 2;
    const auto image = [&](std::int64_t t) { return at(t, g, [&] { return G(z); }).to_vector<double>(); };
    const auto real = [&](std::int64_t t) { return at(t, g, [&] { return at_level(x, g); }).to_vector<double>(); };
    const auto score = [&](std::int64_t t) { return at(t, g, [&] { return D(x); }).to_vector<double>(); };
    // A fade goes on from where the level below stood, in straight lines for images.
    CHECK(max_difference(image(before), image(begin)) < 1e-12);
    CHECK(max_difference(real(before), real(begin)) < 1e-12);
    CHECK(max_difference(score(before), score(begin)) < 1e-12);
    CHECK(max_difference(image(before), image(after)) > 1e-3);
    CHECK(max_difference(score(before), score(after)) > 1e-6);
    for (const auto& f : {std::function<std::vector<double>(std::int64_t)>(image), {real}}) {
      std::vector<double> middle = f(before), end = f(after);
      for (std::size_t i = 0; i < middle.size(); ++i) middle[i] = (middle[i] + end[i]) / 2;
      CHECK(max_difference(f(begin + phase / 4), middle) < 1e-12);
    }
    // What a level makes consists of its pixels, enlarged.
    const std::int64_t side = 4 << level, factor = 32 / side;
    const Tensor y = at(after, g, [&] { return G(z); });
    CHECK(max_difference(upsample_nearest(avg_pool(y, factor), factor).to_vector<double>(), y.to_vector<double>()) <
          1e-12);
  }
}

TEST_CASE("progressive: replayed and eager iterations give the same bits across levels, and every level learns") {
  for (const auto& [name, more] : std::map<std::string, std::map<std::string, std::string>>{
           {"dcgan", {}},
           {"wgan-gp", {}},
           {"lsgan", {{"spectral-norm", "yes"}, {"minibatch-stddev", "2"}, {"pac", "2"}}}}) {
    INFO(name);
    std::map<std::string, std::string> settings = small().at(name);
    settings.insert(more.begin(), more.end());
    settings["grow"] = "4";
    Trainer a(name, settings, 4), b(name, settings, 4);
    b.step.set_eager(true);
    std::map<std::string, int> moved;
    const double d_steps = name == "wgan-gp" ? 2 : 1;  // in an iteration
    for (int i = 0; i < 13; ++i) {
      std::map<std::string, std::vector<double>> before;
      for (const NamedTensor& t : a.model->state()) before[t.name] = t.value.to_vector<double>();
      CHECK(a.iterate() == b.iterate());
      for (const NamedTensor& t : a.model->state())
        if (before[t.name] != t.value.to_vector<double>()) ++moved[t.name];
      // Both optimizers begin anew with each level: iterations 4 and 8.
      for (const NamedTensor& t : a.model->state()) {
        const double steps = i < 8 ? i % 4 + 1 : i - 7;
        if (t.name == "opt_G.t") CHECK(t.value.item() == steps);
        if (t.name == "opt_D.t") CHECK(t.value.item() == d_steps * steps);
      }
      // Sampling shows the level and moves nothing.
      const Tensor y = a.model->sample(normal({2, 10}));
      CHECK(y.shape() == Shape{2, 28, 28, 1});
    }
    CHECK(whole_state(*a.model) == whole_state(*b.model));
    // Level 0 for the first 4 iterations and, unless it is faded to nothing or away, two more.
    CHECK(moved["G.0.image0.0.weight"] >= 4);
    CHECK(moved["G.0.image0.0.weight"] <= 6);
    CHECK(moved["G.0.hidden0.0.weight"] == 13);
    CHECK(moved["G.0.image2.0.weight"] >= 4);
    CHECK(moved["D.0.image2.0.weight"] >= 4);
    CHECK(moved["growth.iterations"] == 13);
  }
}

TEST_CASE("progressive: the command resumes across levels to the same bytes, and samples show the level") {
  const Scratch in;
  const Words grow{"--grow", "3", "--threads", "1", "--steps"};
  const auto train_to = [&](const std::string& run, const std::string& steps) {
    Words more = grow;
    more.push_back(steps);
    train_well(in, training("dcgan", run, more));
  };
  train_to("straight", "11");
  for (const char* stop : {"2", "3", "4", "6", "8"}) {
    INFO(stop);
    const std::string run = fmt::format("stopped-{}", stop);
    train_to(run, stop);
    train_well(in, {"train", "dcgan", "--out", run, "--resume", "--steps", "11"});
    CHECK((checkpoint(in, run) == checkpoint(in, "straight")));
  }
  train_to("low", "2");
  CHECK(duel_run(in, {"sample", "low", "--count", "4", "--out", "low.png"}).status == 0);
  CHECK(duel_run(in, {"train", "dcgan", "--grow", "3", "--data", "digits", "--width", "4", "--dry-run", "--batch", "8"})
            .out.find("growing from 7x7 to 28x28") != std::string::npos);
  check_refused(in, {"train", "dcgan", "--grow", "-1", "--out", "x"},
                "--grow: found '-1', expected a whole number from 0");
  check_refused(in, {"train", "gan", "--grow", "3", "--out", "x"}, "option '--grow' is unknown");
}

}  // namespace duel::test
