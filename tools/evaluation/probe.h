// What D has learned without labels: how well a linear classifier does on its features (Radford et al. 2016, section
// 5.1).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/model.h"
#include "tools/evaluation/features.h"

namespace duel {

// D's features of images: the results of all of its convolutions (after norm and activation) and residual blocks, each
// max-pooled to 4 x 4, cell (i, j) being rows floor(i h / 4) .. ceil((i + 1) h / 4) and columns alike, flattened and
// put one after the other. Batch norm takes its running statistics.
class DiscriminatorFeatures {
 public:
  // Error: the model has no D that takes images alone, D grows, or it has no such result of 4 x 4 or more.
  DiscriminatorFeatures(const std::string& name, const Model& model, const DataShape& image);
  Features operator()(const ImageSet& images) const;

 private:
  Net d_;
  std::vector<std::size_t> layers_;
  std::int64_t chunk_;  // images at once: D may compute with groups of them
};
// The pixels themselves, in [-1, 1].
Features pixels_of(const ImageSet& images);

struct ProbeResult {
  std::int64_t labels = 0, tested = 0;
  std::vector<double> features = {}, pixels = {};  // the accuracy for each choice of labelled images
};
// For seeds seed, seed + 1, ...: `labels` training images, equally many of each class, and their labels.
ProbeResult probe(const DiscriminatorFeatures& d, const ImageSet& train, const ImageSet& held_out, std::int64_t labels,
                  std::uint64_t seed, int choices);

}  // namespace duel
