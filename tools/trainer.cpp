#include "tools/trainer.h"

#include <fmt/format.h>

#include <cmath>
#include <new>

#include "engine/bad_value.h"
#include "engine/device.h"
#include "engine/error.h"
#include "tools/answers.h"
#include "tools/commands.h"
#include "tools/plan.h"
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

ImageSet first_images(const ImageSet& set, std::int64_t count) {
  ImageSet some{.name = set.name,
                .count = std::min(count, set.held()),
                .height = set.height,
                .width = set.width,
                .channels = set.channels,
                .pixels = {},
                .labels = {}};
  const std::int64_t bytes = some.count * set.height * set.width * set.channels;
  some.pixels.assign(set.pixels.begin(), set.pixels.begin() + bytes);
  return some;
}

}  // namespace

Trainer::Trainer(Model& model, Dataset& data, const std::optional<ImageSet>& held_out, RunFolder& folder,
                 const RunConfig& config, const RunIdentity& identity, double start)
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
      progress_(identity.model),
      observer_(folder, config, identity, data.images(), held_out, progress_),
      grid_(grid_form(model)) {
  if (model.answers() > 0 && held_out && !held_out->labels.empty()) labelled_ = *held_out;
}

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
    if (!resumed_) {
      const std::vector<double> distance{measure().swd};
      history_.add({0, std::vector<std::string>{"swd"}, distance});
      snapshot();
    }
    loop();
    write_report(signals_.caught() ? "stopped" : "done");
  } catch (const Error& e) {
    throw TrainingFailed(fmt::format("{} (at step {})", e.what(), step_.iteration()));
  } catch (const std::bad_alloc&) {
    throw TrainingFailed(fmt::format("out of memory at step {}; try a smaller --batch", step_.iteration()));
  }
  return finish();
}

void Trainer::begin() {
  folder_.open();
  observer_.begin(resumed_, history_);
  folder_.open_log(first_, history_);
  observer_.look_back(history_);
  folder_.write_config(config_, identity_);
  const ImageSet& real = data_.images();
  if (!resumed_) save_grid(folder_.path() / "real.png", first_images(real, grid_.images));
  if (real.skipped > 0)
    progress_.say(fmt::format("{}: {} broken {} left out, the first: {}", real.name, real.skipped,
                              real.skipped == 1 ? "image" : "images", real.first_skipped));
  progress_.say(fmt::format("{} on {}: {} images {}x{}x{}, {} weights, batch {}, seed {}, threads {}, {} {}; on {}",
                            identity_.model, real.name, real.count, real.height, real.width, real.channels,
                            weights(model_), identity_.batch, identity_.seed, option(config_, "threads"),
                            resumed_ ? fmt::format("from step {} in", first_) : "to", folder_.path().string(),
                            choose_device(option(config_, "device")).what));
}

void Trainer::loop() {
  // Whether an iteration is the last one is decided before its record is written, which then holds the quality of the
  // samples; and once more after a snapshot, when all is saved and nothing is lost by stopping.
  done_ = at_limit() || signals_.caught();
  last_taken_ = seconds_now();
  while (!done_) {
    iterate();
    if (!due_) continue;
    snapshot();
    if (at_limit() || signals_.caught()) done_ = true;
    last_taken_ = seconds_now();
  }
}

void Trainer::iterate() {
  cursors_.push_back(data_.cursor());
  const double before = seconds_now();
  const std::span<const HostBatch> batches = data_.next(model_.batches_per_step(), identity_.batch);
  if (step_.iteration() > first_) waited_seconds_ += seconds_now() - before;
  step_.submit(batches, model_.variant(step_.iteration()));
  done_ = at_limit() || signals_.caught();
  due_ = done_ || step_.iteration() % snapshot_every_ == 0;
  while (step_.in_flight() > (due_ ? 0 : ahead_)) take();
}

void Trainer::take() {
  const Step::Outcome outcome = step_.take();
  const double now = seconds_now(), took = std::max(now - last_taken_, 1e-9);
  last_taken_ = now;
  if (!outcome.finite) explain_bad_values(outcome.iteration);
  cursors_.pop_front();
  const std::int64_t step = outcome.iteration + 1;
  if (step > first_ + 1) {
    timed_seconds_ += took;
    // Weighted by time, so that it is the steps over the seconds they took.
    steps_per_s_ = timed_++ ? steps_per_s_ + (1 - std::exp(-took / 5)) * (1 / took - steps_per_s_) : 1 / took;
  }
  log(step, outcome.values, took);
}

void Trainer::log(std::int64_t step, std::span<const double> values, double took) {
  const Record record{step, step_.names(), values};
  const bool due = due_ && step_.in_flight() == 0;
  observer_.look(record);
  std::vector<std::string> names = step_.names();
  std::vector<double> all(values.begin(), values.end());
  Quality quality;
  double wrong = 0;
  if (due) {
    quality = measure();
    names.insert(names.end(), {"swd", "diversity"});
    all.insert(all.end(), {quality.swd, quality.diversity});
    if (labelled_.count > 0) {
      wrong = std::round(1e4 * error_rate(model_, labelled_)) / 1e4;
      names.push_back("test_error");
      all.push_back(wrong);
    }
  }
  const double rate = static_cast<double>(identity_.batch * model_.batches_per_step()) / took;
  folder_.log({record.step, names, all}, rate);
  names.push_back("images_per_s");
  all.push_back(rate);
  history_.add({record.step, names, all});
  progress_.update(standing(), record, due);
  if (due)
    progress_.say(fmt::format("step {}: sliced Wasserstein distance {:.1f} (real images: {:.1f}), diversity {:.2f}{}",
                              record.step, quality.swd, observer_.meter().attainable().swd, quality.diversity,
                              labelled_.count > 0 ? fmt::format(", test error {:.2f} %", 100 * wrong) : ""));
}

void Trainer::explain_bad_values(std::int64_t iteration) {
  // State is still what it was then: nothing writes it any more. Later iterations in flight are of no interest.
  while (step_.in_flight() > 0) step_.take();
  data_.seek(cursors_.front());
  const std::span<const HostBatch> batches = data_.next(model_.batches_per_step(), identity_.batch);
  const std::int64_t at = iteration + 1;
  step_.seek(at);
  const std::string why = find_bad_value(step_, batches, model_.state(), model_.variant(iteration));
  observer_.failed(at, fmt::format("the gradients are not finite: {}", why));
  try {
    write_report("failed");
  } catch (const Error&) {  // what went wrong first is what is told
  }
  throw TrainingFailed(fmt::format("the gradients of step {} are not finite: {}; {} holds step {}; try a smaller --lr",
                                   at, why, folder_.checkpoint().string(), saved_));
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

Quality Trainer::measure() {
  const Tensor z =
      draw_noise(model_, snapshot_seed(identity_.seed), std::max(grid_.images, observer_.meter().images()));
  samples_ = draw_images(model_, identity_.image, with_categories_in_turn(model_, z));
  const Quality quality = observer_.meter().measure(samples_);
  observer_.look(step_.iteration(), quality);
  return quality;
}

void Trainer::snapshot() {
  const std::int64_t at = step_.iteration();
  folder_.write_samples(first_images(samples_, grid_.images), grid_.columns, at);
  if (!model_.codes().empty())
    save_png(folder_.path() / "codes.png", sweep_codes(model_, identity_.image, snapshot_seed(identity_.seed)));
  history_.draw(folder_.path() / "curves.png", identity_.model, observer_.meter().attainable().swd);
  save_checkpoint(folder_.checkpoint(), identity_, model_, {at, data_.cursor()});
  saved_ = at;
  if (!done_) write_report("training");
}

void Trainer::write_report(const std::string& state) {
  const Cursor cursor = data_.cursor();
  const double epochs =
      static_cast<double>(cursor.epoch) + static_cast<double>(cursor.index) / static_cast<double>(data_.size());
  observer_.write(standing(), epochs, state, history_);
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
  const double waited = timed_ ? 100 * waited_seconds_ / timed_seconds_ : 0;
  progress_.say(fmt::format(
      "done: step {} after {}, {:.0f} images/s, {:.1f} % of the time waiting for batches, {}; see report.html in {}",
      saved_, duration(seconds_now() - start_), rate, waited, peak_memory(step_), path));
  return 0;
}

}  // namespace duel
