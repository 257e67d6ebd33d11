// Whole trainings with every regulariser on: replayed, resumed, on devices, in less than f32, and at the command line.
#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/precision.h"
#include "tests/both_devices.h"
#include "tests/program.h"
#include "tests/small_models.h"

namespace duel::test {
namespace {

using Texts = std::map<std::string, std::string>;

const Texts regularised{
    {"z-dim", "6"},         {"spectral-norm", "yes"},  {"augment", "all"},   {"minibatch-stddev", "2"},
    {"pac", "2"},           {"instance-noise", "0.2"}, {"smoothing", "0.1"}, {"instance-noise-steps", "4"},
    {"penalty", "r1+r2"},   {"lambda", "0.5"},         {"l1", "1e-4"},       {"l2", "1e-3"},
    {"weight-decay", "0.1"}};
// Those that the model offers.
Texts settings_for(const std::string& name) {
  Texts wanted = regularised, t;
  wanted["width"] = name == "sgan" ? "16" : "4";
  if (name == "gan") wanted["penalty"] = "dragan";
  for (const Setting& s : find_model(name).settings)
    if (const auto it = wanted.find(s.name); it != wanted.end()) t.insert(*it);
  return t;
}
Words words_for(const std::string& name) {
  Words words;
  for (const auto& [option, value] : settings_for(name)) {
    words.push_back("--" + option);
    if (value != "yes") words.push_back(value);
  }
  return words;
}
std::map<std::string, std::vector<double>> by_name(const Model& m) {
  std::map<std::string, std::vector<double>> all;
  for (const NamedTensor& t : m.state()) all[t.name] = t.value.to_vector<double>();
  return all;
}

}  // namespace

TEST_CASE("regularisers: replayed and eager iterations give the same bits, and steady ones allocate nothing") {
  for (const char* name : {"gan", "dcgan", "cgan", "acgan", "infogan", "sgan", "catgan", "r3gan"}) {
    INFO(name);
    Trainer a(name, settings_for(name), 8), b(name, settings_for(name), 8);
    b.step.set_eager(true);
    for (int i = 0; i < 6; ++i) CHECK(a.iterate() == b.iterate());  // beyond the end of the noise
    CHECK(whole_state(*a.model) == whole_state(*b.model));
    a.model->sample(a.model->noise(3));
    const std::uint64_t before = allocation_count();
    const std::vector<double> replayed = a.iterate();
    CHECK(allocation_count() == before);
    CHECK(replayed == b.iterate());
    CHECK(whole_state(*a.model) == whole_state(*b.model));
    CHECK(a.step.finite());
  }
}

GPU_TEST("training: regularisers as on the CPU, replayed and eager, and in bf16 about so") {
  for (const char* name : {"gan", "dcgan"}) {
    INFO(name);
    const auto run = [&](Device where, Precision p, bool eager) {
      const DeviceScope scope(where);
      const PrecisionScope in(p);
      Trainer t(name, settings_for(name), 8);
      t.step.set_eager(eager);
      std::vector<double> losses;
      for (int i = 0; i < 3; ++i)
        for (double v : t.iterate()) losses.push_back(v);
      CHECK(t.step.finite());
      return losses;
    };
    const auto worst = [](const std::vector<double>& found, const std::vector<double>& expected) {
      double w = 0;
      for (std::size_t i = 0; i < expected.size(); ++i)
        w = std::max(w, std::abs(found[i] - expected[i]) / (1e-3 + std::abs(expected[i])));
      return w;
    };
    const std::vector<double> here = run(Device::cpu, Precision::f32, false),
                              there = run(device, Precision::f32, false);
    REQUIRE(here.size() == there.size());
    CHECK(worst(there, here) <= 1e-4);
    CHECK(run(device, Precision::f32, true) == there);
    const std::vector<double> rounded = run(device, Precision::bf16, false);
    CHECK(rounded == run(device, Precision::bf16, true));
    CHECK(worst(rounded, here) <= 0.05);
    std::printf("%s: %s with every regulariser within %.2g of the CPU, in bf16 %.2g\n", name_of(device), name,
                worst(there, here), worst(rounded, here));
  }
}

TEST_CASE("regularisers: G learns through what D is shown, and weights decay") {
  Texts quiet = settings_for("gan");
  for (const char* option : {"l1", "l2", "weight-decay"}) quiet[option] = "0";
  Trainer a("gan", quiet, 8);
  const auto before = by_name(*a.model);
  a.iterate();
  const auto after = by_name(*a.model);
  for (const auto& [name, values] : before)
    if (name.starts_with("G.") || name.starts_with("D.")) CHECK_MESSAGE(after.at(name) != values, name);
  // Adam's step and, decoupled from it, lr * decay * w.
  Texts decaying = quiet;
  decaying["weight-decay"] = "0.5";
  Trainer b("gan", decaying, 8);
  REQUIRE(by_name(*b.model) == before);
  b.iterate();
  const auto decayed = by_name(*b.model);
  for (const char* name : {"D.0.weight", "D.2.bias"}) {
    INFO(name);
    std::vector<double> expected = after.at(name);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] -= 2e-4 * 0.5 * before.at(name)[i];
    CHECK(max_difference(decayed.at(name), expected) < 1e-8 + 1e-7 * max_abs(expected));
    CHECK(max_difference(decayed.at(name), after.at(name)) > 0);
  }
  // Both terms turn Adam's first step of a weight with little gradient.
  for (const char* option : {"l1", "l2"}) {
    INFO(option);
    Texts bound = quiet;
    bound[option] = "0.5";
    Trainer c("gan", bound, 8);
    c.iterate();
    double shrunk = 0, all = 0;
    const auto now = by_name(*c.model);
    for (const char* name : {"D.0.weight", "G.1.weight"})
      for (std::size_t i = 0; i < before.at(name).size(); ++i, ++all)
        shrunk += std::abs(now.at(name)[i]) < std::abs(before.at(name)[i]) ? 1 : 0;
    CHECK(shrunk > 0.9 * all);
  }
}

TEST_CASE("regularisers: spectral norm takes the place of D's batch norm") {
  for (const char* model : {"dcgan", "cgan", "acgan", "infogan", "catgan"}) {
    INFO(model);
    const auto names = [&](const Texts& given) {
      Trainer t(model, given, 8);
      std::string all;
      for (const NamedTensor& x : t.model->state())
        if (x.name.starts_with("D.")) all += x.name + " ";
      return all;
    };
    CHECK(names({{"width", "4"}}).find("running_mean") != std::string::npos);
    const std::string spectral = names({{"width", "4"}, {"spectral-norm", "yes"}});
    CHECK(spectral.find("running_mean") == std::string::npos);
    CHECK(spectral.find("D.0.weight D.0.bias D.0.u D.0.v D.1.weight") == 0);
  }
}

TEST_CASE("regularisers: two parts are the whole, to the byte, and samples need none of it") {
  const Scratch in;
  for (const char* name : {"gan", "dcgan", "acgan"}) {  // acgan also tells how well D classifies
    INFO(name);
    Words more = words_for(name);
    const auto part = [&](const Words& extra) {
      Words w{"train", name, "--data", "digits", "--batch", "8", "--threads", "1"};
      w.insert(w.end(), more.begin(), more.end());
      w.insert(w.end(), extra.begin(), extra.end());
      return w;
    };
    const std::string whole = std::string(name) + "-whole", parts = std::string(name) + "-parts";
    train_well(in, part({"--steps", "6", "--out", whole}));
    train_well(in, part({"--steps", "3", "--out", parts}));
    train_well(in, {"train", name, "--out", parts, "--resume", "--steps", "6"});
    CHECK((checkpoint(in, whole) == checkpoint(in, parts)));
    CHECK(duel_run(in, {"sample", whole, "--count", "3"}).status == 0);
  }
  const Outcome plan = duel_run(in, {"train", "dcgan", "--data", "digits", "--batch", "8", "--width", "4", "--pac", "2",
                                     "--spectral-norm", "--minibatch-stddev", "4", "--dry-run"});
  INFO(plan.err);
  for (const char* part : {"D   input 28x28x2", "conv 4x4, stride 2, padding 1, spectral norm, leaky ReLU",
                           "minibatch stddev of 4", "7x7x9"})
    CHECK_MESSAGE(plan.out.find(part) != plan.out.npos, part);
  const Outcome help = duel_run(in, {"train", "dcgan", "--help"});
  for (const auto& [option, value] : settings_for("dcgan"))
    CHECK_MESSAGE(help.out.find("--" + option) != help.out.npos, option);
}

TEST_CASE("regularisers: verified op by op") {
  const Scratch in;
  for (const Words& words : {Words{"verify", "dcgan", "--spectral-norm", "--augment", "all", "--minibatch-stddev", "4",
                                   "--instance-noise", "0.1", "--width", "8"},
                             Words{"verify", "wgan-gp", "--spectral-norm", "--augment", "all", "--minibatch-stddev",
                                   "2", "--pac", "2", "--width", "4", "--n-critic", "1"},
                             Words{"verify", "gan", "--spectral-norm", "--penalty", "dragan", "--smoothing", "0.1",
                                   "--minibatch-stddev", "2"}}) {
    const Outcome o = duel_run(in, words);
    INFO(o.out, o.err);
    CHECK(o.status == 0);
  }
}

TEST_CASE("regularisers: what cannot work is refused") {
  const Scratch in;
  const auto refused = [&](const char* model, const Words& more, const char* what) {
    Words w{"train", model, "--data", "digits", "--batch", "8", "--out", "x"};
    w.insert(w.end(), more.begin(), more.end());
    check_refused(in, w, what);
    w[0] = "verify";
    w.erase(w.begin() + 6, w.begin() + 8);
    check_refused(in, w, what);
  };
  refused("hinge", {"--smoothing", "0.1"}, "--smoothing 0.1 with --loss hinge: only a probability can be smoothed");
  refused("wgan", {"--spectral-norm"}, "wgan: --spectral-norm with --clip 0.01: ");
  refused("gan", {"--optimizer", "rmsprop", "--weight-decay", "0.1"}, "--weight-decay 0.1 with --optimizer rmsprop: ");
  refused("gan", {"--instance-noise-steps", "5"}, "--instance-noise-steps 5: there is no noise to fall");
  refused("gan", {"--pac", "3"}, "--batch: found 8, expected a multiple of 3: --pac times --minibatch-stddev");
  refused("gan", {"--pac", "2", "--minibatch-stddev", "8"}, "--batch: found 8, expected a multiple of 16: ");
  refused("dcgan", {"--penalty", "dragan"}, "use --norm none or --spectral-norm");
  refused("catgan", {"--penalty", "r1"}, "use --norm none or --spectral-norm");
  refused("dcgan", {"--loss", "wasserstein"}, "add --penalty gp --norm none, or --clip 0.01, or --spectral-norm");
  refused("dcgan", {"--augment", "colour+red"}, "expected one of: none, colour, shift, cutout, colour+shift, ");
  refused("dcgan", {"--penalty", "r3"}, "expected one of: none, gp, gp0, dragan, r1, r2, r1+r2");
  refused("r3gan", {"--lr-g", "0.1"}, "r3gan: --lr-g 0.1: both nets follow --lr and --lr-end");
  refused("r3gan", {"--optimizer", "rmsprop"}, "r3gan: --optimizer rmsprop: the schedule is of Adam's numbers");
  refused("catgan", {"--clusters", "7"}, "catgan: --clusters 7 with labels of 10 classes");
  refused("gan", {"--smoothing", "0.6"}, "--smoothing: found '0.6', expected a number from 0 to 0.5");
  refused("gan", {"--instance-noise", "-1"}, "--instance-noise: found '-1'");
}

}  // namespace duel::test
