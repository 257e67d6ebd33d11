#include <stdexcept>

#include "kernels/gpu/cuda.h"
#include "kernels/random.h"

namespace duel::kernels::DUEL_GPU {
void random(Random, std::uint64_t, std::uint32_t, double, double, View, View) {
  throw std::runtime_error("random: not written yet");
}
}  // namespace duel::kernels::DUEL_GPU
