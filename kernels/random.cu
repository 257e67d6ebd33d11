// GPU path of kernels/random.h.
#include "kernels/gpu/grid.cuh"
#include "kernels/random.h"

namespace duel::kernels::DUEL_GPU {
namespace {

// One thread, one block of Philox, four elements.
template <class T>
__global__ void __launch_bounds__(block_threads)
    draw(Random f, std::uint64_t seed, std::uint32_t site, float low, float high, const std::int64_t* step,
         std::int64_t n, T* __restrict__ y) {
  struct alignas(4 * sizeof(T)) Four {
    T at[4];
  };
  const auto now = static_cast<std::uint32_t>(*step);
  for (std::int64_t i = global_thread(); 4 * i < n; i += all_threads()) {
    float v[4];
    four_values(f, philox(seed, static_cast<std::uint64_t>(i), site, now), low, high, v);
    if (4 * i + 4 <= n) {
      Four four;
      for (int k = 0; k < 4; ++k) four.at[k] = static_cast<T>(v[k]);
      reinterpret_cast<Four*>(y)[i] = four;
    } else {
#pragma unroll  // indices that vary would put v into memory
      for (int k = 0; k < 4; ++k)
        if (4 * i + k < n) y[4 * i + k] = static_cast<T>(v[k]);
    }
  }
}

}  // namespace

void random(Random f, std::uint64_t seed, std::uint32_t site, double low, double high, View step, View y) {
  if (y.size() == 0) return;
  const auto go = [&](auto t) {
    using T = decltype(t);
    LAUNCH((draw<T>), blocks_for(y.size(), 4 * block_threads), block_threads, 0, f, seed, site, static_cast<float>(low),
           static_cast<float>(high), step.as<const std::int64_t>(), y.size(), y.as<T>());
  };
  if (y.dtype == DType::f64)
    go(double{});
  else
    dispatch_storage(y.dtype, go);
}

}  // namespace duel::kernels::DUEL_GPU
