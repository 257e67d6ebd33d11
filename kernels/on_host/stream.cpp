#include "kernels/on_host/stream.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/on_host/executor.h"
#include "kernels/on_host/race.h"
#include "kernels/poison.h"

namespace duel::on_host {
namespace {

struct Range {
  std::size_t reserved = 0, committed = 0;
};

class Stream {
 public:
  std::map<std::byte*, Range> ranges;
  std::vector<std::function<void()>> queue;

  void run() {
    const auto work = std::exchange(queue, {});
    const Open open(*this);
    for (const auto& f : work) f();
  }

 private:
  // Device memory is accessible while one of these lives.
  struct Open {
    explicit Open(Stream& s) : stream(s) { stream.protect(PROT_READ | PROT_WRITE); }
    ~Open() { stream.protect(PROT_NONE); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    Stream& stream;
  };
  void protect(int access) {
    for (const auto& [base, range] : ranges)
      if (range.committed && mprotect(base, range.committed, access) != 0)
        throw Error("cuda-host: mprotect failed on device memory");
  }
};

Stream& stream() {
  static Stream& s = *new Stream;  // outlives every static that frees device memory at exit
  return s;
}

}  // namespace

void* reserve(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw Error("cuda-host: cannot reserve " + std::to_string(bytes >> 20) + " MiB of addresses");
  stream().ranges[static_cast<std::byte*>(p)] = {bytes, 0};
  return p;
}
void commit(void* base, std::size_t bytes) {
  Range& range = stream().ranges.at(static_cast<std::byte*>(base));
  if (bytes > range.reserved) throw Error("cuda-host: device memory is exhausted");
  ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(base) + range.committed, bytes - range.committed);
  range.committed = bytes;
}
void release(void* base) {
  const auto it = stream().ranges.find(static_cast<std::byte*>(base));
  if (it == stream().ranges.end()) return;
  if (!stream().queue.empty()) synchronize();  // as cudaFree does
  ASAN_UNPOISON_MEMORY_REGION(base, it->second.committed);
  munmap(base, it->second.reserved);
  stream().ranges.erase(it);
}

void begin_block(void* block, std::size_t bytes, bool fresh) {
  enqueue([=] {
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    if (!fresh) return race::global_forgets(block, bytes);
    std::memset(block, 0xff, bytes);
    race::global_begins(block, bytes);
  });
}
void end_block(void* block, [[maybe_unused]] std::size_t bytes) noexcept {
  enqueue([=] {
    race::global_ends(block);
    ASAN_POISON_MEMORY_REGION(block, bytes);
  });
}

void enqueue(std::function<void()> work) { stream().queue.push_back(std::move(work)); }
void copy_in(void* device, const void* host, std::size_t bytes) {
  const auto* p = static_cast<const std::byte*>(host);
  enqueue([device, staged = std::vector<std::byte>(p, p + bytes)] {
    if (!staged.empty()) std::memcpy(device, staged.data(), staged.size());
  });
}
void copy_out(void* host, const void* device, std::size_t bytes) {
  enqueue([=] {
    if (bytes) std::memcpy(host, device, bytes);
  });
}
std::size_t queued() { return stream().queue.size(); }
void synchronize() { stream().run(); }

}  // namespace duel::on_host
