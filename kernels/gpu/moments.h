// The second half of a batch norm's statistics, whoever wrote the first.
#pragma once
#include "kernels/gpu/cuda.h"
#include "kernels/norm.h"

namespace duel::kernels::DUEL_GPU {

// The statistics of each channel of a batch norm (b = 1, k = 1) from `pieces` parts of its positions, of any size:
// pairs (channels, pieces) are each part's mean and sum of squared deviations, followed in memory by the number of
// positions of each part as floats (pieces). A part of no positions counts for nothing.
void merge_moments(const NormShape& s, double eps, const float2* pairs, int pieces, float* mean, float* rstd);

}  // namespace duel::kernels::DUEL_GPU
