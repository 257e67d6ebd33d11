#include "tools/sampler.h"

#include <algorithm>
#include <cmath>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/tape.h"

namespace duel {

ImageSet draw_samples(Model& model, const ImageShape& image, std::uint64_t seed, std::int64_t count) {
  // Every chunk is full: how a matrix product rounds may depend on its number of rows.
  constexpr std::int64_t chunk = 64;
  NoGrad off;
  set_seed(seed);
  const Tensor z = model.noise((count + chunk - 1) / chunk * chunk);
  ImageSet out{.name = "samples",
               .count = count,
               .height = image.height,
               .width = image.width,
               .channels = image.channels,
               .pixels = {},
               .labels = {}};
  const std::int64_t bytes = image.height * image.width * image.channels;
  out.pixels.reserve(static_cast<std::size_t>(count * bytes));
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const Tensor x = model.sample(slice(z, 0, begin, begin + chunk));
    require(x.shape() == Shape({chunk, image.height, image.width, image.channels}),
            "sample: images are {}, expected {}", x.describe(),
            to_string({chunk, image.height, image.width, image.channels}));
    const std::vector<float> values = x.to_vector<float>();
    const std::int64_t wanted = std::min(chunk, count - begin) * bytes;
    for (std::int64_t i = 0; i < wanted; ++i) {
      const float v = std::round((values[static_cast<std::size_t>(i)] + 1) * 127.5f);
      out.pixels.push_back(static_cast<std::uint8_t>(v >= 0 ? std::min(v, 255.0f) : 0));  // a NaN becomes 0
    }
  }
  return out;
}

}  // namespace duel
