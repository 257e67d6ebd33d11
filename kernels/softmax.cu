#include <stdexcept>

#include "kernels/gpu/cuda.h"
#include "kernels/softmax.h"

namespace duel::kernels::DUEL_GPU {
void softmax(Softmax, View, View) { throw std::runtime_error("softmax: not written yet"); }
}  // namespace duel::kernels::DUEL_GPU
