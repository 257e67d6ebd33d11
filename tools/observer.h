// What watches a training: the distance of its samples, the warnings, and the report.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "models/model.h"
#include "tools/checkpoint.h"
#include "tools/history.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/run_folder.h"
#include "tools/sample_meter.h"
#include "tools/warnings.h"

namespace duel {

class Observer {
 public:
  Observer(const RunFolder& folder, const RunConfig& config, const RunIdentity& identity, const ImageSet& train,
           const std::optional<ImageSet>& held_out, Progress& progress);

  // Before the first iteration. A resumed run goes on with what its report remembers: `history` gets the distance at
  // step 0, so this comes before the log is read.
  void begin(bool resumed, History& history);
  // After the log was read: the warnings know what the diversity was.
  void look_back(const History& history);

  const SampleMeter& meter() const { return meter_; }
  // Says warnings, each once in the life of a run.
  void look(const Record& record);
  void look(std::int64_t step, const Quality& quality);

  // Writes report.html; unless it is the last time, not where that would take more than one percent of the time.
  // state: "training", "done", "stopped" or "failed".
  void write(const Standing& now, double epochs, const std::string& state, const History& history);
  // The training cannot go on: the report says so.
  void failed(std::int64_t step, const std::string& why);

 private:
  void say(const Warning& warning);
  Report report(const std::string& state, std::int64_t step) const;
  std::string command(std::int64_t step) const;  // that repeats the run up to there

  const RunFolder& folder_;
  RunConfig config_;
  RunIdentity identity_;
  Progress& progress_;
  SampleMeter meter_;
  Watch watch_;
  ReportMemory memory_;
  Facts data_facts_, machine_;
  double before_ = 0, spent_ = 0;  // seconds of earlier calls; of this call for reports
};

}  // namespace duel
