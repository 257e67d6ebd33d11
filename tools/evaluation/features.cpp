#include "tools/evaluation/features.h"

#include <algorithm>
#include <cmath>

#include "engine/data/resize.h"
#include "engine/error.h"
#include "engine/pictures/picture.h"
#include "engine/precision.h"
#include "engine/tape.h"

namespace duel {
namespace {

// Every chunk is full: how a matrix product rounds may depend on its number of rows.
constexpr std::int64_t chunk = 250;

ImageSet resized(const ImageSet& images, const NetInput& in) {
  require(in.height == in.width, "features: images are {}x{}, and the network's input {}x{} is no square to resize to",
          images.height, images.width, in.height, in.width);
  ImageSet out{.name = images.name,
               .count = images.count,
               .height = in.height,
               .width = in.width,
               .channels = images.channels,
               .pixels = {},
               .labels = {}};
  out.pixels.resize(static_cast<std::size_t>(out.count * out.image_bytes()));
#pragma omp parallel for
  for (std::int64_t i = 0; i < images.count; ++i)
    crop_and_resize(images.pixels.data() + i * images.image_bytes(), images.height, images.width, images.channels,
                    in.height, out.pixels.data() + i * out.image_bytes());
  return out;
}

}  // namespace

Tensor to_tensor(const ImageSet& images, std::int64_t begin, std::int64_t end) {
  const auto bytes = std::span(images.pixels)
                         .subspan(static_cast<std::size_t>(begin * images.image_bytes()),
                                  static_cast<std::size_t>((end - begin) * images.image_bytes()));
  return from_bytes(bytes, {end - begin, images.height, images.width, images.channels});
}

Seen see(const ChainNet& net, const ImageSet& images) {
  const NetInput& in = net.input();
  require(in.channels == images.channels || images.channels == 1,
          "features: images have {} channels, and the network takes {}", images.channels, in.channels);
  if (images.height != in.height || images.width != in.width) return see(net, resized(images, in));
  const NoGrad off;
  const PrecisionScope full(Precision::f32);
  Seen out{{images.count, net.width(), {}}, {}};
  out.features.values.reserve(static_cast<std::size_t>(images.count * net.width()));
  for (std::int64_t begin = 0; begin < images.count; begin += chunk) {
    const std::int64_t n = std::min(chunk, images.count - begin);
    const ChainNet::Answer answer = net(pad(to_tensor(images, begin, begin + n), 0, 0, chunk - n));
    const std::vector<float> features = answer.features.to_vector<float>();
    out.features.values.insert(out.features.values.end(), features.begin(), features.begin() + n * net.width());
    if (!answer.scores) continue;
    const std::vector<std::int32_t> best = argmax(answer.scores, 1).to_vector<std::int32_t>();
    out.answers.insert(out.answers.end(), best.begin(), best.begin() + n);
  }
  require(std::all_of(out.features.values.begin(), out.features.values.end(), [](float v) { return std::isfinite(v); }),
          "features: the network answers values that are not finite");
  return out;
}

double agreement(const std::vector<std::int32_t>& answers, const std::vector<std::int32_t>& labels) {
  std::int64_t same = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) same += answers[i] == labels[i];
  return static_cast<double>(same) / static_cast<double>(answers.size());
}

}  // namespace duel
