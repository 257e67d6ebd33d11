#include "kernels/parallel.h"
#include "kernels/random.h"

namespace duel::kernels {
void cpu::random(Random f, std::uint64_t seed, std::uint32_t site, double low, double high, View step, View y) {
  const auto now = static_cast<std::uint32_t>(*step.as<std::int64_t>());
  const std::int64_t n = y.size();
  dispatch_float(y.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for((n + 3) / 4, 1024, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        float v[4];
        four_values(f, philox(seed, static_cast<std::uint64_t>(block), site, now), static_cast<float>(low),
                    static_cast<float>(high), v);
        for (std::int64_t i = 0; i < 4 && block * 4 + i < n; ++i) y.as<T>()[block * 4 + i] = static_cast<T>(v[i]);
      }
    });
  });
}

}  // namespace duel::kernels
