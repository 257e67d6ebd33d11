// A checkpoint: one safetensors file with everything that goes on from there. Its bytes depend on the model's options,
// the seed, the data and the step alone: no time, no path, no number of threads or of steps to come.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/data/dataset.h"
#include "engine/safetensors.h"
#include "models/model.h"

namespace duel {

// What the tensors of a run depend on, and how a checkpoint's metadata holds it.
struct RunIdentity {
  std::string model;
  std::map<std::string, std::string> settings;  // canonical (canonical() below)
  DataShape image;
  std::int64_t batch = 0;
  std::uint64_t seed = 0;
  std::string data_name, data_digest;
  std::int64_t data_count = 0;
  bool flip = false;        // images are mirrored at random
  std::string labels = "";  // how many labels are not hidden; empty: all
  std::string precision = "f32";

  std::map<std::string, std::string> metadata() const;
  static RunIdentity parse(const std::map<std::string, std::string>& metadata, const std::string& file);
};

// Every number written the one way that reads back to the same value: "2e-4" and "0.0002" are one setting.
Settings canonical(const std::vector<Setting>& known, const std::map<std::string, std::string>& given);

// 64 bits of pixels, labels and shape, as 16 hexadecimal digits.
std::string digest(const ImageSet& images);

struct Progression {
  std::int64_t iteration = 0;
  Cursor cursor;
};

void save_checkpoint(const std::filesystem::path& path, const RunIdentity& run, const Model& model,
                     const Progression& at);
// Overwrites the model's state. Everything is checked before anything is written. Error: a tensor that is missing,
// unknown or of another shape or type.
Progression load_state(const TensorFile& file, const std::string& name, const Model& model);

}  // namespace duel
