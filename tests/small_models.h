// Every model at its smallest, on a few drawn digits.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/data/dataset.h"
#include "engine/data/glyphs.h"
#include "engine/step.h"
#include "models/model.h"

namespace duel::test {

struct Trainer {
  std::unique_ptr<Model> model;
  Dataset data;
  Step step;
  std::int64_t batch;
  Trainer(const std::string& name, const std::map<std::string, std::string>& given, std::int64_t n)
      : data(make_glyphs(200, 3), 4),
        step([this](std::span<const Batch> b) { return model->step(b); }, 11),
        // Its grouped convolutions at full size are slow where GPU kernels are executed on the CPU.
        batch(name == "r3gan" ? std::min<std::int64_t>(n, 2) : n) {
    set_seed(11);
    const ModelInfo& info = find_model(name);
    model = info.make(data_shape(info, data.images()), Settings(info.settings, given));
  }
  std::vector<double> iterate() {
    auto v = step(data.next(model->batches_per_step(), batch), model->variant(step.iteration()));
    return {v.begin(), v.end()};
  }
};

inline const std::map<std::string, std::map<std::string, std::string>>& small() {
  static const std::map<std::string, std::map<std::string, std::string>> table{
      {"gan", {{"z-dim", "10"}}},
      {"dcgan", {{"width", "8"}, {"z-dim", "10"}}},
      {"lsgan", {{"width", "8"}, {"z-dim", "10"}, {"codes", "-1-1-0"}}},
      {"hinge", {{"width", "8"}, {"z-dim", "10"}, {"penalty", "r1"}, {"norm", "none"}}},
      {"wgan", {{"width", "8"}, {"z-dim", "10"}, {"n-critic", "2"}}},
      {"wgan-gp", {{"width", "8"}, {"n-critic", "2"}, {"z-dim", "10"}}},
      {"r3gan", {{"width", "8"}, {"z-dim", "10"}, {"burn-in", "20"}}},
      {"cgan", {{"width", "8"}, {"z-dim", "10"}}},
      {"acgan", {{"width", "8"}, {"z-dim", "10"}, {"n-critic", "2"}}},
      {"infogan", {{"width", "8"}, {"z-dim", "10"}, {"lr-g", "0"}}},
      {"sgan", {{"width", "32"}, {"z-dim", "10"}, {"lr", "0.0002"}}},
      {"catgan", {{"width", "8"}, {"z-dim", "10"}}}};
  return table;
}

inline Net net_of(const Model& model, const std::string& name) {
  for (const Model::Part& part : model.parts())
    if (part.name == name) return part.net;
  FAIL("no net " << name);
  return Net();
}
inline std::vector<double> whole_state(const Model& m) {
  std::vector<double> all;
  for (const NamedTensor& t : m.state())
    for (double v : t.value.to_vector<double>()) all.push_back(v);
  return all;
}

}  // namespace duel::test
