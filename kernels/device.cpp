#include "kernels/device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>

#include "kernels/on_host/stream.h"
#include "kernels/poison.h"

namespace duel {
namespace {

std::size_t physical_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void* allocate_host(std::size_t bytes) {
  void* p = std::malloc(std::max<std::size_t>(bytes, 1));
  if (!p) throw std::bad_alloc();
  return p;
}

double clock_around(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Cpu final : public DeviceDriver {
 public:
  std::string describe() const override { return "the CPU"; }
  std::size_t capacity() const override { return physical_memory(); }

  void* reserve(std::size_t bytes) override {
    void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
      throw std::runtime_error("memory: cannot reserve " + std::to_string(bytes >> 20) +
                               " MiB of addresses: " + std::strerror(errno));
    const std::scoped_lock lock(mutex_);
    ranges_[p] = {bytes, 0};
    return p;
  }
  void commit(void* base, std::size_t bytes) override {
    const std::scoped_lock lock(mutex_);
    Range& range = ranges_.at(base);
    void* from = static_cast<std::byte*>(base) + range.committed;
    if (mprotect(from, bytes - range.committed, PROT_READ | PROT_WRITE) != 0)
      throw std::runtime_error("memory: cannot commit " + std::to_string(bytes >> 20) +
                               " MiB: " + std::strerror(errno));
    madvise(from, bytes - range.committed, MADV_HUGEPAGE);  // fewer page faults; harmless where refused
    ASAN_POISON_MEMORY_REGION(from, bytes - range.committed);
    range.committed = bytes;
  }
  void release(void* base) override {
    const std::scoped_lock lock(mutex_);
    const auto it = ranges_.find(base);
    ASAN_UNPOISON_MEMORY_REGION(base, it->second.committed);
    munmap(base, it->second.reserved);
    ranges_.erase(it);
  }
  void begin_block([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes, bool) override {
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  }
  void end_block([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept override {
    ASAN_POISON_MEMORY_REGION(block, bytes);
  }
  void copy_in(void* to, const void* host, std::size_t bytes) override { copy(to, host, bytes); }
  void copy_out(void* host, const void* from, std::size_t bytes) override { copy(host, from, bytes); }
  void synchronize() override {}
  void* host_memory(std::size_t bytes) override { return allocate_host(bytes); }
  void free_host_memory(void* p) noexcept override { std::free(p); }
  void queue_in(void* to, const void* host, std::size_t bytes) override { copy(to, host, bytes); }
  void queue_out(void* host, const void* from, std::size_t bytes) override { copy(host, from, bytes); }
  Mark mark() override { return 0; }
  void wait(Mark) override {}
  double seconds(const std::function<void()>& work) override { return clock_around(work); }

 private:
  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }
  struct Range {
    std::size_t reserved = 0, committed = 0;
  };
  std::map<void*, Range> ranges_;
  std::mutex mutex_;
};

class CudaHost final : public DeviceDriver {
 public:
  std::string describe() const override { return "CUDA kernels executed on the CPU"; }
  std::size_t capacity() const override { return physical_memory(); }
  void* reserve(std::size_t bytes) override { return on_host::reserve(bytes); }
  void commit(void* base, std::size_t bytes) override { on_host::commit(base, bytes); }
  void release(void* base) override { on_host::release(base); }
  void begin_block(void* block, std::size_t bytes, bool fresh) override { on_host::begin_block(block, bytes, fresh); }
  void end_block(void* block, std::size_t bytes) noexcept override { on_host::end_block(block, bytes); }
  void copy_in(void* to, const void* host, std::size_t bytes) override { on_host::copy_in(to, host, bytes); }
  void copy_out(void* host, const void* from, std::size_t bytes) override {
    on_host::copy_out(host, from, bytes);
    on_host::synchronize();
  }
  void synchronize() override { on_host::synchronize(); }
  void* host_memory(std::size_t bytes) override { return allocate_host(bytes); }
  void free_host_memory(void* p) noexcept override { std::free(p); }
  void queue_in(void* to, const void* host, std::size_t bytes) override {
    if (bytes) on_host::enqueue([=] { std::memcpy(to, host, bytes); });
  }
  void queue_out(void* host, const void* from, std::size_t bytes) override { on_host::copy_out(host, from, bytes); }
  Mark mark() override {
    on_host::enqueue([this, m = marks_ + 1] { reached_ = m; });
    return ++marks_;
  }
  void wait(Mark m) override {
    if (reached_ < m) on_host::synchronize();
  }
  double seconds(const std::function<void()>& work) override {
    on_host::synchronize();
    return clock_around([&] {
      work();
      on_host::synchronize();
    });
  }

 private:
  Mark marks_ = 0, reached_ = 0;
};

}  // namespace

#ifdef DUEL_CUDA
DeviceDriver& cuda_driver();  // kernels/gpu/stream.cpp
std::string cuda_missing();
#endif

DeviceDriver& driver(Device device) {
  // Never destroyed: static tensors give their memory back at exit, in any order.
  static Cpu& cpu = *new Cpu;
  static CudaHost& host = *new CudaHost;
  switch (device) {
    case Device::cpu:
      return cpu;
    case Device::cuda_host:
      return host;
    case Device::cuda:
#ifdef DUEL_CUDA
      return cuda_driver();
#else
      break;
#endif
  }
  throw std::runtime_error("device cuda: " + missing(device));
}

std::string missing(Device device) {
  if (device != Device::cuda) return "";
#ifdef DUEL_CUDA
  return cuda_missing();
#else
  return "this program was built without CUDA";
#endif
}

const char* name_of(Device device) {
  switch (device) {
    case Device::cpu:
      return "cpu";
    case Device::cuda_host:
      return "cuda-host";
    case Device::cuda:
      return "cuda";
  }
  return "?";
}

}  // namespace duel
