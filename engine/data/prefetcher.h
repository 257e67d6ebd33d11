// The thread behind a Dataset, which makes the next batches while the last ones are in use.
#pragma once
#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "engine/data/dataset.h"

namespace duel {

// The thread runs from the first next on; seek, another request and a failure stop it, the next next starts it again.
// While it runs it owns the slots from head on, `order` and `ahead`; all else it shares is under the mutex.
struct Prefetcher {
  // Three: one in the caller's hands, one ready, one being filled.
  static constexpr std::size_t ring_size = 3;
  // What one call of next hands out.
  struct Slot {
    std::vector<std::uint8_t> pixels;               // none where the images are resident
    std::vector<std::int32_t> labels, index, flip;  // no labels of unlabelled images
    std::vector<HostBatch> batches;
    Cursor after;
  };

  Prefetcher(ImageSet set, std::uint64_t order_seed, bool with_flips);  // Errors as for Dataset
  ~Prefetcher() { stop(); }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  std::span<const HostBatch> next(std::int64_t batches, std::int64_t batch_size);
  void allocate(std::int64_t batches, std::int64_t batch_size);
  void start();
  void stop();
  void run();
  void fill(Slot& slot);
  void put_image(std::int64_t sample, bool mirrored, std::uint8_t* to) const;  // of the set, into a batch
  void fill_labelled(Slot& slot, std::size_t begin);
  void shuffle(std::int64_t epoch);
  bool is_flipped(const Cursor& at) const;

  const ImageSet images;
  const std::uint64_t seed;
  const bool flip;
  std::vector<std::int32_t> labelled;  // which images are, where the labels of others are hidden; else none

  // Of the caller's thread.
  Tensor resident;
  Cursor cursor;
  std::int64_t batch_count = 0, batch_size = 0;  // 0: no buffers
  std::thread thread;

  // Of the prefetch thread while it runs.
  std::vector<std::int64_t> order;  // the permutation of order_epoch
  std::int64_t order_epoch = -1;
  Cursor ahead;
  std::array<Slot, ring_size> ring;

  std::mutex mutex;
  std::condition_variable changed;
  std::size_t head = 0, ready = 0;  // slots head .. head + ready - 1 are filled, modulo the ring
  bool stopping = false;
  std::exception_ptr failure;
};

}  // namespace duel
