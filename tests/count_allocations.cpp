#include "tests/count_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocated{0};
}  // namespace

#if !defined(__SANITIZE_ADDRESS__)
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
  counting = true;
}
CountAllocations::~CountAllocations() { counting = false; }
long CountAllocations::count() const { return allocated; }

}  // namespace duel::test
