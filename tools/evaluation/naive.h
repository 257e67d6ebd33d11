// A generator that any other should beat.
#pragma once
#include <cstdint>

#include "engine/data/images.h"

namespace duel {

// Images x = m + sum over i of s_i n_i u_i, n ~ N(0, 1), as bytes: a Gaussian with the mean m of the images' pixels and
// their first 50 principal components u_i of standard deviation s_i. They are found by subspace iteration from at most
// 5000 images.
ImageSet naive_images(const ImageSet& images, std::int64_t count, std::uint64_t seed);

}  // namespace duel
