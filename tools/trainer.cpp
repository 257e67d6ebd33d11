#include "tools/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <new>

#include "engine/error.h"
#include "tools/commands.h"
#include "tools/sampler.h"

namespace duel {
namespace {

std::string option(const RunConfig& config, const std::string& name) {
  const auto it = config.options.find(name);
  return it == config.options.end() ? "0" : it->second;
}

std::int64_t weights(const Model& model) {
  std::int64_t n = 0;
  for (const NamedTensor& t : model.state())
    if (t.kind == Kind::parameter) n += t.value.size();
  return n;
}

constexpr std::int64_t grid_images = 64;

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Trainer::Trainer(Model& model, Dataset& data, RunFolder& folder, const RunConfig& config, const RunIdentity& identity,
                 double start)
    : model_(model),
      data_(data),
      folder_(folder),
      config_(config),
      identity_(identity),
      steps_(std::stoll(option(config, "steps"))),
      snapshot_every_(std::stoll(option(config, "snapshot-every"))),
      start_(start),
      seconds_limit_(60 * std::stod(option(config, "minutes"))),
      step_([&](std::span<const Batch> batches) { return model_.step(batches); }, identity.seed),
      progress_(identity.model) {}

void Trainer::restore(const Progression& at) {
  data_.seek(at.cursor);
  step_.seek(at.iteration);
  first_ = saved_ = at.iteration;
  resumed_ = true;
}

bool Trainer::at_limit() const {
  return (steps_ > 0 && step_.iteration() >= steps_) ||
         (seconds_limit_ > 0 && seconds_now() - start_ >= seconds_limit_);
}

int Trainer::run() {
  if (resumed_ && steps_ > 0 && first_ >= steps_) {
    progress_.say(
        fmt::format("{}: at step {} already, --steps is {}: nothing to do", folder_.path().string(), first_, steps_));
    return 0;
  }
  begin();
  try {
    if (!resumed_) snapshot();
    loop();
    if (saved_ != step_.iteration()) snapshot();
  } catch (const Error& e) {
    throw TrainingFailed(fmt::format("{} (at step {})", e.what(), step_.iteration()));
  } catch (const std::bad_alloc&) {
    throw TrainingFailed(fmt::format("out of memory at step {}; try a smaller --batch", step_.iteration()));
  }
  return finish();
}

void Trainer::begin() {
  folder_.open();
  folder_.open_log(first_, history_);
  folder_.write_config(config_, identity_);
  const ImageSet& real = data_.images();
  if (!resumed_) {
    ImageSet some = real;
    some.count = std::min(grid_images, real.count);
    some.pixels.resize(static_cast<std::size_t>(some.count * real.height * real.width * real.channels));
    save_grid(folder_.path() / "real.png", some);
  }
  progress_.say(fmt::format("{} on {}: {} images {}x{}x{}, {} weights, batch {}, seed {}, threads {}, {} {}",
                            identity_.model, real.name, real.count, real.height, real.width, real.channels,
                            weights(model_), identity_.batch, identity_.seed, option(config_, "threads"),
                            resumed_ ? fmt::format("from step {} in", first_) : "to", folder_.path().string()));
}

void Trainer::loop() {
  while (!at_limit() && !signals_.caught()) {
    iterate();
    if (step_.iteration() % snapshot_every_ == 0) snapshot();
  }
}

void Trainer::iterate() {
  const double before = seconds_now();
  const std::span<const double> values = step_(data_.next(model_.batches_per_step(), identity_.batch));
  const double took = std::max(seconds_now() - before, 1e-9);
  if (!step_.finite())
    throw TrainingFailed(fmt::format("the gradients of step {} are not finite; {} holds step {}; try a smaller --lr",
                                     step_.iteration(), folder_.checkpoint().string(), saved_));
  if (step_.iteration() > first_ + 1) {
    timed_seconds_ += took;
    // Weighted by time, so that it is the steps over the seconds they took.
    steps_per_s_ = timed_++ ? steps_per_s_ + (1 - std::exp(-took / 5)) * (1 / took - steps_per_s_) : 1 / took;
  }
  const Record record{step_.iteration(), step_.names(), values};
  history_.add(record);
  folder_.log(record, static_cast<double>(identity_.batch * model_.batches_per_step()) / took);
  const bool last = at_limit() || signals_.caught() || record.step % snapshot_every_ == 0;
  progress_.update(standing(), record, last);
}

Standing Trainer::standing() const {
  Standing s;
  s.step = step_.iteration();
  s.steps = steps_;
  s.seconds = seconds_now() - start_;
  s.seconds_limit = seconds_limit_;
  if (timed_ == 0) return s;
  s.images_per_s = static_cast<double>(identity_.batch * model_.batches_per_step()) * steps_per_s_;
  if (steps_ > 0) s.seconds_left = static_cast<double>(steps_ - s.step) / steps_per_s_;
  if (seconds_limit_ > 0) {
    const double rest = std::max(seconds_limit_ - s.seconds, 0.0);
    s.seconds_left = steps_ > 0 ? std::min(s.seconds_left, rest) : rest;
  }
  return s;
}

void Trainer::snapshot() {
  const std::int64_t at = step_.iteration();
  folder_.write_samples(draw_samples(model_, identity_.image, snapshot_seed(identity_.seed), grid_images), at);
  history_.draw(folder_.path() / "curves.png", identity_.model);
  save_checkpoint(folder_.checkpoint(), identity_, model_, {at, data_.cursor()});
  saved_ = at;
}

int Trainer::finish() {
  const std::string path = folder_.path().string();
  const double rate =
      timed_ ? static_cast<double>(identity_.batch * model_.batches_per_step() * timed_) / timed_seconds_ : 0;
  if (const int signal = signals_.caught()) {
    progress_.say(fmt::format("stopped and saved at step {}; go on with: duel train {} --out {} --resume", saved_,
                              identity_.model, path));
    return 128 + signal;
  }
  progress_.say(fmt::format("done: step {} after {}, {:.0f} images/s; see samples.png, curves.png and log.jsonl in {}",
                            saved_, duration(seconds_now() - start_), rate, path));
  return 0;
}

}  // namespace duel
