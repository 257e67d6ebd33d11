// Splitting a loop over the threads of the one pool (OpenMP, shared with oneDNN).
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace duel::kernels {

// Calls f(begin, end) on disjoint ranges that cover [0, n). Below `grain` items the call stays on this thread:
// waking the pool costs about as much as 10,000 additions.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, F f) {
  if (n <= grain || omp_in_parallel() || omp_get_max_threads() == 1) {
    if (n > 0) f(std::int64_t{0}, n);
    return;
  }
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
    const std::int64_t begin = n * me / threads, end = n * (me + 1) / threads;
    if (begin < end) f(begin, end);
  }
}

inline constexpr std::int64_t elementwise_grain = 16384;

// For loops over items that cost `each` elementary operations.
inline std::int64_t grain_for(std::int64_t each) {
  return std::max<std::int64_t>(1, elementwise_grain / std::max<std::int64_t>(1, each));
}

}  // namespace duel::kernels
