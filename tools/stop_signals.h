// Ctrl-C and its kin: the first one asks the training to stop after its iteration, the second one ends the program.
#pragma once

namespace duel {

// From construction on SIGINT, SIGTERM and SIGHUP are taken note of (SIGHUP not where the caller ignores it, as nohup
// does), and a closed pipe on standard output is no reason to end. One object at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int caught() const;  // the first signal that came; 0: none
};

}  // namespace duel
