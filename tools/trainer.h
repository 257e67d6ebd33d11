// The loop around a Step: numbers, pictures, checkpoints, limits and signals. The same for every model.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "engine/data/dataset.h"
#include "engine/step.h"
#include "models/model.h"
#include "tools/checkpoint.h"
#include "tools/codes.h"
#include "tools/history.h"
#include "tools/observer.h"
#include "tools/progress.h"
#include "tools/run_folder.h"
#include "tools/stop_signals.h"

namespace duel {

class Trainer {
 public:
  // `held_out`: real images that samples are compared with, where there are some; not needed afterwards.
  // `start`: when the command began (seconds_now), for --minutes. All else that is referred to outlives the trainer.
  Trainer(Model& model, Dataset& data, const std::optional<ImageSet>& held_out, RunFolder& folder,
          const RunConfig& config, const RunIdentity& identity, double start);

  // Goes on from there. Error: the cursor lies outside the data.
  void restore(const Progression& at);
  // Until a limit or a signal. The exit status: 0, or 128 + the signal. Error: the folder cannot be written at the
  // start; TrainingFailed: anything later.
  int run();

 private:
  void begin();
  void loop();
  void iterate();
  void take();  // the numbers of the oldest iteration in flight
  void log(std::int64_t step, std::span<const double> values, double took);
  [[noreturn]] void explain_bad_values(std::int64_t iteration);
  Quality measure();
  void snapshot();
  int finish();
  void write_report(const std::string& state);
  bool at_limit() const;
  Standing standing() const;

  Model& model_;
  Dataset& data_;
  RunFolder& folder_;
  RunConfig config_;
  RunIdentity identity_;
  std::int64_t steps_ = 0, snapshot_every_ = 0;  // steps_ 0: no limit
  double start_, seconds_limit_ = 0;             // 0: no limit

  Step step_;
  Progress progress_;
  History history_;
  Observer observer_;
  StopSignals signals_;
  // How many iterations the host may be ahead of the device: on a GPU it prepares while that computes.
  std::size_t ahead_ = default_device() == Device::cpu ? 0 : Step::most_in_flight - 1;
  std::deque<Cursor> cursors_;  // where the batches of those in flight began
  ImageSet samples_;            // of the last measure()
  GridForm grid_;
  ImageSet labelled_;                // held-out images that the model's answers are tested with, where it has some
  bool due_ = false, done_ = false;  // after this iteration comes a snapshot; the end
  bool resumed_ = false;
  std::int64_t first_ = 0, saved_ = -1;  // where this call began; the step of the last checkpoint
  // The first iteration of a call is recorded and slower than all others: the rate leaves it out.
  double timed_seconds_ = 0, steps_per_s_ = 0;  // in all; of the last five seconds, about
  std::int64_t timed_ = 0;
  double last_taken_ = 0, waited_seconds_ = 0;  // when the last numbers came; in all, for batches
};

}  // namespace duel
