#include <stdexcept>

#include "kernels/gpu/cuda.h"
#include "kernels/optimizer.h"

namespace duel::kernels::DUEL_GPU {
void adam(AdamConstants, UpdateState, TensorPack) { throw std::runtime_error("adam: not written yet"); }
void rmsprop(RmspropConstants, UpdateState, TensorPack) { throw std::runtime_error("rmsprop: not written yet"); }
void sgd(SgdConstants, UpdateState, TensorPack) { throw std::runtime_error("sgd: not written yet"); }
void ema(double, View, View, TensorPack) { throw std::runtime_error("ema: not written yet"); }
void clip(double, double, View, TensorPack) { throw std::runtime_error("clip: not written yet"); }
void add_square_norm(TensorPack, View) { throw std::runtime_error("add_square_norm: not written yet"); }
void judge_gradient(double, View, View, View) { throw std::runtime_error("judge_gradient: not written yet"); }
void count_up(View, View) { throw std::runtime_error("count_up: not written yet"); }
}  // namespace duel::kernels::DUEL_GPU
