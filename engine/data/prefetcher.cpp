#include "engine/data/prefetcher.h"

#include <algorithm>
#include <limits>
#include <new>
#include <numeric>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "engine/error.h"

namespace duel {
namespace {

void check(const ImageSet& s) {
  require(s.count >= 1 && s.height >= 1 && s.width >= 1 && s.channels >= 1,
          "[Dataset] {} is ({},{},{},{}), expected no axis below 1", s.name, s.count, s.height, s.width, s.channels);
  require(s.count <= std::numeric_limits<std::int32_t>::max(), "[Dataset] {} has {} images, expected at most 2^31-1",
          s.name, s.count);
  std::uint64_t left = s.pixels.size();  // divided, not multiplied: a product could overflow
  bool matches = true;
  for (const std::int64_t n : {s.source ? 1 : s.count, s.height, s.width, s.channels}) {
    matches = matches && left % static_cast<std::uint64_t>(n) == 0;
    left /= static_cast<std::uint64_t>(n);
  }
  matches = matches && (s.source ? left <= static_cast<std::uint64_t>(s.count) : left == 1);
  require(matches, "[Dataset] {} has {} bytes of pixels, expected those of ({},{},{},{})", s.name, s.pixels.size(),
          s.count, s.height, s.width, s.channels);
  require(s.labels.empty() || s.labels.size() == static_cast<std::size_t>(s.count),
          "[Dataset] {} has {} labels, expected none or {}", s.name, s.labels.size(), s.count);
  for (const std::int32_t label : s.labels)
    require(label >= -1 && label < s.classes, "[Dataset] {} has the label {}, expected 0 to {}, or -1: hidden", s.name,
            label, s.classes - 1);
}

std::vector<std::int32_t> labelled_among_hidden(const ImageSet& s) {
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < s.labels.size(); ++i)
    if (s.labels[i] >= 0) out.push_back(static_cast<std::int32_t>(i));
  if (out.size() == s.labels.size()) out.clear();
  return out;
}

void copy_mirrored(const std::uint8_t* image, std::int64_t height, std::int64_t width, std::int64_t channels,
                   std::uint8_t* out) {
  for (std::int64_t y = 0; y < height; ++y, image += width * channels)
    for (std::int64_t x = width - 1; x >= 0; --x, out += channels)
      for (std::int64_t c = 0; c < channels; ++c) out[c] = image[x * channels + c];
}

}  // namespace

Prefetcher::Prefetcher(ImageSet set, std::uint64_t order_seed, bool with_flips)
    : images(std::move(set)), seed(order_seed), flip(with_flips), labelled(labelled_among_hidden(images)) {
  check(images);
}

std::span<const HostBatch> Prefetcher::next(std::int64_t batches, std::int64_t size) {
  require(batches >= 1, "[Dataset::next] {} batches are asked for, expected at least 1", batches);
  require(size >= 1 && size <= images.count, "[Dataset::next] batch_size is {}, expected 1 to {}, the images of {}",
          size, images.count, images.name);
  if (batches != batch_count || size != batch_size) {
    stop();
    allocate(batches, size);
  }
  if (!thread.joinable()) start();

  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ready > 0 || failure; });
  if (ready == 0) {
    const std::exception_ptr thrown = failure;
    lock.unlock();
    stop();
    std::rethrow_exception(thrown);
  }
  const Slot& slot = ring[head];
  head = (head + 1) % ring_size;
  --ready;
  cursor = slot.after;
  lock.unlock();
  changed.notify_one();
  return slot.batches;
}

void Prefetcher::allocate(std::int64_t asked, std::int64_t size) {
  batch_count = batch_size = 0;  // stays so where the memory does not suffice
  const std::int64_t batches = asked + (labelled.empty() ? 0 : 1);
  const std::int64_t image_bytes = images.height * images.width * images.channels;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / 4;
  try {
    if (batches > most / size / image_bytes) throw std::bad_alloc();
    const std::int64_t samples = batches * size;
    order.resize(static_cast<std::size_t>(images.count));
    for (Slot& slot : ring) {
      const auto some = [&](bool wanted) { return wanted ? static_cast<std::size_t>(samples) : 0; };
      slot.pixels.resize(some(!resident) * static_cast<std::size_t>(image_bytes));
      slot.labels.resize(some(!images.labels.empty()));
      slot.index.resize(static_cast<std::size_t>(samples));
      slot.flip.resize(static_cast<std::size_t>(samples));
      slot.batches.resize(static_cast<std::size_t>(batches));
      for (std::int64_t b = 0; b < batches; ++b) {
        const auto part = [&](const auto& of, std::int64_t each, bool wanted = true) {
          return of.empty() || !wanted ? nullptr : of.data() + b * size * each;
        };
        const bool names = static_cast<bool>(resident);
        slot.batches[static_cast<std::size_t>(b)] = {part(slot.pixels, image_bytes),
                                                     part(slot.labels, 1),
                                                     size,
                                                     images.height,
                                                     images.width,
                                                     images.channels,
                                                     resident,
                                                     part(slot.index, 1, names),
                                                     part(slot.flip, 1, names && flip)};
      }
    }
  } catch (const std::bad_alloc&) {
    fail("[Dataset::next] {} times {} batches of {} images of {} bytes do not fit in memory", ring_size, batches, size,
         image_bytes);
  } catch (const std::length_error&) {
    fail("[Dataset::next] {} times {} batches of {} images of {} bytes do not fit in memory", ring_size, batches, size,
         image_bytes);
  }
  batch_count = asked;
  batch_size = size;
}

void Prefetcher::start() {
  ready = 0;
  stopping = false;
  failure = nullptr;
  ahead = cursor;
  try {
    thread = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    fail("[Dataset::next] the prefetch thread cannot be started: {}", e.code().message());
  }
}

void Prefetcher::stop() {
  if (!thread.joinable()) return;
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  changed.notify_one();
  thread.join();
}

void Prefetcher::run() {
  std::unique_lock lock(mutex);
  try {
    for (;;) {
      // The slot before head is in the caller's hands.
      changed.wait(lock, [&] { return stopping || ready < ring_size - 1; });
      if (stopping) return;
      Slot& slot = ring[(head + ready) % ring_size];
      lock.unlock();
      fill(slot);
      lock.lock();
      ++ready;
      changed.notify_one();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure = std::current_exception();
    changed.notify_one();
  }
}

void Prefetcher::fill(Slot& slot) {
  const std::int64_t image_bytes = images.image_bytes();
  auto at = static_cast<std::size_t>(0);
  for (std::int64_t b = 0; b < batch_count; ++b) {
    if (ahead.index > images.count - batch_size) ahead = {ahead.epoch + 1, 0};
    if (order_epoch != ahead.epoch) shuffle(ahead.epoch);
    for (std::int64_t i = 0; i < batch_size; ++i, ++ahead.index, ++at) {
      const std::int64_t sample = order[static_cast<std::size_t>(ahead.index)];
      if (!slot.labels.empty()) slot.labels[at] = images.labels[static_cast<std::size_t>(sample)];
      slot.index[at] = static_cast<std::int32_t>(sample);
      slot.flip[at] = flip && is_flipped(ahead);
    }
  }
  if (!labelled.empty()) fill_labelled(slot, at);
  slot.after = ahead;
  if (slot.pixels.empty()) return;
  const auto samples = static_cast<std::int64_t>(slot.index.size());
  const auto put = [&](std::int64_t k) {
    put_image(slot.index[static_cast<std::size_t>(k)], slot.flip[static_cast<std::size_t>(k)] != 0,
              slot.pixels.data() + k * image_bytes);
  };
  if (!images.source) {
    for (std::int64_t k = 0; k < samples; ++k) put(k);
    return;
  }
  std::exception_ptr failed;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t k = 0; k < samples; ++k) try {
      put(k);
    } catch (...) {
#pragma omp critical
      failed = std::current_exception();
    }
  if (failed) std::rethrow_exception(failed);
}

void Prefetcher::fill_labelled(Slot& slot, std::size_t begin) {
  constexpr std::uint64_t of_labels = 0x6c61626c;  // apart from the streams of the order and of the flips
  SplitMix64 epoch = SplitMix64::stream(seed ^ of_labels, static_cast<std::uint64_t>(ahead.epoch));
  SplitMix64 random = SplitMix64::stream(epoch.next(), static_cast<std::uint64_t>(ahead.index));
  // Draws without putting back, a batch at a time: every batch starts from the list's own order.
  std::vector<std::pair<std::size_t, std::size_t>> swaps;
  for (std::size_t at = begin, k = 0; at < slot.index.size(); ++at, k = (k + 1) % labelled.size()) {
    swaps.emplace_back(k, k + random.below(labelled.size() - k));
    std::swap(labelled[k], labelled[swaps.back().second]);
    slot.index[at] = labelled[k];
    slot.labels[at] = images.labels[static_cast<std::size_t>(labelled[k])];
    slot.flip[at] = flip && random.next() >> 63;
  }
  for (auto s = swaps.rbegin(); s != swaps.rend(); ++s) std::swap(labelled[s->first], labelled[s->second]);
}

void Prefetcher::put_image(std::int64_t sample, bool mirrored, std::uint8_t* to) const {
  const std::int64_t bytes = images.image_bytes();
  const std::uint8_t* image = images.pixels.data() + sample * bytes;
  std::vector<std::uint8_t> decoded;
  if (sample >= images.held()) {
    decoded.resize(static_cast<std::size_t>(bytes));
    images.source->read(sample, decoded.data());
    image = decoded.data();
  }
  if (mirrored)
    copy_mirrored(image, images.height, images.width, images.channels, to);
  else
    std::copy_n(image, bytes, to);
}

// Fisher and Yates, with a generator of (seed, epoch).
void Prefetcher::shuffle(std::int64_t epoch) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  SplitMix64 random = SplitMix64::stream(seed, static_cast<std::uint64_t>(epoch));
  for (std::size_t k = order.size() - 1; k > 0; --k) std::swap(order[k], order[random.below(k + 1)]);
  order_epoch = epoch;
}

// A stream of its own for every sample: whatever was drawn before does not matter.
bool Prefetcher::is_flipped(const Cursor& at) const {
  constexpr std::uint64_t of_flips = 0x666c6970;  // apart from the stream of the order
  SplitMix64 epoch = SplitMix64::stream(seed ^ of_flips, static_cast<std::uint64_t>(at.epoch));
  return SplitMix64::stream(epoch.next(), static_cast<std::uint64_t>(at.index)).next() >> 63;
}

}  // namespace duel
