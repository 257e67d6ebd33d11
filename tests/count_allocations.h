// Counts the heap allocations of the whole process, libraries included. Under AddressSanitizer, which has its own
// operator new, the count stays 0.
#pragma once

namespace duel::test {

class CountAllocations {
 public:
  CountAllocations();
  ~CountAllocations();
  long count() const;
};

}  // namespace duel::test
