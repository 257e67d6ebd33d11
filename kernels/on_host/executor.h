// CUDA's execution model on the CPU: a grid of blocks, each a set of fibers that meet at barriers and in warps.
//
// A block's threads are started lazily: one fiber runs thread after thread until a thread waits for others; so a kernel
// without barriers is a plain loop. Blocks run one after another. Everything happens on the calling thread.
//
// What a kernel does wrong is reported as an Error that names the file and the line: a barrier or warp operation that
// not all threads reach, a bad mask or lane, a deadlock, shared memory beyond the limits of a GPU. Shared memory starts
// as NaN, and the order in which threads run can be shuffled, so that what depends on luck gives wrong results.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace duel::on_host {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Index3 {
  unsigned x, y, z;
};
struct Extent3 {
  unsigned x, y, z;
  constexpr Extent3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
  std::size_t volume() const { return std::size_t{x} * y * z; }
};

// in_turn:  threads run by number, and those that waited go on in the order in which they came.
// shuffled: threads and blocks start, and go on after a barrier, in an order drawn from the seed.
// unfair:   shuffled, and whoever became ready last runs first: one warp gets as far ahead of the others as it can.
enum class Order : std::uint8_t { in_turn, shuffled, unfair };
struct Options {
  Order order = Order::in_turn;
  std::uint64_t seed = 1;
};
Options& options();

struct Statistics {
  std::uint64_t launches = 0, threads = 0;
  std::uint64_t barrier_arrivals = 0, warp_arrivals = 0;  // thread by thread
};
const Statistics& statistics();

// Every kernel that some code of this program can launch, and how often it was.
struct KernelRecord {
  std::string name;
  std::uint64_t launches = 0;
};
std::vector<KernelRecord>& kernel_records();
std::size_t register_kernel(const char* pretty_function);  // answers its place in kernel_records()

using Body = void (*)(void* arguments);
// Runs all blocks. `kernel` is a place in kernel_records(). Errors: limits of a GPU (1024 threads a block, 227 KiB of
// shared memory), and whatever the kernel does wrong.
void run(std::size_t kernel, Extent3 grid, Extent3 block, std::size_t shared_bytes, Body body, void* arguments);
bool in_kernel();
// From within a kernel: ends it with an Error that names the thread. stop() does so without unwinding the thread, for
// callers that exceptions cannot leave.
[[noreturn]] void fail(const std::string& message);
[[noreturn]] void stop(const std::string& message);

// ---- what the language header is built from; `Site` is where the kernel's code calls it
struct Site {
  const char* what;
  const char* file;
  int line;
};
std::string to_string(const Site& s);

struct Votes {
  int any = 0, all = 1, count = 0;
};
Votes block_barrier(Site site, int predicate = 0);

// The meeting of a warp's lanes named by `mask`: each brings `bytes` bytes; when all have come, all may read them.
struct Meeting {
  std::uint32_t mask = 0, arrived = 0;
  int readers = 0;
  Site site{};
  void* waiting[32] = {};
  Meeting* next = nullptr;
  alignas(64) std::byte slot[32 * 64];
};
Meeting& meet(std::uint32_t mask, const void* value, std::size_t bytes, Site site);
void leave(Meeting& m);

// Static shared memory: the same address for all threads of a block that come by the same declaration.
void* shared_variable(const void* key, std::size_t bytes, std::size_t align, const char* name);
void* dynamic_shared();

// cp.async: the copy happens when it is waited for; until then its destination holds NaN.
void copy_async(void* to, const void* from, std::size_t bytes, Site site);
void copy_async_commit();
void copy_async_wait(std::size_t groups_left);
void thread_fence();

inline thread_local constinit Index3 thread_index{0, 0, 0};
inline thread_local constinit Index3 block_index{0, 0, 0};
inline thread_local constinit Extent3 block_extent{};
inline thread_local constinit Extent3 grid_extent{};
inline unsigned thread_number() {
  return thread_index.x + block_extent.x * (thread_index.y + block_extent.y * thread_index.z);
}
inline unsigned lane() { return thread_number() & 31; }

}  // namespace duel::on_host
