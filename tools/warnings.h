// Signs that a training goes wrong, each said once, with what to do.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/history.h"

namespace duel {

struct Warning {
  std::string id;  // "saturated", "diversity", "loss"
  std::int64_t step = 0;
  std::string text;          // what was seen
  std::string advice;        // an imperative: "try ..."
  std::string line() const;  // "step 1200: <text>; <advice>"
};

// What the numbers of a model mean.
struct WatchRules {
  std::string model;
  bool probabilities = false;  // d_real and d_fake are probabilities (cross-entropy losses)
  bool bounded_loss_g =
      false;                  // loss_g is a distance from something. A critic's outputs have no origin: then it drifts
  double scale = 1;           // of the losses' terms: the penalty's weight beside the usual 10
  bool may_penalise = false;  // it has --penalty, and runs without
  static WatchRules of(const std::string& model, const std::map<std::string, std::string>& settings);
};

class Watch {
 public:
  explicit Watch(WatchRules rules) : rules_(std::move(rules)) {}

  // After each iteration: what is new.
  std::vector<Warning> look(const Record& record);
  // After each snapshot: the samples' diversity beside that of real images (tools/sample_meter.h).
  std::optional<Warning> look(std::int64_t step, double diversity);
  // That one was said before (by the run that is resumed).
  void said(const std::string& id) { said_.insert(id); }

 private:
  std::optional<Warning> saturation(const Record& record);
  std::optional<Warning> explosion(std::int64_t step, const std::string& loss, double value);

  struct Loss {
    std::vector<double> window;  // absolute values of the last steps, as a ring
    std::size_t next = 0;
    double start = -1;  // median of the first window
  };

  WatchRules rules_;
  std::set<std::string> said_;
  double d_real_ = 0.5, d_fake_ = 0.5;  // running means
  std::int64_t saturated_ = 0;          // steps in a row
  std::map<std::string, Loss> losses_;
  double most_diverse_ = 0;
  bool was_poor_ = false;
};

}  // namespace duel
