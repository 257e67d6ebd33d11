#include "engine/memory.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "engine/error.h"

namespace duel {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t commit_step = std::size_t{16} << 20;
#if defined(__SANITIZE_ADDRESS__) || defined(DUEL_RACE)
constexpr std::size_t red_zone = alignment;  // guarded, so that a write past a tensor is reported
#else
constexpr std::size_t red_zone = 0;
#endif

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
std::size_t block_bytes(std::size_t bytes) { return round_up(std::max<std::size_t>(bytes, 1), alignment) + red_zone; }

std::atomic<std::uint64_t> total_allocations{0};
thread_local std::shared_ptr<Pool> scoped_pool;

std::shared_ptr<Pool> process_pool() {
  static std::array<std::shared_ptr<Pool>, 3> pools;
  static std::mutex mutex;
  const Device device = default_device();
  const std::scoped_lock lock(mutex);
  std::shared_ptr<Pool>& pool = pools[static_cast<std::size_t>(device)];
  if (!pool) pool = std::make_shared<Pool>(device);
  return pool;
}

}  // namespace

Pool::Pool(Device device) : device_(device), driver_(on_driver([&]() -> DeviceDriver& { return driver(device); })) {
  reserved_ = round_up(driver_.capacity(), commit_step);
  base_ = static_cast<std::byte*>(on_driver([&] { return driver_.reserve(reserved_); }));
}

Pool::~Pool() { driver_.release(base_); }

void Pool::grow(std::size_t end) {
  if (end <= committed_) return;
  const std::size_t target = round_up(end, commit_step);
  require(target <= reserved_, "memory: a tensor needs {} MiB in all, but this machine has {} MiB", target >> 20,
          reserved_ >> 20);
  on_driver([&] { driver_.commit(base_, target); });
  committed_ = target;
}

void* Pool::allocate(std::size_t bytes) {
  const std::size_t need = block_bytes(bytes);
  std::scoped_lock lock(mutex_);
  ++allocations_;
  total_allocations.fetch_add(1, std::memory_order_relaxed);
  std::size_t offset = 0;
  if (auto it = free_by_size_.lower_bound({need, 0}); it != free_by_size_.end()) {
    const auto [size, at] = *it;
    offset = at;
    erase_free(free_by_offset_.find(at));
    if (size > need) insert_free(at + need, size - need);
  } else {
    // A free block that touches the end is extended rather than left as a hole.
    auto last = free_by_offset_.empty() ? free_by_offset_.end() : std::prev(free_by_offset_.end());
    const bool touches = last != free_by_offset_.end() && last->first + last->second == end_;
    offset = touches ? last->first : end_;
    grow(offset + need);
    if (touches) erase_free(last);
    end_ = offset + need;
  }
  live_ += need;
  peak_ = std::max(peak_, offset + need);
  driver_.begin_block(base_ + offset, bytes, true);
  return base_ + offset;
}

void Pool::free(void* block, std::size_t bytes) noexcept {
  const std::size_t size = block_bytes(bytes);
  std::scoped_lock lock(mutex_);
  driver_.end_block(block, size);
  live_ -= size;
  insert_free(static_cast<std::size_t>(static_cast<std::byte*>(block) - base_), size);
}

void Pool::open_for_replay() { driver_.begin_block(base_, end_, false); }

void Pool::insert_free(std::size_t begin, std::size_t bytes) {
  auto next = free_by_offset_.lower_bound(begin);
  if (next != free_by_offset_.end() && begin + bytes == next->first) {
    bytes += next->second;
    erase_free(next);
  }
  next = free_by_offset_.lower_bound(begin);
  if (next != free_by_offset_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == begin) {
      begin = before->first;
      bytes += before->second;
      erase_free(before);
    }
  }
  free_by_offset_.emplace(begin, bytes);
  free_by_size_.emplace(bytes, begin);
}

void Pool::erase_free(std::map<std::size_t, std::size_t>::iterator it) {
  free_by_size_.erase({it->second, it->first});
  free_by_offset_.erase(it);
}

Storage::Storage(std::shared_ptr<Pool> from, std::size_t n)
    : pool(std::move(from)), bytes(n), data(pool->allocate(n)) {}
Storage::Storage(std::shared_ptr<Storage> of, std::size_t offset, std::size_t n)
    : pool(of->pool), bytes(n), data(static_cast<std::byte*>(of->data) + offset), whole(std::move(of)) {}
Storage::~Storage() {
  if (!whole) pool->free(data, bytes);
}

HostMemory::HostMemory(Device device, std::size_t bytes) {
  DeviceDriver& d = driver(device);
  memory_ = {static_cast<std::byte*>(on_driver([&] { return d.host_memory(bytes); })),
             [&d](std::byte* p) { d.free_host_memory(p); }};
}

std::shared_ptr<Pool> current_pool() { return scoped_pool ? scoped_pool : process_pool(); }
std::uint64_t allocation_count() { return total_allocations.load(std::memory_order_relaxed); }

PoolScope::PoolScope(std::shared_ptr<Pool> pool) : before_(std::move(scoped_pool)) { scoped_pool = std::move(pool); }
PoolScope::~PoolScope() { scoped_pool = std::move(before_); }

}  // namespace duel
