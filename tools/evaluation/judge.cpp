#include "tools/evaluation/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numbers>

#include "engine/context.h"
#include "engine/data/dataset.h"
#include "engine/error.h"
#include "engine/net_file.h"
#include "engine/optim.h"
#include "engine/precision.h"
#include "engine/step.h"
#include "engine/tape.h"
#include "losses/classification.h"
#include "tools/evaluation/features.h"
#include "tools/progress.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

constexpr const char* recipe = "1";  // another number for every change that makes other weights
constexpr std::int64_t largest = 40, features = 128, batch = 128, epochs = 5;
constexpr std::int64_t fewest_steps = 300, most_steps = 3000;
constexpr double learning_rate = 2e-3;

ChainNet judge_net(const ImageSet& images) {
  std::int64_t h = images.height, w = images.width, c = images.channels;
  require(std::min(h, w) >= 4, "judge: images are {}x{}, expected 4 or more pixels a side", h, w);
  std::vector<NetLayer> layers;
  const auto pool = [&](const char* kind, std::int64_t size) {
    layers.push_back({.kind = kind, .size = size});
    h /= size, w /= size;
  };
  const auto followed = [&](NetLayer l) {  // by batch norm and ReLU
    const std::int64_t out = l.out;
    l.bias = false;
    layers.insert(layers.end(), {l, {.kind = "batch norm", .in = out}, {.kind = "relu"}});
  };
  if (const std::int64_t times = (std::max(h, w) + largest - 1) / largest; times > 1 && std::min(h, w) / times >= 4)
    pool("avg pool", times);
  for (const std::int64_t out : {32, 64, 128}) {
    followed({.kind = "conv", .in = c, .out = out, .kernel = 3, .padding = 1});
    c = out;
    if (out < 128) pool("max pool", 2);
  }
  layers.push_back({.kind = "flatten"});
  followed({.kind = "linear", .in = h * w * c, .out = features});
  const std::size_t to_features = layers.size();
  layers.push_back({.kind = "linear", .in = features, .out = images.classes});
  const auto channels = static_cast<std::size_t>(images.channels);
  return {{images.height, images.width, images.channels, std::vector(channels, 2.0), std::vector(channels, -1.0)},
          layers,
          to_features,
          images.classes};
}

ChainNet train_judge(const ImageSet& images, bool flip, std::uint64_t seed) {
  const PrecisionScope full(Precision::f32);
  set_seed(seed);
  ChainNet judge = judge_net(images);
  Dataset data(images, seed, flip);
  const std::int64_t n = std::min(batch, images.count);
  const std::int64_t steps = std::clamp(epochs * images.count / n, fewest_steps, most_steps);
  Adam adam(judge.net(), {.lr = learning_rate, .beta1 = 0.9});
  Step step(
      [&](std::span<const Batch> batches) {
        const Batch& x = batches[0];
        const Tensor scores = judge(x.images).scores;
        const Tensor loss = cross_entropy(scores, x.labels);
        adam.step(grad(loss, adam.parameters()));
        return Metrics{{"loss", loss}};
      },
      seed);
  Progress progress("judge");
  const double start = seconds_now();
  double loss = 0;
  for (std::int64_t i = 0; i < steps; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(steps);
    adam.set_lr(learning_rate * (1 + std::cos(std::numbers::pi * part)) / 2);
    loss = step(data.next(1, n))[0];
    const double took = seconds_now() - start, rate = static_cast<double>(i + 1) / took;
    progress.update({i + 1, steps, rate * static_cast<double>(n), took, 0, static_cast<double>(steps - i - 1) / rate},
                    {i + 1, step.names(), {&loss, 1}}, i + 1 == steps);
  }
  require(step.finite(), "judge: its training did not stay finite");
  judge.net().set_training(false);
  return judge;
}

fs::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache && fs::path(cache).is_absolute()) return fs::path(cache) / "duel";
  return home && *home ? fs::path(home) / ".cache" / "duel" : fs::path();
}

// A judge that cannot be kept is as good for this once.
void keep(const fs::path& file, const ChainNet& judge, double accuracy) {
  try {
    require(!file.empty(), "neither XDG_CACHE_HOME nor HOME is set");
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    save_net(file, judge, {{"duel.judge", recipe}, {"accuracy", fmt::format("{:.6f}", accuracy)}});
    fmt::print("judge: kept in {}\n", file.string());
  } catch (const Error& e) {
    fmt::print("judge: not kept for the next time: {}\n", e.what());
  }
}

}  // namespace

Judge find_judge(const ImageSet& train, const ImageSet& held_out, bool flip, std::uint64_t seed,
                 const std::string& digest) {
  const fs::path folder = cache_folder();
  const fs::path file =
      folder.empty() ? fs::path()
                     : folder / fmt::format("judge{}-{}{}-{}.safetensors", recipe, digest, flip ? "-flip" : "", seed);
  std::error_code error;
  if (!file.empty() && fs::exists(file, error)) {
    try {
      ChainNet net = load_net(file).net;
      require(net.classes() == train.classes, "{}: {} classes, expected {}", file.string(), net.classes(),
              train.classes);
      const double accuracy = agreement(see(net, held_out).answers, held_out.labels);
      return {std::move(net), "judge", accuracy};
    } catch (const Error& e) {
      fmt::print("judge: trained anew: {}\n", e.what());
    }
  }
  ChainNet net = train_judge(train, flip, seed);
  const double accuracy = agreement(see(net, held_out).answers, held_out.labels);
  keep(file, net, accuracy);
  return {std::move(net), "judge", accuracy};
}

Judge load_features(const std::string& file, const ImageSet& held_out) {
  ChainNet net = load_net(file).net;
  if (held_out.labels.empty() && net.classes() > 0) {  // the features alone
    ChainNet without(net.input(), net.layers(), net.features(), 0);
    copy_state(without.net().state(), net.net().state());
    net = std::move(without);
  }
  require(net.classes() == 0 || net.classes() == held_out.classes,
          "{}: its {} classes are not the data's {}; without \"classes\" its features serve all data", file,
          net.classes(), held_out.classes);
  double accuracy = 0;
  if (net.classes() > 0) accuracy = agreement(see(net, held_out).answers, held_out.labels);
  return {std::move(net), file, accuracy};
}

}  // namespace duel
