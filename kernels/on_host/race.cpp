// The race checker. Kernels are compiled with -fsanitize=thread, which calls a function before every load and store;
// here are these functions, in place of the sanitizer's own runtime. Each 4 bytes of device and shared memory have a
// shadow that remembers the last write and the last reads: by which thread, between which barriers, at which line.
#ifdef DUEL_RACE

#include "kernels/on_host/race.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/on_host/executor.h"

namespace duel::on_host::race {
namespace {

constexpr std::uintptr_t red_zone = 64;  // around every tensor, see engine/memory.cpp
constexpr std::uint16_t many_lanes = 0x8000, many_warps = 0xffff;

// `thread` is a thread of the block; many_lanes | warp for several lanes of a warp; many_warps for more.
struct Access {
  std::uint32_t block = 0, barrier = 0, warp_epoch = 0, fences = 0;
  const void* pc = nullptr;
  std::uint16_t thread = 0;
  std::uint8_t bytes = 0;  // which of the four
  bool atomic = false;
};
struct Cell {
  Access write, read;
  std::uint8_t initialised = 0;  // which of the four bytes; for shared memory
};
struct Region {
  std::uintptr_t begin = 0, end = 0;
  bool shared = false;
  std::vector<Cell> cells;
};

struct Shadow {
  std::map<std::uintptr_t, std::unique_ptr<Region>> regions;  // by their ends
  Region* last = nullptr;
  Region shared;
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> variables;  // what of the shared memory is declared
  // Numbers that only grow: blocks are told apart over all launches.
  std::uint32_t block = 0, first_block_of_launch = 1, barrier = 1, fences = 1;
  std::uint32_t warp_epoch[32] = {};
  std::unordered_map<std::uint64_t, std::uint32_t> fenced;  // (block, thread) -> its last __threadfence
};
Shadow& shadow() {
  static Shadow& s = *new Shadow;
  return s;
}

std::string where(const void* pc) {
  Dl_info info;
  if (!dladdr(pc, &info)) return "?";
  const auto offset = static_cast<const char*>(pc) - static_cast<const char*>(info.dli_fbase) - 1;
  char command[512];
  std::snprintf(command, sizeof command, "addr2line -s -i -e %s 0x%zx", info.dli_fname,
                static_cast<std::size_t>(offset));
  std::string text;
  if (FILE* pipe = popen(command, "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, pipe)) {
      std::string s(line);
      s = s.substr(0, std::min(s.find('\n'), s.find(" (disc")));
      text += (text.empty() ? "" : " in ") + s;
    }
    pclose(pipe);
  }
  return text.empty() ? "?" : text;
}

bool same_warp(const Access& a, unsigned thread) {
  return a.thread != many_warps && (a.thread & many_lanes ? a.thread & 31u : a.thread / 32u) == thread / 32;
}

// Whether nothing orders the earlier access `a` and one of `bytes` by `thread` now.
bool conflict(const Access& a, unsigned thread, bool atomic, std::uint8_t bytes, bool is_shared) {
  const Shadow& s = shadow();
  if (a.block < s.first_block_of_launch || !(a.bytes & bytes) || (a.atomic && atomic)) return false;
  if (a.block != s.block) {  // blocks are ordered by nothing but fences, and an atomic that the reader has seen
    if (is_shared) return false;
    const auto f = s.fenced.find(std::uint64_t{a.block} << 10 | (a.thread & 1023u));
    return f == s.fenced.end() || a.fences >= f->second;
  }
  if (a.barrier != s.barrier || a.thread == thread) return false;
  return !same_warp(a, thread) || a.warp_epoch == s.warp_epoch[thread / 32];
}

const char* kind(bool write, bool atomic) { return atomic ? "atomic" : write ? "write" : "read"; }

[[noreturn]] void report(const Access& before, bool before_wrote, unsigned thread, bool write, bool atomic,
                         const void* pc, bool is_shared) {
  const std::string who = before.thread & many_lanes ? "several threads" : "thread " + std::to_string(before.thread);
  stop(std::string("data race on ") + (is_shared ? "shared" : "global") + " memory: " + kind(write, atomic) +
       " by thread " + std::to_string(thread) + " at " + where(pc) + ", " + kind(before_wrote, before.atomic) + " by " +
       who + " of " + (before.block == shadow().block ? "the same block" : "another block") + " at " +
       where(before.pc) + ", with no barrier between");
}

// The region that holds the address or its surroundings; null for memory that is not the device's.
Region* region_of(std::uintptr_t a) {
  Shadow& s = shadow();
  if (a >= s.shared.begin && a < s.shared.end) return &s.shared;
  if (s.last && a + red_zone >= s.last->begin && a < s.last->end) return s.last;
  const auto it = s.regions.upper_bound(a);
  if (it != s.regions.end() && a + red_zone >= it->second->begin) return s.last = it->second.get();
  if (it == s.regions.begin()) return nullptr;
  Region* before = std::prev(it)->second.get();
  return a < before->end + red_zone ? before : nullptr;
}

bool inside(const Region& r, std::uintptr_t a, std::size_t n) {
  if (!r.shared) return a >= r.begin && a + n <= r.end;
  const auto& v = shadow().variables;
  return std::any_of(v.begin(), v.end(), [&](const auto& x) { return a >= x.first && a + n <= x.second; });
}

void access(std::uintptr_t a, std::size_t n, bool write, bool atomic, const void* pc) {
  Region* r = region_of(a);
  if (!r) return;
  const char* memory = r->shared ? "shared" : "global";
  if (!inside(*r, a, n))
    stop(std::string("out of bounds: ") + kind(write, atomic) + " of " + std::to_string(n) + " bytes of " + memory +
         " memory at " + where(pc));
  if ((n == 2 || n == 4 || n == 8 || n == 16) && a % n)
    stop(std::string("misaligned ") + kind(write, atomic) + " of " + std::to_string(n) + " bytes at " + where(pc));
  Shadow& s = shadow();
  const unsigned thread = thread_number();
  const std::uintptr_t origin = r->begin & ~std::uintptr_t{3};
  for (std::uintptr_t word = a & ~std::uintptr_t{3}; word < a + n; word += 4) {
    Cell& c = r->cells[(word - origin) / 4];
    std::uint8_t bytes = 0;
    for (unsigned b = 0; b < 4; ++b)
      if (word + b >= a && word + b < a + n) bytes |= static_cast<std::uint8_t>(1u << b);
    if (conflict(c.write, thread, atomic, bytes, r->shared))
      report(c.write, true, thread, write, atomic, pc, r->shared);
    if (write && conflict(c.read, thread, atomic, bytes, r->shared))
      report(c.read, false, thread, write, atomic, pc, r->shared);
    if (!write && r->shared && (c.initialised & bytes) != bytes)
      stop("read of uninitialised shared memory by thread " + std::to_string(thread) + " at " + where(pc));
    Access now{s.block, s.barrier, s.warp_epoch[thread / 32], s.fences, pc, static_cast<std::uint16_t>(thread),
               bytes,   atomic};
    if (write) {
      c.write = now;
      c.initialised |= bytes;
      continue;
    }
    const Access& old = c.read;
    if (old.block == s.block && old.barrier == s.barrier && old.thread != thread) {  // one of several readers
      now.thread = same_warp(old, thread) ? static_cast<std::uint16_t>(many_lanes | thread / 32) : many_warps;
      now.bytes |= old.bytes;
    }
    c.read = now;
  }
}

}  // namespace

void launch_begins() {
  shadow().first_block_of_launch = shadow().block + 1;
  shadow().fenced.clear();
}
void block_begins(std::byte* memory, std::size_t capacity, std::size_t dynamic_bytes) {
  Shadow& s = shadow();
  ++s.block;
  ++s.barrier;
  s.variables.clear();
  s.shared.begin = reinterpret_cast<std::uintptr_t>(memory);
  s.shared.end = s.shared.begin + capacity;
  s.shared.shared = true;
  s.shared.cells.resize(capacity / 4);
  if (dynamic_bytes) shared_begins(memory, dynamic_bytes);
}
void block_met() { ++shadow().barrier; }
void warp_met(unsigned warp) { ++shadow().warp_epoch[warp & 31]; }
void fence() {
  Shadow& s = shadow();
  s.fenced[std::uint64_t{s.block} << 10 | thread_number()] = ++s.fences;
}
void shared_begins(const void* p, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  shadow().variables.push_back({at, at + bytes});
  made_uninitialised(p, bytes);
}
void made_uninitialised(const void* p, std::size_t bytes) {
  Region& r = shadow().shared;
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  if (at < r.begin || at >= r.end) return;
  for (std::size_t i = (at - r.begin) / 4; i < (at + bytes + 3 - r.begin) / 4; ++i) r.cells[i].initialised = 0;
}
void touched(const void* p, std::size_t bytes, bool write) {
  if (in_kernel()) access(reinterpret_cast<std::uintptr_t>(p), bytes, write, false, __builtin_return_address(0));
}
void global_begins(const void* p, std::size_t bytes) {
  if (bytes == 0) return;  // of an empty tensor: a region of no extent would be found in place of what is there later
  auto r = std::make_unique<Region>();
  r->begin = reinterpret_cast<std::uintptr_t>(p);
  r->end = r->begin + bytes;
  r->cells.resize((bytes + 3) / 4);
  shadow().regions[r->end] = std::move(r);
  shadow().last = nullptr;
}
void global_forgets(const void* p, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(p);
  shadow().last = nullptr;
  std::erase_if(shadow().regions,
                [&](const auto& r) { return r.second->begin >= begin && r.second->end <= begin + bytes; });
}
void global_ends(const void* p) {
  const auto begin = reinterpret_cast<std::uintptr_t>(p);
  auto& regions = shadow().regions;
  shadow().last = nullptr;
  for (auto it = regions.upper_bound(begin); it != regions.end() && it->second->begin <= begin; ++it)
    if (it->second->begin == begin) {
      regions.erase(it);
      return;
    }
}

}  // namespace duel::on_host::race

namespace {
void watch(const volatile void* p, std::size_t n, bool write, bool atomic, const void* pc) {
  if (duel::on_host::in_kernel())
    duel::on_host::race::access(reinterpret_cast<std::uintptr_t>(p), n, write, atomic, pc);
}
}  // namespace

#define PC __builtin_return_address(0)
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}
void __tsan_read_range(void* p, std::size_t n) { watch(p, n, false, false, PC); }
void __tsan_write_range(void* p, std::size_t n) { watch(p, n, true, false, PC); }

#define PLAIN(n)                                                                    \
  void __tsan_read##n(void* p) { watch(p, n, false, false, PC); }                   \
  void __tsan_write##n(void* p) { watch(p, n, true, false, PC); }                   \
  void __tsan_unaligned_read##n(void* p) { watch(p, n, false, false, PC); }         \
  void __tsan_unaligned_write##n(void* p) { watch(p, n, true, false, PC); }         \
  void __tsan_volatile_read##n(void* p) { watch(p, n, false, true, PC); }           \
  void __tsan_volatile_write##n(void* p) { watch(p, n, true, true, PC); }           \
  void __tsan_unaligned_volatile_read##n(void* p) { watch(p, n, false, true, PC); } \
  void __tsan_unaligned_volatile_write##n(void* p) { watch(p, n, true, true, PC); }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)
#undef PLAIN

#define ATOMIC(bits, T)                                                                     \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                  \
    watch(p, sizeof(T), false, true, PC);                                                   \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                            \
  }                                                                                         \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                               \
    watch(p, sizeof(T), true, true, PC);                                                    \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                               \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                              \
    watch(p, sizeof(T), true, true, PC);                                                    \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                              \
    watch(p, sizeof(T), true, true, PC);                                                    \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                               \
    watch(p, sizeof(T), true, true, PC);                                                    \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                     \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* c, T v, int, int) {   \
    watch(p, sizeof(T), true, true, PC);                                                    \
    return __atomic_compare_exchange_n(p, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* c, T v, int, int) {     \
    watch(p, sizeof(T), true, true, PC);                                                    \
    return __atomic_compare_exchange_n(p, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
ATOMIC(8, std::uint8_t)
ATOMIC(16, std::uint16_t)
ATOMIC(32, std::uint32_t)
ATOMIC(64, std::uint64_t)
#undef ATOMIC
}
#undef PC

#endif  // DUEL_RACE
