#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "engine/context.h"
#include "engine/data/dataset.h"
#include "engine/error.h"
#include "engine/products.h"
#include "tools/checkpoint.h"
#include "tools/commands.h"
#include "tools/initial_weights.h"
#include "tools/plan.h"
#include "tools/profile.h"
#include "tools/run_data.h"
#include "tools/run_folder.h"
#include "tools/threads.h"
#include "tools/trainer.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Texts = std::map<std::string, std::string>;

// The options besides "data", "out" and "init", checked and written canonically; those without a limit are left out.
Texts checked_options(const ModelInfo& info, const Texts& given, bool with_defaults) {
  Texts numbers = given;
  for (const char* text : {"data", "out", "init", "background", "profile"}) numbers.erase(text);
  // A time to stop at takes the place of the default number of steps.
  const bool only_minutes = numbers.count("minutes") > 0 && numbers.count("steps") == 0;
  std::vector<Setting> known;
  for (const Setting& s : train_options(info)) {
    const bool is_default = numbers.count(s.name) == 0;
    if (is_default && (!with_defaults || s.standard.empty() || (s.name == "steps" && only_minutes))) continue;
    known.push_back(s);
  }
  Texts values = canonical(known, numbers).values();
  if (with_defaults || given.count("background"))
    values["background"] = to_string(parse_color(value_or(given, "background", "white")));
  return values;
}

// The model's settings; without defaults: only those given.
Texts checked_settings(const ModelInfo& info, const Texts& given, bool with_defaults) {
  Texts all = canonical(info.settings, given).values();
  if (!with_defaults) std::erase_if(all, [&](const auto& item) { return given.count(item.first) == 0; });
  return all;
}

const std::vector<std::string> switch_words{"no", "yes"};

// What a run keeps for good. The images are compared besides.
const std::set<std::string> fixed_options{"batch", "seed",        "size",      "background", "limit",
                                          "flip",  "skip-broken", "precision", "stream",     "labels"};

std::string where(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(path, error);
  return error ? path.string() : absolute.string();
}
std::string data_spec(const std::string& given) { return given == "glyphs" ? given : where(given); }

fs::path default_out(const ModelInfo& info, const Texts& given) {
  const std::string data = fs::path(data_spec(value_or(given, "data", "glyphs"))).filename().string();
  const std::string seed = value_or(checked_options(info, given, true), "seed", "");
  return fs::path("runs") / fmt::format("{}-{}-{}", info.name, data, seed);
}

// The stored run's options, with those of this call in the place of what may differ. Error: what may not differ does.
RunConfig merge(const RunFolder& folder, const RunConfig& stored, const ModelInfo& info, const TrainRequest& request) {
  const std::string run = folder.path().string();
  require(stored.model == info.name, "{}: found a run of {}, expected {}; choose another --out", run, stored.model,
          info.name);
  RunConfig config = stored;
  auto must_agree = [&](const Texts& before, const std::string& name, const std::string& now) {
    const std::string then = value_or(before, name, "nothing");
    require(then == now, "{}: the run has --{} {}, found --{} {}; leave it out to resume or choose another --out", run,
            name, then, name, now);
  };
  for (const auto& [name, value] : checked_settings(info, request.settings, false))
    must_agree(stored.settings, name, value);
  const Texts now = checked_options(info, request.options, false);
  // New limits replace the old ones together.
  if (now.count("steps") || now.count("minutes")) {
    config.options.erase("steps");
    config.options.erase("minutes");
  }
  const Texts before = checked_options(info, stored.options, true);  // also what the run's own Duel did not know
  for (const auto& [name, value] : now) {
    if (fixed_options.count(name)) must_agree(before, name, value);
    config.options[name] = value;
  }
  require(!request.options.count("init"), "--init {}: {} goes on with its own weights; leave out --init or --resume",
          value_or(request.options, "init", ""), run);
  if (request.options.count("data")) config.options["data"] = data_spec(request.options.at("data"));
  const std::string data = value_or(config.options, "data", "glyphs"), init = value_or(config.options, "init", "");
  config.settings = checked_settings(info, config.settings, true);
  config.options = checked_options(info, config.options, true);
  config.options["data"] = data;
  if (!init.empty()) config.options["init"] = init;
  return config;
}

void check_same(const RunIdentity& found, const RunIdentity& expected, const std::string& file) {
  // The data are what they hold, wherever they lie now.
  require(found.data_digest == expected.data_digest,
          "{}: the run's data are {} ({} images, digest {}), found {} ({} images, digest {})", file, found.data_name,
          found.data_count, found.data_digest, expected.data_name, expected.data_count, expected.data_digest);
  require(found.precision == expected.precision, "{}: precision is {}, expected {} as in config.json", file,
          found.precision, expected.precision);
  const Texts then = found.metadata();
  for (const auto& [field, value] : expected.metadata())
    require(field == "data" || value_or(then, field, "nothing") == value, "{}: {} is {}, expected {} as in config.json",
            file, field, value_or(then, field, "nothing"), value);
}

// On the CPU they stay where they are: the thread that gathers batches ahead of time is for free there.
bool on_device(const Texts& options, const ImageSet& images) {
  const std::string& word = options.at("data-on");
  if (word != "auto" || images.source) return word == "device";
  return default_device() != Device::cpu && images.pixels.size() <= driver(default_device()).capacity() / 4;
}

std::uint64_t seed_of(const Texts& options) { return std::stoull(options.at("seed")); }

}  // namespace

bool is_switch(const Setting& setting) { return setting.choices == switch_words; }

std::vector<Setting> train_options(const ModelInfo& model) {
  std::vector<Setting> options{
      {"steps", "iterations in total, those of a resumed run included", "10000", 1, 1e9, true, {}},
      {"minutes", "stop after this time; without --steps: only then", "", 0.001, 525600, false, {}},
      {"batch", "images in a batch", std::to_string(model.batch), 1, 65536, true, {}},
      {"size", "crop images to squares and resize them to N x N pixels; 0: as they are", "0", 0, 4096, true, {}},
      {"limit", "only the first N images, of class folders taken in turn", "", 1, 1e9, true, {}},
      {"flip", "mirror images left to right at random", "no", 0, 0, false, switch_words},
      {"stream",
       "decode PNG and JPEG files anew for every batch; auto: where they would fill half the memory",
       "auto",
       0,
       0,
       false,
       {"auto", "no", "yes"}},
      {"skip-broken", "leave damaged PNG and JPEG files out", "no", 0, 0, false, switch_words},
      {"seed", "the seed of everything random", "1", 0, 9007199254740992, true, {}},
      threads_option(),
      device_option(),
      precision_option(),
      {"data-on",
       "where all images lie while training; auto: on the device, if they take a quarter of it or less",
       "auto",
       0,
       0,
       false,
       {"auto", "device", "host"}},
      conv_option(),
      {"deterministic", "only kernels that give the same bits every time; not yet run on a GPU", "no", 0, 0, false,
       switch_words},
      {"snapshot-every", "steps between two pictures with a checkpoint", "500", 1, 1e9, true, {}}};
  if (model.labels == Labels::few)
    options.push_back(
        {"labels", "hide all labels but N, as many of each class; 0: learn without any", "", 0, 1e9, true, {}});
  return options;
}

int train(const ModelInfo& info, const TrainRequest& request) {
  const double start = seconds_now();
  // Everything of the call is checked first, then everything it names, and only then is the folder touched.
  RunConfig config{info.name, checked_settings(info, request.settings, true),
                   checked_options(info, request.options, true)};
  config.options["data"] = data_spec(value_or(request.options, "data", "glyphs"));
  if (request.options.count("init")) config.options["init"] = where(request.options.at("init"));
  const std::string out = value_or(request.options, "out", default_out(info, request.options).string());
  require(!out.empty(), "--out: found '', expected a folder");
  RunFolder folder(out);
  std::string threads_before;
  std::optional<ProfileRequest> profile;
  if (request.options.count("profile")) {
    require(!request.resume && !request.dry_run, "--profile: leave out {}: it tries the model as it begins",
            request.resume ? "--resume" : "--dry-run");
    profile = profile_request(request.options.at("profile"), value_or(request.options, "out", ""));
  } else if (request.resume) {
    const RunConfig stored = folder.read_config();
    threads_before = value_or(stored.options, "threads", "");
    config = merge(folder, stored, info, request);
  } else {
    folder.check_free();
  }

  configure_threads(std::stoi(config.options.at("threads")));
  use_device(config.options.at("device"));
  choose_products(config.options.at("conv"), config.options.at("deterministic") == "yes");
  use_precision(config.options.at("precision"));
  const std::uint64_t seed = seed_of(config.options);
  const bool flip = config.options.at("flip") == "yes";
  ImageSet loaded = load_training_images(config.options.at("data"), image_options(config.options));
  const std::string data_digest = digest(loaded), labels = value_or(config.options, "labels", "");
  if (!labels.empty()) keep_labels(loaded, std::stoll(labels), seed);
  Dataset data(std::move(loaded), seed, flip);
  const ImageSet& images = data.images();
  if (on_device(config.options, images)) data.make_resident();
  const std::int64_t batch = std::stoll(config.options.at("batch"));
  require(batch <= images.count, "--batch: found {}, expected at most {}: the images of {}", batch, images.count,
          config.options.at("data"));
  RunIdentity identity{
      info.name, config.settings, data_shape(info, images),      batch, seed, images.name, data_digest, images.count,
      flip,      labels,          config.options.at("precision")};
  std::optional<TensorFile> checkpoint;
  if (request.resume) {
    std::error_code error;
    require(fs::exists(folder.checkpoint(), error), "{}: no checkpoint to resume from; choose another --out",
            folder.checkpoint().string());
    checkpoint = read_safetensors(folder.checkpoint());
    const std::string name = folder.checkpoint().string();
    RunIdentity found = RunIdentity::parse(checkpoint->metadata, name);
    found.settings = checked_settings(info, found.settings, true);  // also those that its own Duel did not know
    check_same(found, identity, name);
    identity.data_name = found.data_name;
  }
  set_seed(seed);
  const auto model = info.make(identity.image, Settings(info.settings, config.settings));
  check_batch(*model, batch);
  if (!request.resume && config.options.count("init")) {
    const InitialWeights w = load_weights(config.options.at("init"), *model);
    fmt::print("init: {} tensors from {}; {} more in it are not used, {} of the model begin as they are drawn\n",
               w.loaded, w.file, w.unused, w.initial);
  }
  if (request.dry_run) return show_plan(*model, data, identity, std::stoll(value_or(config.options, "steps", "0")));
  if (profile) return show_profile(*model, data, identity, *profile);
  Trainer trainer(*model, data, held_out_images(config.options), folder, config, identity, start);
  if (checkpoint) {
    trainer.restore(load_state(*checkpoint, folder.checkpoint().string(), *model));
    checkpoint.reset();
    if (threads_before != config.options.at("threads"))
      fmt::print("duel: the run had --threads {}, this is --threads {}: results may differ in the last bits\n",
                 threads_before, config.options.at("threads"));
  }
  const int status = trainer.run();
  for (const std::string& engine : dropped_products()) fmt::print("duel: not used: {}\n", engine);
  return status;
}

}  // namespace duel
