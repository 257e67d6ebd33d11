// What the trainer needs of a model, and the list of all models.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/net.h"
#include "engine/state.h"
#include "engine/step.h"

namespace duel {

// What a model is told of its data.
struct DataShape {
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t classes = 0;  // of the labels; 0 where the model uses none
  bool operator==(const DataShape&) const = default;
};
// What a model does with labels. few: it learns from all, from some or from none of them.
enum class Labels : std::uint8_t { unused, needed, few };

// One option of a model: a number in [low, high], whole or not, or a word out of `choices`.
struct Setting {
  std::string name, help;  // name as on the command line, "n-critic"
  std::string standard;    // the default
  double low = 0, high = 0;
  bool whole = false;
  std::vector<std::string> choices;
};

// The values of all of a model's settings, by name, as text. Errors name the setting, the value and what is allowed.
class Settings {
 public:
  Settings() = default;
  Settings(const std::vector<Setting>& known, const std::map<std::string, std::string>& given);
  double number(const std::string& name) const;
  std::int64_t integer(const std::string& name) const;
  const std::string& word(const std::string& name) const;
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  const std::map<std::string, std::string>& values() const { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

class Model {
 public:
  virtual ~Model() = default;
  // All updates of one iteration; the body of a Step. Names: loss_d, loss_g, loss_<term>, d_real, d_fake, ...
  // Where some labels are hidden, those of these batches are not to be used, and one batch more follows, of labelled
  // images alone; else every batch has its labels. So batches.back() is the one to learn labels from.
  virtual Metrics step(std::span<const Batch> batches) = 0;
  virtual std::int64_t batches_per_step() const { return 1; }
  // It computes with groups of so many images of a batch, which has to be a multiple of it.
  virtual std::int64_t batch_divisor() const { return 1; }
  // Iterations that compute different things, told apart: the Step's variant. And one that computes as much as any.
  virtual int variant(std::int64_t iteration) const { return (void)iteration, 0; }
  virtual std::int64_t busiest_iteration() const { return 0; }
  // Noise for n samples, from the current context; and images (n,H,W,C) in [-1, 1] for it.
  virtual Tensor noise(std::int64_t n) const = 0;
  virtual Tensor sample(const Tensor& z) = 0;
  // Columns of the noise (N,...) that mean something. A category is one-hot over `count` columns, anything else a
  // number in [low, high] in one column.
  struct Code {
    std::string name;  // as on the command line; "class" for the labels' classes
    std::int64_t first = 0, count = 1;
    bool category = false;
    double low = -1, high = 1;
  };
  virtual std::vector<Code> codes() const { return {}; }
  // How many classes classify() tells apart; 0: none. They are clusters where the model learned them without labels.
  virtual std::int64_t answers() const { return 0; }
  virtual bool clusters() const { return false; }
  // Images (n,H,W,C) -> a score for each of answers(), the largest being the model's answer: (n,answers).
  virtual Tensor classify(const Tensor& images);
  // Everything that a resumed run needs: weights, statistics, averages, optimizers. Names are stable.
  virtual State state() const = 0;
  // The nets, with the shape of one sample of their inputs; for showing them.
  struct Part {
    std::string name;
    Net net;
    Shape input;
  };
  virtual std::vector<Part> parts() const = 0;
};

struct ModelInfo {
  std::string name, summary, paper;
  std::int64_t batch;  // the default batch size
  std::vector<Setting> settings;
  // Initial weights come from the current context (set_seed). Errors: an image shape that the model does not know.
  std::function<std::unique_ptr<Model>(const DataShape&, const Settings&)> make;
  Labels labels = Labels::unused;
};

// Error: not a multiple of the model's batch_divisor().
void check_batch(const Model& model, std::int64_t images);
// The least multiple of it that is not below `images`.
std::int64_t whole_groups(const Model& model, std::int64_t images);
// Error: the model needs labels and the images have none.
DataShape data_shape(const ModelInfo& model, const ImageSet& images);

const std::vector<ModelInfo>& models();
// Error: no model of that name; lists those there are.
const ModelInfo& find_model(const std::string& name);

// One for each model file.
ModelInfo gan_model();
ModelInfo dcgan_model();
ModelInfo lsgan_model();
ModelInfo hinge_model();
ModelInfo wgan_model();
ModelInfo wgan_gp_model();
ModelInfo cgan_model();
ModelInfo acgan_model();
ModelInfo infogan_model();
ModelInfo sgan_model();
ModelInfo catgan_model();
ModelInfo r3gan_model();

}  // namespace duel
