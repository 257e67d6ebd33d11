// --init: the weights that a training begins with, out of another run or of a file made by PyTorch.
#pragma once
#include <cstdint>
#include <string>

#include "models/model.h"

namespace duel {

struct InitialWeights {
  std::string file;
  std::int64_t loaded = 0;   // tensors
  std::int64_t unused = 0;   // of the file: optimizer state, counters, nets that this model has not
  std::int64_t initial = 0;  // of the model's nets: not in the file, as they were
};

// `from`: a run's folder or a safetensors file. A checkpoint of Duel is taken by its names. Any other file is a PyTorch
// state dict (engine/torch_names.h): names that begin with a net's ("G.", "D.") belong to it, and where no net is
// named, to the one net that has all these names with these shapes. Weights and running statistics only. A moving
// average "X_ema" that is not in the file begins as X. Everything is checked before anything is written. Error: nothing
// fits, or a tensor has a name of the model's and another shape or type.
InitialWeights load_weights(const std::string& from, const Model& model);

}  // namespace duel
