// Memory of tensors: pools that hand out blocks of one reserved range of addresses, and reference-counted storages.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "engine/device.h"
#include "kernels/view.h"

namespace duel {

// Best-fit allocator with coalescing. The range of addresses is reserved once and committed as it grows, so a block
// never moves and the highest end of a block is the exact peak. Blocks are aligned to 64 bytes.
class Pool {
 public:
  explicit Pool(Device device);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void* allocate(std::size_t bytes);
  void free(void* block, std::size_t bytes) noexcept;

  // From now on blocks that were freed may be used again by a replay: under AddressSanitizer they are no longer
  // guarded.
  void open_for_replay();

  std::size_t live_bytes() const { return live_; }
  std::size_t peak_bytes() const { return peak_; }            // highest address in use so far, from the range's start
  std::uint64_t allocations() const { return allocations_; }  // calls of allocate() so far
  Device device() const { return device_; }

 private:
  void grow(std::size_t end);
  void insert_free(std::size_t begin, std::size_t bytes);
  void erase_free(std::map<std::size_t, std::size_t>::iterator it);

  Device device_;
  DeviceDriver& driver_;
  std::byte* base_ = nullptr;
  std::size_t reserved_ = 0, committed_ = 0, end_ = 0, live_ = 0, peak_ = 0;
  std::uint64_t allocations_ = 0;
  std::map<std::size_t, std::size_t> free_by_offset_;
  std::set<std::pair<std::size_t, std::size_t>> free_by_size_;
  mutable std::mutex mutex_;
};

// One block and the pool it goes back to. Tensors share it; views of the same memory (reshape) hold the same storage.
struct Storage {
  Storage(std::shared_ptr<Pool> from, std::size_t n);
  // `n` bytes of another one from `offset` on, which it keeps alive.
  Storage(std::shared_ptr<Storage> of, std::size_t offset, std::size_t n);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::shared_ptr<Pool> pool;
  std::size_t bytes;
  void* data;
  std::shared_ptr<Storage> whole;  // of which it is a part
  std::shared_ptr<Storage> bf16;   // the same f32 numbers rounded, of a parameter that keeps such a copy (bf16_copy.h)
};

// Host memory that copies to and from the device may use while the host goes on; see DeviceDriver::queue_in.
class HostMemory {
 public:
  HostMemory() = default;
  HostMemory(Device device, std::size_t bytes);
  std::byte* data() const { return memory_.get(); }

 private:
  std::shared_ptr<std::byte> memory_;
};

// The pool that new tensors of this thread come from: a Step's own while it records, otherwise the process-wide one of
// the default device.
std::shared_ptr<Pool> current_pool();
std::uint64_t allocation_count();  // of all pools, since the start

// Makes `pool` the current one for a scope; an empty pointer stands for the process-wide pool (for what outlives a
// Step).
class PoolScope {
 public:
  explicit PoolScope(std::shared_ptr<Pool> pool);
  ~PoolScope();
  PoolScope(const PoolScope&) = delete;
  PoolScope& operator=(const PoolScope&) = delete;

 private:
  std::shared_ptr<Pool> before_;
};

}  // namespace duel
