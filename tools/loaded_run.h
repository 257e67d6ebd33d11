// A run as the commands that draw from it need it: its model with the weights of its checkpoint.
#pragma once
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>

#include "engine/tensor.h"
#include "models/model.h"
#include "tools/checkpoint.h"

namespace duel {

struct LoadedRun {
  RunIdentity identity;
  std::unique_ptr<Model> model;
  Progression at;
};
// With the options "threads", "device" and "precision". Error: no run there, or its config.json or checkpoint is
// damaged or of another model.
LoadedRun load_run(const std::string& run, const Settings& options);

// For an output file before anything is computed. Error: its ending is none of these, or its folder is not there.
void check_output(const std::string& option, const std::filesystem::path& file,
                  std::initializer_list<const char*> endings);

// Noise in a file: the tensor "z" (n, ...), one row for an image, and the model it is for as metadata. Atomic.
void save_latents(const std::filesystem::path& file, const RunIdentity& run, const Tensor& z);
// Error: no such tensor, no rows, or rows that are not of the shape of the model's noise.
Tensor load_latents(const std::filesystem::path& file, const Model& model);

}  // namespace duel
