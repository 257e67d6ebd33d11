// Updates of many parameter tensors in one call.
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// Up to `capacity` tensors side by side, small enough to be passed by value to a kernel of any device. Row r of `at`
// holds the r-th operand of every tensor; all are of `dtype`.
struct TensorPack {
  static constexpr int capacity = 32, operands = 4;
  int count = 0;
  DType dtype = DType::f32;
  std::int64_t size[capacity] = {};
  void* at[operands][capacity] = {};

  std::int64_t bytes() const {  // of all operands
    std::int64_t n = 0;
    for (const auto& row : at)
      for (int i = 0; i < count; ++i) n += row[i] ? size[i] * static_cast<std::int64_t>(size_of(dtype)) : 0;
    return n;
  }
};

// What changes from iteration to iteration lives on the device: lr f64 (1), t i64 (1) counts the updates including this
// one, scale f64 (1) multiplies the gradients (empty view: 1), finite i32 (1): nothing is written while it is 0; beta2
// f64 (1) is Adam's (empty view: the constant).
struct UpdateState {
  View lr, t, scale, finite;
  View beta2 = {};
};

// Adam (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019, algorithm 2). Operands: p, g, m, v.
//   g += l2 * p + l1 * sign(p);  m = beta1*m + (1-beta1)*g;  v = beta2*v + (1-beta2)*g^2
//   p = p - lr*decay*p - lr * (m / (1-beta1^t)) / (sqrt(v / (1-beta2^t)) + eps)
struct AdamConstants {
  double beta1, beta2, eps, l1, l2, decay;
};
DUEL_KERNEL(adam, AdamConstants k, UpdateState state, TensorPack pack);

// RMSprop (Tieleman and Hinton 2012). Operands: p, g, v.
//   g += l2*p + l1*sign(p);  v = alpha*v + (1-alpha)*g^2;  p -= lr * g / (sqrt(v) + eps)
struct RmspropConstants {
  double alpha, eps, l1, l2;
};
DUEL_KERNEL(rmsprop, RmspropConstants k, UpdateState state, TensorPack pack);

// Stochastic gradient descent with momentum (Polyak 1964). Operands: p, g, m.
//   g += l2*p + l1*sign(p);  m = momentum*m + g;  p -= lr * (nesterov ? g + momentum*m : m)
struct SgdConstants {
  double momentum, l1, l2;
  bool nesterov;
};
DUEL_KERNEL(sgd, SgdConstants k, UpdateState state, TensorPack pack);

// Exponential moving average. Operands: average, source.  average = d*average + (1-d)*source
// with d = min(decay, (1+t)/(10+t)), t = *step (i64): a short run is not dominated by its beginning. Where `now`, f64
// (1), is given, d = *now.
DUEL_KERNEL(ema, double decay, View now, View step, View finite, TensorPack pack);
// Operand: p.  p = min(max(p, low), high)
DUEL_KERNEL(clip, double low, double high, View finite, TensorPack pack);
// Operands: p f32, its copy bf16.  copy = p rounded to nearest
DUEL_KERNEL(round_to_bf16, View finite, TensorPack pack);
// Operand: g.  *sum (f64) += sum of squares of all elements of the pack; the caller clears it first. `parts`, f64
// (square_norm_parts), is scratch: sums of parts of the pack, added in a second pass. The CPU leaves it alone.
inline constexpr int square_norm_parts = 1024;
DUEL_KERNEL(add_square_norm, TensorPack pack, View sum, View parts);
// *finite becomes 0 if *sum is not finite. *scale = min(1, max_norm / sqrt(*sum)), or 1 where max_norm is 0.
DUEL_KERNEL(judge_gradient, double max_norm, View sum, View scale, View finite);
// *t += 1, t i64 (1), unless *finite is 0.
DUEL_KERNEL(count_up, View t, View finite);

}  // namespace duel::kernels
