// The commands of `duel`. Each answers its exit status; Error: a bad input, in one line, with nothing written.
#pragma once
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/model.h"

namespace duel {

// The training itself went wrong (numbers that are not finite, a full disk): exit status 1.
class TrainingFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The options of every training besides --data, --background, --out and --resume; the defaults are those for this
// model. An empty default: no limit.
std::vector<Setting> train_options(const ModelInfo& model);
// On the command line a switch without a value: no, or yes where it is given.
bool is_switch(const Setting& setting);

// What the command line holds, as text; what was not given is not there.
struct TrainRequest {
  std::map<std::string, std::string> settings;  // the model's own
  std::map<std::string, std::string> options;   // train_options, and "data", "background", "out", "init", "profile"
  bool resume = false;
  bool dry_run = false;  // the plan only; nothing is written
};
int train(const ModelInfo& model, const TrainRequest& request);

// What the command line holds, as text: the model's settings, verify_options and "data".
struct VerifyRequest {
  std::map<std::string, std::string> settings, options;
  bool all = false;  // every row of the tables
};
std::vector<Setting> verify_options();
// Exit status 1: a device computes something else than the reference.
int verify(const ModelInfo& model, const VerifyRequest& request);

std::vector<Setting> sample_options();
int sample(const std::string& run, const std::map<std::string, std::string>& options);
std::vector<Setting> interpolate_options();
int interpolate(const std::string& run, const std::map<std::string, std::string>& options);
std::vector<Setting> arithmetic_options();
int arithmetic(const std::string& run, const std::map<std::string, std::string>& options);
// What the command line holds, as text: evaluate_options, "features" and "out".
struct EvaluateRequest {
  std::map<std::string, std::string> options;
  bool probe = false;  // D's features in the place of the samples
};
std::vector<Setting> evaluate_options();
int evaluate(const std::string& run, const EvaluateRequest& request);
// A safetensors file, or a run's checkpoint.
int inspect(const std::string& file);

int list_models();
int list_data();
int list_devices();
int list_ops();

}  // namespace duel
