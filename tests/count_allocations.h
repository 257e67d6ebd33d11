// Counts the heap allocations of the whole process, libraries included. Under AddressSanitizer, which has its own
// functions for them, both numbers stay 0.
#pragma once
#include <cstddef>

namespace duel::test {

class CountAllocations {
 public:
  CountAllocations();
  ~CountAllocations();
  long count() const;           // calls of operator new
  std::size_t largest() const;  // bytes of the largest malloc, calloc or realloc
};

}  // namespace duel::test
