// What a feature network sees in images.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/chain_net.h"
#include "engine/data/images.h"

namespace duel {

// A point for each image: values (count, width), row-major.
struct Features {
  std::int64_t count = 0, width = 0;
  std::vector<float> values;
  std::span<const float> row(std::int64_t i) const {
    return {values.data() + i * width, static_cast<std::size_t>(width)};
  }
};

struct Seen {
  Features features;
  std::vector<std::int32_t> answers;  // the class with the largest score; empty where the network tells none apart
};

// In f32 on the default device, whatever a run computes in. Images of another size are cropped and resized to a square
// input (engine/data/resize.h). Error: the input is no square then, or it has fewer channels than the images.
Seen see(const ChainNet& net, const ImageSet& images);

// The part of answers that are the labels'.
double agreement(const std::vector<std::int32_t>& answers, const std::vector<std::int32_t>& labels);

// Images [begin, end) as (end - begin,H,W,C) in [-1, 1].
Tensor to_tensor(const ImageSet& images, std::int64_t begin, std::int64_t end);

}  // namespace duel
