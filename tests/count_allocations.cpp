#include "tests/count_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocated{0};
std::atomic<std::size_t> largest_block{0};

[[maybe_unused]] void note(std::size_t n) {
  if (!counting) return;
  std::size_t before = largest_block;
  while (n > before && !largest_block.compare_exchange_weak(before, n)) {
  }
}
}  // namespace

#if !defined(__SANITIZE_ADDRESS__)
// In the place of glibc's for the whole process, libraries included.
extern "C" {
void* __libc_malloc(std::size_t n);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* p, std::size_t n);
void* malloc(std::size_t n) noexcept { return note(n), __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) noexcept { return note(n * size), __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) noexcept { return note(n), __libc_realloc(p, n); }
}

void* operator new(std::size_t n) {
  if (counting) ++allocated;
  if (void* p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace duel::test {

CountAllocations::CountAllocations() {
  allocated = 0;
  largest_block = 0;
  counting = true;
}
CountAllocations::~CountAllocations() { counting = false; }
long CountAllocations::count() const { return allocated; }
std::size_t CountAllocations::largest() const { return largest_block; }

}  // namespace duel::test
