// "glyphs": the data set that is always at hand. Handwritten-style digits, drawn on demand from a seed.
#pragma once
#include <cstdint>

#include "engine/data/images.h"

namespace duel {

// (count, 28, 28, 1), white on black as in MNIST, about 20 x 20 pixels of digit in the middle; 10 classes.
// Sample i depends on (seed, i) alone. Every ten samples 10k .. 10k+9 hold each digit once, in random order.
// A sample is one of a digit's stroke variants (splines through control points) under a random jitter of the points,
// bend, shear, rotation, anisotropic scale and shift, drawn by a pen of random width, pressure and softness.
// Error: count < 1.
ImageSet make_glyphs(std::int64_t count, std::uint64_t seed);

}  // namespace duel
