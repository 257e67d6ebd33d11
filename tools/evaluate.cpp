#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/data/dataset.h"
#include "engine/error.h"
#include "engine/files.h"
#include "tools/commands.h"
#include "tools/evaluation/evaluation.h"
#include "tools/evaluation/naive.h"
#include "tools/evaluation/probe.h"
#include "tools/loaded_run.h"
#include "tools/run_data.h"
#include "tools/run_folder.h"
#include "tools/sampler.h"
#include "tools/threads.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Texts = std::map<std::string, std::string>;

constexpr std::int64_t usual_count = 10000, fewest = 16;

// A run's real images: those it is trained on, and those it is measured against.
struct RealImages {
  ImageSet train, held_out;
  std::string kind;  // "held-out images"
};

// Of images that are decoded again and again those in memory. Where the data hold none out, a tenth of the training
// images take their place, and the judge does without them.
RealImages real_images(const RunConfig& config, const RunIdentity& run, const std::string& folder) {
  Texts options = config.options;
  options.emplace("data", "glyphs");
  RealImages out{load_training_images(options.at("data"), image_options(options)), {}, "held-out images"};
  require(digest(out.train) == run.data_digest, "{}: the run's data have changed: digest {}, expected {} of {}", folder,
          digest(out.train), run.data_digest, options.at("data"));
  constexpr std::uint64_t split_seed = 0x73706c6974;
  if (out.train.source) out.train = pick_images(out.train, split_seed, 0, out.train.held());
  std::optional<ImageSet> held_out = held_out_images(options);
  const ImageSet& t = out.train;
  const bool usable = held_out && held_out->count >= fewest && held_out->height == t.height &&
                      held_out->width == t.width && held_out->channels == t.channels &&
                      held_out->labels.empty() == t.labels.empty();
  if (usable) {
    out.held_out = std::move(*held_out);
    return out;
  }
  const std::int64_t held = t.count, others = std::min<std::int64_t>(held / 10, 10000);
  require(others >= fewest, "{}: {} images and none held out, expected {} or more", options.at("data"), held,
          10 * fewest);
  out.held_out = pick_images(t, split_seed, 0, others);
  out.train = pick_images(t, split_seed, others, held - others);
  out.kind = "images of the training set, which has none held out";
  return out;
}

std::int64_t count_of(const Texts& given, const Settings& options, const RealImages& images) {
  const std::int64_t most = std::min(images.held_out.count, images.train.count);
  const std::int64_t count = options.integer("count");
  if (!given.count("count")) return std::min(most, count);
  require(count <= most, "--count: found {}, expected at most {}: the {}", count, most, images.kind);
  return count;
}

Judge judge_of(const Texts& given, const Settings& options, const RunConfig& config, const RunIdentity& run,
               const RealImages& images) {
  const auto features = given.find("features");
  if (features != given.end()) return load_features(features->second, images.held_out);
  require(!images.train.labels.empty(),
          "{}: the images have no labels to train a judge with; bring a network: --features NET.safetensors",
          run.data_name);
  const auto flip = config.options.find("flip");
  return find_judge(images.train, images.held_out, flip != config.options.end() && flip->second == "yes",
                    static_cast<std::uint64_t>(options.integer("judge-seed")), digest(images.train));
}

fs::path folder_of(const Texts& given, const std::string& run) {
  const auto it = given.find("out");
  const fs::path out = it == given.end() ? fs::path(run) : fs::path(it->second);
  std::error_code error;
  require(fs::is_directory(out, error), "--out {}: expected a folder that is there", out.string());
  return out;
}

void write(const Evaluation& e, const fs::path& folder) {
  save_png(folder / "neighbours.png", e.neighbours);
  write_file_atomically(folder / "evaluation.json", to_json(e));
  write_file_atomically(folder / "evaluation.html", to_page(e, folder / "neighbours.png"));
  fmt::print("{}\nwritten: evaluation.json, evaluation.html and neighbours.png in {}\n", to_text(e), folder.string());
}

// What the model says and is told itself.
void measure_model(Evaluation& e, LoadedRun& run, const RealImages& images, const ChainNet& net) {
  const ModelInfo& info = find_model(run.identity.model);
  if (info.labels != Labels::unused || !images.train.labels.empty())
    e.own = own_error(*run.model, images.train, images.held_out);
  if (net.classes() > 0) {
    e.codes = code_agreements(*run.model, run.identity.image, net, e.seed + 1, e.count);
    return;
  }
  e.left_out.push_back("classes covered and class divergence: the features have no classes");
  for (const Model::Code& code : run.model->codes())
    if (code.category) e.left_out.push_back(fmt::format("accuracy of {}: the features have no classes", code.name));
}

struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread(const std::vector<double>& v) {
  Spread s;
  for (const double x : v) s.mean += x / static_cast<double>(v.size());
  for (const double x : v) s.deviation += (x - s.mean) * (x - s.mean) / static_cast<double>(v.size() - 1);
  return {s.mean, std::sqrt(s.deviation)};
}

int show_probe(LoadedRun& run, const RealImages& images, std::int64_t labels, std::uint64_t seed, const fs::path& out) {
  constexpr int choices = 5;
  require(!images.train.labels.empty(), "--probe: {} has no labels, expected labelled images", run.identity.data_name);
  require(labels <= images.train.count, "--labels: found {}, expected at most {}: the training images", labels,
          images.train.count);
  const DiscriminatorFeatures features(run.identity.model, *run.model, run.identity.image);
  const ProbeResult r = probe(features, images.train, images.held_out, labels, seed, choices);
  const Spread d = spread(r.features), p = spread(r.pixels);
  fmt::print("{} after {} steps: a linear classifier on {} labelled images, tested on {} {}\n", run.identity.model,
             run.at.iteration, r.labels, r.tested, images.kind);
  fmt::print("accuracy over {} choices of the labelled images, mean ± standard deviation:\n", choices);
  fmt::print("  features of D   {:6.2f} ± {:.2f} %\n  pixels          {:6.2f} ± {:.2f} %\n", 100 * d.mean,
             100 * d.deviation, 100 * p.mean, 100 * p.deviation);
  const nlohmann::ordered_json json{{"model", run.identity.model}, {"data", run.identity.data_name},
                                    {"step", run.at.iteration},    {"seed", seed},
                                    {"labels", r.labels},          {"tested", r.tested},
                                    {"features", r.features},      {"pixels", r.pixels}};
  write_file_atomically(out / "probe.json", json.dump(2) + "\n");
  fmt::print("written: probe.json in {}\n", out.string());
  return 0;
}

}  // namespace

std::vector<Setting> evaluate_options() {
  return {{"count",
           "samples, against as many held-out images; fewer where there are fewer",
           std::to_string(usual_count),
           fewest,
           1e6,
           true,
           {}},
          {"seed", "the seed of the samples and of the choice of images", "1", 0, 9007199254740991, true, {}},
          {"labels", "labelled training images, with --probe", "1000", 10, 5000, true, {}},
          {"judge-seed", "the seed of the judge's training", "1", 0, 9007199254740992, true, {}},
          threads_option(),
          device_option(),
          drawing_precision_option()};
}

int evaluate(const std::string& run, const EvaluateRequest& request) {
  Texts numbers = request.options;
  for (const char* name : {"count", "judge-seed", "features"})
    require(!request.probe || !numbers.count(name), "--probe: leave out --{}", name);
  numbers.erase("out");
  numbers.erase("features");
  const Settings options(evaluate_options(), numbers);
  require(request.probe || !numbers.count("labels"), "--labels: only with --probe");
  const fs::path out = folder_of(request.options, run);
  const RunConfig config = RunFolder(run).read_config();
  LoadedRun loaded = load_run(run, options);
  const RealImages images = real_images(config, loaded.identity, run);
  if (request.probe)
    return show_probe(loaded, images, options.integer("labels"), static_cast<std::uint64_t>(options.integer("seed")),
                      out);
  const std::int64_t count = count_of(request.options, options, images);
  const auto seed = static_cast<std::uint64_t>(options.integer("seed"));
  const Judge judge = judge_of(request.options, options, config, loaded.identity, images);

  const ModelInfo& info = find_model(loaded.identity.model);
  Evaluation e;
  e.subject = {run, info.name, info.summary, info.paper, loaded.identity.data_name, loaded.at.iteration};
  e.count = count;
  e.seed = seed;
  e.judge = judge.name;
  e.accuracy = judge.accuracy;
  e.tested = images.held_out.count;
  e.reference = images.kind;
  e.class_names = images.train.class_names;
  const Compared compared{draw_samples(*loaded.model, loaded.identity.image, seed, count),
                          pick_images(images.held_out, seed, 0, count), pick_images(images.train, seed, 0, count),
                          naive_images(images.train, count, seed), images.train};
  measure(e, compared, judge.net);
  measure_model(e, loaded, images, judge.net);
  write(e, out);
  return 0;
}

}  // namespace duel
