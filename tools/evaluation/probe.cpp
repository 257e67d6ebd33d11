#include "tools/evaluation/probe.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/tape.h"
#include "tools/evaluation/linear_classifier.h"

namespace duel {
namespace {

constexpr std::int64_t cells = 4, usual_chunk = 250;

// (n,h,w,c) in bytes of a host -> n rows of 4*4*c, appended to each image's features.
void pool_into(std::vector<std::vector<float>>& rows, const Tensor& map, std::int64_t n) {
  const std::int64_t h = map.dim(1), w = map.dim(2), c = map.dim(3);
  const std::vector<float> values = map.to_vector<float>();
  const auto first = [](std::int64_t i, std::int64_t size) { return i * size / cells; };
  const auto end = [](std::int64_t i, std::int64_t size) { return ((i + 1) * size + cells - 1) / cells; };
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t i = 0; i < cells * cells; ++i) {
      std::vector<float> most;
      for (std::int64_t y = first(i / cells, h); y < end(i / cells, h); ++y)
        for (std::int64_t x = first(i % cells, w); x < end(i % cells, w); ++x) {
          const float* at = values.data() + ((k * h + y) * w + x) * c;
          if (most.empty()) most.assign(at, at + c);
          for (std::int64_t j = 0; j < c; ++j)
            most[static_cast<std::size_t>(j)] = std::max(most[static_cast<std::size_t>(j)], at[j]);
        }
      std::vector<float>& row = rows[static_cast<std::size_t>(k)];
      row.insert(row.end(), most.begin(), most.end());
    }
}

ImageSet part(const ImageSet& set, std::int64_t begin, std::int64_t count) {
  const auto at = set.pixels.begin() + begin * set.image_bytes();
  return {.name = set.name,
          .count = count,
          .height = set.height,
          .width = set.width,
          .channels = set.channels,
          .pixels = {at, at + count * set.image_bytes()},
          .labels = {set.labels.begin() + begin, set.labels.begin() + begin + count},
          .classes = set.classes};
}

ImageSet labelled(const ImageSet& train, std::int64_t labels, std::uint64_t seed) {
  ImageSet all = train;
  keep_labels(all, labels, seed);
  ImageSet out = part(all, 0, 0);
  for (std::int64_t i = 0; i < all.count; ++i) {
    if (all.labels[static_cast<std::size_t>(i)] < 0) continue;
    const auto at = all.pixels.begin() + i * all.image_bytes();
    out.pixels.insert(out.pixels.end(), at, at + all.image_bytes());
    out.labels.push_back(all.labels[static_cast<std::size_t>(i)]);
    ++out.count;
  }
  return out;
}

}  // namespace

DiscriminatorFeatures::DiscriminatorFeatures(const std::string& name, const Model& model, const DataShape& image)
    : chunk_(whole_groups(model, usual_chunk)) {
  const Shape expected{image.height, image.width, image.channels};
  for (const Model::Part& part : model.parts()) {
    if (part.name != "D") continue;
    require(part.input == expected, "--probe: D of {} takes {}, expected images {} alone", name, part.input, expected);
    d_ = part.net;
    const std::vector<LayerSummary> layers = d_.summary(part.input);
    d_.set_training(false);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      require(!layers[i].what.starts_with("growing"),
              "--probe: D of {} grows, and its maps change with it; expected a run without --grow", name);
      if (!layers[i].what.starts_with("conv") && !layers[i].what.starts_with("x + ")) continue;
      const std::size_t end = i + 1 < layers.size() && layers[i + 1].what.starts_with("batch norm") ? i + 1 : i;
      const Shape& map = layers[end].output;
      if (map.rank() == 3 && map[0] >= cells && map[1] >= cells) layers_.push_back(end);
    }
  }
  require(!layers_.empty(), "--probe: D of {} has no convolution with a result of 4x4 or more", name);
}

Features DiscriminatorFeatures::operator()(const ImageSet& images) const {
  const NoGrad off;
  Features out{images.count, 0, {}};
  for (std::int64_t begin = 0; begin < images.count; begin += chunk_) {
    const std::int64_t n = std::min(chunk_, images.count - begin);
    const std::vector<Tensor> results = d_.activations(pad(to_tensor(images, begin, begin + n), 0, 0, chunk_ - n));
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(n));
    for (const std::size_t layer : layers_) pool_into(rows, results[layer], n);
    for (const std::vector<float>& row : rows) out.values.insert(out.values.end(), row.begin(), row.end());
    out.width = static_cast<std::int64_t>(rows[0].size());
  }
  return out;
}

Features pixels_of(const ImageSet& images) {
  return {images.count, images.image_bytes(), to_tensor(images, 0, images.count).to_vector<float>()};
}

ProbeResult probe(const DiscriminatorFeatures& d, const ImageSet& train, const ImageSet& held_out, std::int64_t labels,
                  std::uint64_t seed, int choices) {
  std::vector<LinearClassifier> on_features, on_pixels;
  for (int k = 0; k < choices; ++k) {
    const ImageSet some = labelled(train, labels, seed + static_cast<std::uint64_t>(k));
    on_features.push_back(LinearClassifier::chosen(d(some), some.labels, train.classes));
    on_pixels.push_back(LinearClassifier::chosen(pixels_of(some), some.labels, train.classes));
  }
  ProbeResult out{.labels = labels, .tested = held_out.count};
  out.features.assign(on_features.size(), 0);
  out.pixels.assign(on_features.size(), 0);
  for (std::int64_t begin = 0; begin < held_out.count; begin += usual_chunk) {
    const ImageSet some = part(held_out, begin, std::min(usual_chunk, held_out.count - begin));
    const double weight = static_cast<double>(some.count) / static_cast<double>(held_out.count);
    const Features features = d(some), pixels = pixels_of(some);
    for (std::size_t k = 0; k < on_features.size(); ++k) {
      out.features[k] += weight * agreement(on_features[k].answers(features), some.labels);
      out.pixels[k] += weight * agreement(on_pixels[k].answers(pixels), some.labels);
    }
  }
  return out;
}

}  // namespace duel
