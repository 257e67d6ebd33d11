// How alike two sets of features are.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "tools/evaluation/features.h"

namespace duel {

// Squared Euclidean distances of all rows of a to all rows of b, some rows of a at a time: each(first, rows, d) gets
// d (rows, b.count). Products run on the default device.
using DistanceBlock = std::function<void(std::int64_t first, std::int64_t rows, const float* d)>;
void each_distance(const Features& a, const Features& b, const DistanceBlock& each);

// The Frechet distance of the Gaussians with the means and (unbiased) covariances of the sets:
//   |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))      (Heusel et al. 2017, eq. 6)
// Its value depends on the number of rows: compare equal numbers only. Error: fewer than 2 rows, or other widths.
double frechet_distance(const Features& a, const Features& b);

// The squared maximum mean discrepancy with the kernel k(x, y) = (<x, y> / width + 1)^3, without bias:
//   mean over i != j of k(a_i, a_j) + mean over i != j of k(b_i, b_j) - 2 mean over i, j of k(a_i, b_j)
// (Binkowski et al. 2018, section 3 and eq. 4): the mean over blocks of 1000 rows (of a tenth of the rows where there
// are fewer than 10000, but of at least 10), and its standard error from their spread; rows beyond the last whole block
// are left out. Rows are in random order already. May be below 0.
struct Estimate {
  double value = 0, error = 0;
};
Estimate kernel_distance(const Features& a, const Features& b);

// For each row the squared distance to its k-th nearest other row; for each k of `ks`. Error: a k that is not below the
// number of rows.
std::vector<std::vector<float>> radii(const Features& x, const std::vector<int>& ks);

// With the balls B_k(x) around x that reach to its k-th nearest neighbour in its own set:
//   precision  part of the samples that lie in some B_k(real)            (Kynkaanniemi et al. 2019, eq. 2; k = 3)
//   recall     part of the real ones that lie in some B_k(sample)
//   density    1 / (k M) sum over the M samples of the number of B_k(real) they lie in (Naeem et al. 2020, eq. 3; k 5)
//   coverage   part of the B_k(real) that hold a sample                               (eq. 4)
// On the border is outside.
struct Overlap {
  double precision = 0, recall = 0, density = 0, coverage = 0;
};
inline constexpr int precision_k = 3, density_k = 5;
// `real_radii`: radii(real, {precision_k, density_k}).
Overlap overlap(const Features& real, const std::vector<std::vector<float>>& real_radii, const Features& samples);

// For each row of a its `count` nearest rows of b, the nearest first.
struct Neighbour {
  std::int64_t row = 0;
  double distance = 0;
};
std::vector<std::vector<Neighbour>> nearest(const Features& a, const Features& b, std::int64_t count);

}  // namespace duel
