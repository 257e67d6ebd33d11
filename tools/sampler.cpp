#include "tools/sampler.h"

#include <algorithm>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/pictures/picture.h"
#include "engine/tape.h"

namespace duel {
namespace {
// Every chunk is full: how a matrix product rounds may depend on its number of rows.
constexpr std::int64_t chunk = 64;
std::int64_t whole_chunks(std::int64_t n) { return (n + chunk - 1) / chunk * chunk; }
}  // namespace

Tensor draw_noise(const Model& model, std::uint64_t seed, std::int64_t count) {
  NoGrad off;
  set_seed(seed);
  return slice(model.noise(whole_chunks(count)), 0, 0, count);
}

ImageSet draw_images(Model& model, const DataShape& image, const Tensor& z) {
  NoGrad off;
  const std::int64_t count = z.dim(0), bytes = image.height * image.width * image.channels;
  ImageSet out{.name = "samples",
               .count = count,
               .height = image.height,
               .width = image.width,
               .channels = image.channels,
               .pixels = {},
               .labels = {}};
  out.pixels.reserve(static_cast<std::size_t>(count * bytes));
  const Tensor padded = pad(z, 0, 0, whole_chunks(count) - count);
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const Tensor x = model.sample(slice(padded, 0, begin, begin + chunk));
    require(x.shape() == Shape({chunk, image.height, image.width, image.channels}),
            "sample: images are {}, expected {}", x.describe(),
            to_string({chunk, image.height, image.width, image.channels}));
    const std::vector<std::uint8_t> pixels = to_bytes(x);
    const auto wanted = static_cast<std::ptrdiff_t>(std::min(chunk, count - begin) * bytes);
    out.pixels.insert(out.pixels.end(), pixels.begin(), pixels.begin() + wanted);
  }
  return out;
}

ImageSet draw_samples(Model& model, const DataShape& image, std::uint64_t seed, std::int64_t count) {
  return draw_images(model, image, draw_noise(model, seed, count));
}

}  // namespace duel
