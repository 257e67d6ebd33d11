// Images out of a model.
#pragma once
#include <cstdint>

#include "engine/images.h"
#include "models/model.h"

namespace duel {

// `count` images for the noise of `seed`. Image i depends on the model's weights, the seed and i alone. Outside a Step
// only; a Step's random numbers are not touched.
ImageSet draw_samples(Model& model, const ImageShape& image, std::uint64_t seed, std::int64_t count);

// The noise of the pictures made on the way: always the same for a run, another than that of its initial weights.
inline std::uint64_t snapshot_seed(std::uint64_t seed) { return seed + 0x736e6170; }

}  // namespace duel
