// Images out of a model.
#pragma once
#include <cstdint>

#include "engine/data/images.h"
#include "models/model.h"

namespace duel {

// All outside a Step only; a Step's random numbers are not touched.
// Noise for `count` images. Row i depends on the seed and i alone.
Tensor draw_noise(const Model& model, std::uint64_t seed, std::int64_t count);
// An image for each row of z. Image i depends on the model's weights and row i alone.
ImageSet draw_images(Model& model, const DataShape& image, const Tensor& z);
// Both: `count` images for the noise of `seed`.
ImageSet draw_samples(Model& model, const DataShape& image, std::uint64_t seed, std::int64_t count);

// The noise of the pictures made on the way: always the same for a run, another than that of its initial weights.
inline std::uint64_t snapshot_seed(std::uint64_t seed) { return seed + 0x736e6170; }

}  // namespace duel
