// A stream of random batches from a set of images, gathered ahead of time by a thread of its own.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/data/images.h"
#include "engine/tensor.h"

namespace duel {

// One batch in host memory: its pixels, or, where all images lie on the device, which of them it is made of. The data
// set owns what it points to.
struct HostBatch {
  const std::uint8_t* pixels = nullptr;  // (size,H,W,C); null where `resident` is given
  const std::int32_t* labels = nullptr;  // (size); null when the images are unlabelled
  std::int64_t size = 0, height = 0, width = 0, channels = 0;
  Tensor resident = {};                 // all images on the device, (count,H,W,C) u8
  const std::int32_t* index = nullptr;  // (size): of them
  const std::int32_t* flip = nullptr;   // (size): 1 for left and right exchanged; null: nowhere
};

// Where a stream of batches stands: `index` samples of epoch `epoch` are used up.
struct Cursor {
  std::int64_t epoch = 0, index = 0;
  bool operator==(const Cursor&) const = default;
};

struct Prefetcher;

// Samples without replacement: epoch e is a permutation of all images that depends on (seed, e) alone. Every batch is
// full; where an epoch has fewer than a batch left, the rest is dropped and the next epoch begins. So seed and cursor
// determine all batches that follow. With `flip` each sample is mirrored left to right with probability 1/2, decided by
// (seed, epoch, index in the epoch) alone.
// Where some labels are hidden, one batch more follows in every answer: of labelled images alone. It is filled with
// whole rounds of them, the last one cut off, each in an order of (seed, epoch, index) alone. One thread at a time may
// use a Dataset. One that was moved from may only be assigned to or destroyed.
class Dataset {
 public:
  // Error: the set is empty, or its sizes, pixels and labels disagree.
  Dataset(ImageSet images, std::uint64_t seed, bool flip = false);
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;
  ~Dataset();

  // The next `batches` batches of `batch_size` samples, valid until the next call. After the first call with the same
  // two numbers nothing is allocated; other numbers start the prefetch anew from the cursor.
  // Error: batches < 1, batch_size not in 1 .. size(), or not enough memory for three times the request. The cursor
  // has then not moved.
  std::span<const HostBatch> next(std::int64_t batches, std::int64_t batch_size);

  // Copies all images to the default device; batches then name them instead of holding pixels. They are the same ones.
  // Error: the images do not fit there, or have a source.
  void make_resident();

  // After the batches handed out, whatever was prefetched.
  Cursor cursor() const;
  // Error: epoch not in 0 .. 2^62 - 1, or index not in 0 .. size().
  void seek(Cursor to);

  const ImageSet& images() const;
  std::int64_t size() const;

 private:
  std::unique_ptr<Prefetcher> prefetcher_;
};

// "glyphs": 60000 built-in digits (engine/data/glyphs.h), always the same ones; else what load_images reads.
ImageSet load_training_images(const std::string& spec, const ImageOptions& options = {});
// The same as a stream of batches. `seed` decides the order and the flips only.
Dataset load_dataset(const std::string& spec, std::uint64_t seed = 0, const ImageOptions& options = {},
                     bool flip = false);

// The held-out images of the same data, where there are some: 10000 other glyphs, or those of load_test_images.
std::optional<ImageSet> load_held_out(const std::string& spec, const ImageOptions& options = {});

}  // namespace duel
