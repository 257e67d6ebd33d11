// The softmax family along the last axis of (rows, n), computed after subtracting each row's maximum.
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// softmax:     y[r,j] = exp(x[r,j]) / sum_k exp(x[r,k])
// log_softmax: y[r,j] = x[r,j] - log sum_k exp(x[r,k])
// logsumexp:   y[r]   = log sum_k exp(x[r,k])
enum class Softmax : std::uint8_t { softmax, log_softmax, logsumexp };
DUEL_KERNEL(softmax, Softmax f, View x, View y);

}  // namespace duel::kernels
