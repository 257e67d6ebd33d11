#include "engine/data/dataset.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/data/glyphs.h"
#include "engine/data/prefetcher.h"
#include "engine/error.h"

namespace duel {

Dataset::Dataset(ImageSet images, std::uint64_t seed, bool flip)
    : prefetcher_(std::make_unique<Prefetcher>(std::move(images), seed, flip)) {}
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;
Dataset::~Dataset() = default;

std::span<const HostBatch> Dataset::next(std::int64_t batches, std::int64_t batch_size) {
  return prefetcher_->next(batches, batch_size);
}

void Dataset::make_resident() {
  Prefetcher& p = *prefetcher_;
  const ImageSet& s = p.images;
  require(!s.source, "[Dataset] {} is decoded image by image, it cannot be resident", s.name);
  p.stop();
  p.batch_count = p.batch_size = 0;
  p.resident = empty({s.count, s.height, s.width, s.channels}, DType::u8);
  assign(p.resident, s.pixels.data(), s.pixels.size());
}

Cursor Dataset::cursor() const { return prefetcher_->cursor; }

void Dataset::seek(Cursor to) {
  const std::int64_t count = size();
  constexpr std::int64_t last_epoch = std::numeric_limits<std::int64_t>::max() / 2;
  require(to.epoch >= 0 && to.epoch <= last_epoch, "[Dataset::seek] the epoch is {}, expected 0 to {}", to.epoch,
          last_epoch);
  require(to.index >= 0 && to.index <= count, "[Dataset::seek] the index is {}, expected 0 to {}, the images of {}",
          to.index, count, images().name);
  prefetcher_->stop();
  prefetcher_->cursor = to;
}

const ImageSet& Dataset::images() const { return prefetcher_->images; }
std::int64_t Dataset::size() const { return prefetcher_->images.count; }

namespace {

bool is_glyphs(const std::string& spec) { return spec == "glyphs"; }
ImageSet load_glyphs(std::int64_t count, std::uint64_t seed, const ImageOptions& options) {
  ImageSet set = make_glyphs(options.limit > 0 ? std::min(options.limit, count) : count, seed);
  apply_options(set, options);
  return set;
}

}  // namespace

ImageSet load_training_images(const std::string& spec, const ImageOptions& options) {
  constexpr std::int64_t train_glyphs = 60000;
  return is_glyphs(spec) ? load_glyphs(train_glyphs, 1, options) : load_images(spec, options);
}

Dataset load_dataset(const std::string& spec, std::uint64_t seed, const ImageOptions& options, bool flip) {
  return Dataset(load_training_images(spec, options), seed, flip);
}

std::optional<ImageSet> load_held_out(const std::string& spec, const ImageOptions& options) {
  constexpr std::int64_t test_glyphs = 10000;
  if (is_glyphs(spec)) return load_glyphs(test_glyphs, 2, options);
  return load_test_images(spec, options);
}

}  // namespace duel
