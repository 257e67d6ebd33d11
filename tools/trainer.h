// The loop around a Step: numbers, pictures, checkpoints, limits and signals. The same for every model.
#pragma once
#include <cstdint>

#include "engine/dataset.h"
#include "engine/step.h"
#include "models/model.h"
#include "tools/checkpoint.h"
#include "tools/history.h"
#include "tools/progress.h"
#include "tools/run_folder.h"
#include "tools/stop_signals.h"

namespace duel {

class Trainer {
 public:
  // `start`: when the command began (seconds_now), for --minutes. All that is referred to outlives the trainer.
  Trainer(Model& model, Dataset& data, RunFolder& folder, const RunConfig& config, const RunIdentity& identity,
          double start);

  // Goes on from there. Error: the cursor lies outside the data.
  void restore(const Progression& at);
  // Until a limit or a signal. The exit status: 0, or 128 + the signal. Error: the folder cannot be written at the
  // start; TrainingFailed: anything later.
  int run();

 private:
  void begin();
  void loop();
  void iterate();
  void snapshot();
  int finish();
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
  StopSignals signals_;
  bool resumed_ = false;
  std::int64_t first_ = 0, saved_ = -1;  // where this call began; the step of the last checkpoint
  // The first iteration of a call is recorded and slower than all others: the rate leaves it out.
  double timed_seconds_ = 0, steps_per_s_ = 0;  // in all; of the last five seconds, about
  std::int64_t timed_ = 0;
};

double seconds_now();  // of a clock that never goes back

}  // namespace duel
