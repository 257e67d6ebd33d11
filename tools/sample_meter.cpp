#include "tools/sample_meter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "tools/run_data.h"

namespace duel {
namespace {

constexpr std::int64_t most_images = 1024, fewest_images = 64;
constexpr std::int64_t most_values = 1 << 25;  // of all images together: what is large is measured by fewer
constexpr std::uint64_t pick_seed = 0x7069636b;

bool same_shape(const ImageSet& a, const ImageSet& b) {
  return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

ImageSet pick_first(const ImageSet& from, std::int64_t count) {
  ImageSet out{from.name, count, from.height, from.width, from.channels, {}, {}};
  out.pixels.assign(from.pixels.begin(), from.pixels.begin() + count * from.height * from.width * from.channels);
  return out;
}

// The root mean square distance of two different images, from the variances of all pixels:
// the mean over pairs of |x - y|^2 is 2 n / (n - 1) (mean |x|^2 - |mean x|^2).
double spread(const ImageSet& set) {
  if (set.count < 2) return 0;
  const std::size_t bytes = static_cast<std::size_t>(set.height * set.width * set.channels);
  std::vector<double> sum(bytes), squares(bytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(set.count); ++i)
    for (std::size_t k = 0; k < bytes; ++k) {
      const double v = set.pixels[i * bytes + k];
      sum[k] += v, squares[k] += v * v;
    }
  const double n = static_cast<double>(set.count);
  double total = 0;
  for (std::size_t k = 0; k < bytes; ++k) total += squares[k] / n - sum[k] / n * (sum[k] / n);
  return std::sqrt(std::max(0.0, 2 * n / (n - 1) * total));
}

ImageSet reference_images(const ImageSet& train, const ImageSet* held_out) {
  const std::int64_t bytes = train.height * train.width * train.channels;
  const std::int64_t wanted = std::clamp(most_values / std::max<std::int64_t>(bytes, 1), fewest_images, most_images);
  // Without test images the training images are those to compare with and, in part, those that are compared.
  const std::int64_t there = held_out ? std::min(held_out->held(), train.held()) : (train.held() + 1) / 2;
  return pick_images(held_out ? *held_out : train, pick_seed, 0, std::max<std::int64_t>(1, std::min(wanted, there)));
}

// Null where there are none that compare.
const ImageSet* usable(const ImageSet& train, const std::optional<ImageSet>& held_out) {
  return held_out && held_out->count > 0 && same_shape(*held_out, train) ? &*held_out : nullptr;
}

}  // namespace

SampleMeter::SampleMeter(const ImageSet& train, const std::optional<ImageSet>& held_out)
    : SampleMeter(train, reference_images(train, usable(train, held_out))) {
  reference_ = usable(train, held_out) ? fmt::format("{} held-out images", count_)
                                       : fmt::format("{} training images (the data hold no others out)", count_);
}

SampleMeter::SampleMeter(const ImageSet& train, const ImageSet& reference)
    : count_(reference.count), distance_(reference), real_spread_(spread(reference)) {
  attainable_ = measure(pick_images(train, pick_seed, count_, count_));
}

Quality SampleMeter::measure(const ImageSet& samples) const {
  require(samples.count >= count_, "sample meter: {} samples, expected {} or more", samples.count, count_);
  ImageSet rest;
  const ImageSet* first = &samples;
  if (samples.count > count_) {
    rest = pick_first(samples, count_);
    first = &rest;
  }
  // No more digits than mean something: the log holds these numbers.
  const double swd = distance_.distance(*first), relative = spread(*first) / (real_spread_ > 0 ? real_spread_ : 1);
  return {std::round(swd * 1e3) / 1e3, std::round(relative * 1e4) / 1e4};
}

}  // namespace duel
