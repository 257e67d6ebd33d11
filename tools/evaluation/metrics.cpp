#include "tools/evaluation/metrics.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.h"
#include "engine/ops.h"
#include "engine/precision.h"
#include "engine/tape.h"

namespace duel {
namespace {

using Matrix = Eigen::MatrixXd;

constexpr std::int64_t most_distances = std::int64_t{1} << 24;  // in memory at a time

std::vector<double> mean_row(const Features& x) {
  std::vector<double> mean(static_cast<std::size_t>(x.width));
  for (std::size_t i = 0; i < x.values.size(); ++i) mean[i % mean.size()] += x.values[i];
  for (double& m : mean) m /= static_cast<double>(x.count);
  return mean;
}

// The rows less `origin`. Distances stay the same, and their sums of squares lose less.
Features moved(Features x, const std::vector<double>& origin) {
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] -= static_cast<float>(origin[i % origin.size()]);
  return x;
}

Tensor rows(const Features& x, std::int64_t begin, std::int64_t count) {
  const auto first = x.values.begin() + begin * x.width;
  return from_vector({count, x.width}, std::vector<float>(first, first + count * x.width), DType::f32);
}

std::vector<float> squares(const Features& x) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < x.count; ++i) {
    double sum = 0;
    for (const float v : x.row(i)) sum += static_cast<double>(v) * v;
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

struct Gaussian {
  Eigen::VectorXd mean;
  Matrix covariance;
};
Gaussian gaussian(const Features& x) {
  const std::vector<double> mean = mean_row(x);
  Gaussian g{Eigen::Map<const Eigen::VectorXd>(mean.data(), x.width), Matrix::Zero(x.width, x.width)};
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  constexpr std::int64_t chunk = 1024;
  for (std::int64_t begin = 0; begin < x.count; begin += chunk) {
    const std::int64_t n = std::min(chunk, x.count - begin);
    const Matrix c = Eigen::Map<const Rows>(x.values.data() + begin * x.width, n, x.width).cast<double>().rowwise() -
                     g.mean.transpose();
    g.covariance.noalias() += c.transpose() * c;
  }
  g.covariance /= static_cast<double>(x.count - 1);
  return g;
}

// Of a symmetric matrix without negative eigenvalues but for rounding.
Matrix square_root(const Matrix& m) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(m);
  return solver.eigenvectors() * solver.eigenvalues().cwiseMax(0).cwiseSqrt().asDiagonal() *
         solver.eigenvectors().transpose();
}

// The sum over i, j (without i == j where `same`) of the cubic kernel of rows [begin, begin + n).
double kernel_sum(const Features& a, const Features& b, std::int64_t begin, std::int64_t n, bool same) {
  const std::vector<float> products = matmul(rows(a, begin, n), rows(b, begin, n), false, true).to_vector<float>();
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      if (same && i == j) continue;
      const double base =
          static_cast<double>(products[static_cast<std::size_t>(i * n + j)]) / static_cast<double>(a.width) + 1;
      sum += base * base * base;
    }
  return sum;
}

void check_alike(const Features& a, const Features& b) {
  require(a.width == b.width && a.count >= 2 && b.count >= 2,
          "features: {} rows of {} and {} rows of {} values, expected 2 or more of equal width", a.count, a.width,
          b.count, b.width);
}

}  // namespace

void each_distance(const Features& a, const Features& b, const DistanceBlock& each) {
  const NoGrad off;
  const PrecisionScope full(Precision::f32);
  const std::vector<double> origin = mean_row(b);
  const Features p = moved(a, origin), q = moved(b, origin);
  const std::vector<float> p_square = squares(p), q_square = squares(q);
  const Tensor all = rows(q, 0, q.count);
  const std::int64_t chunk = std::clamp<std::int64_t>(most_distances / std::max<std::int64_t>(1, b.count), 1, 2048);
  for (std::int64_t begin = 0; begin < a.count; begin += chunk) {
    const std::int64_t n = std::min(chunk, a.count - begin);
    std::vector<float> d = matmul(rows(p, begin, n), all, false, true).to_vector<float>();
#pragma omp parallel for
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < b.count; ++j) {
        float& v = d[static_cast<std::size_t>(i * b.count + j)];
        v = std::max(0.0f,
                     p_square[static_cast<std::size_t>(begin + i)] + q_square[static_cast<std::size_t>(j)] - 2 * v);
      }
    each(begin, n, d.data());
  }
}

double frechet_distance(const Features& a, const Features& b) {
  check_alike(a, b);
  const Gaussian p = gaussian(a), q = gaussian(b);
  const Matrix root = square_root(p.covariance);
  // (C_a C_b)^(1/2) has the trace of (C_a^(1/2) C_b C_a^(1/2))^(1/2), which is symmetric.
  const Matrix product = root * q.covariance * root;
  const Eigen::SelfAdjointEigenSolver<Matrix> solver((product + product.transpose()) / 2, Eigen::EigenvaluesOnly);
  const double cross = solver.eigenvalues().cwiseMax(0).cwiseSqrt().sum();
  return (p.mean - q.mean).squaredNorm() + p.covariance.trace() + q.covariance.trace() - 2 * cross;
}

Estimate kernel_distance(const Features& a, const Features& b) {
  check_alike(a, b);
  const NoGrad off;
  const PrecisionScope full(Precision::f32);
  const std::int64_t count = std::min(a.count, b.count);
  const std::int64_t n = std::clamp<std::int64_t>(count / 10, std::min<std::int64_t>(count, 10), 1000);
  std::vector<double> blocks;
  for (std::int64_t begin = 0; begin + n <= count; begin += n) {
    const auto pairs = static_cast<double>(n * (n - 1));
    blocks.push_back((kernel_sum(a, a, begin, n, true) + kernel_sum(b, b, begin, n, true)) / pairs -
                     2 * kernel_sum(a, b, begin, n, false) / static_cast<double>(n * n));
  }
  const auto m = static_cast<double>(blocks.size());
  const double mean = std::accumulate(blocks.begin(), blocks.end(), 0.0) / m;
  double spread = 0;
  for (const double v : blocks) spread += (v - mean) * (v - mean);
  return {mean, m > 1 ? std::sqrt(spread / (m - 1) / m) : 0};
}

std::vector<std::vector<float>> radii(const Features& x, const std::vector<int>& ks) {
  const int most = *std::max_element(ks.begin(), ks.end());
  require(most < x.count, "features: {} rows, expected more than {}: neighbours are counted", x.count, most);
  std::vector<std::vector<float>> out(ks.size(), std::vector<float>(static_cast<std::size_t>(x.count)));
  each_distance(x, x, [&](std::int64_t first, std::int64_t n, const float* d) {
#pragma omp parallel for
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<float> others(d + i * x.count, d + (i + 1) * x.count);
      std::swap(others[static_cast<std::size_t>(first + i)], others.back());
      others.pop_back();
      std::partial_sort(others.begin(), others.begin() + most, others.end());
      for (std::size_t k = 0; k < ks.size(); ++k)
        out[k][static_cast<std::size_t>(first + i)] = others[static_cast<std::size_t>(ks[k] - 1)];
    }
  });
  return out;
}

Overlap overlap(const Features& real, const std::vector<std::vector<float>>& real_radii, const Features& samples) {
  check_alike(real, samples);
  const std::vector<float>& narrow = real_radii.at(0);
  const std::vector<float>& wide = real_radii.at(1);
  const std::vector<float> own = radii(samples, {precision_k}).at(0);
  std::vector<char> precise(static_cast<std::size_t>(samples.count));
  std::int64_t recalled = 0, covered = 0, within = 0;
  each_distance(real, samples, [&](std::int64_t first, std::int64_t n, const float* d) {
#pragma omp parallel for reduction(+ : recalled, covered, within)
    for (std::int64_t i = 0; i < n; ++i) {
      const float* row = d + i * samples.count;
      const float near = narrow[static_cast<std::size_t>(first + i)], far = wide[static_cast<std::size_t>(first + i)];
      std::int64_t in_samples = 0, inside = 0;
      for (std::int64_t j = 0; j < samples.count; ++j) {
        in_samples += row[j] < own[static_cast<std::size_t>(j)];
        inside += row[j] < far;
        if (row[j] < near) {
#pragma omp atomic write
          precise[static_cast<std::size_t>(j)] = 1;
        }
      }
      recalled += in_samples > 0, covered += inside > 0, within += inside;
    }
  });
  const auto n = static_cast<double>(real.count), m = static_cast<double>(samples.count);
  return {static_cast<double>(std::count(precise.begin(), precise.end(), 1)) / m, static_cast<double>(recalled) / n,
          static_cast<double>(within) / (density_k * m), static_cast<double>(covered) / n};
}

std::vector<std::vector<Neighbour>> nearest(const Features& a, const Features& b, std::int64_t count) {
  require(count >= 1 && count <= b.count, "features: {} neighbours out of {}", count, b.count);
  std::vector<std::vector<Neighbour>> out(static_cast<std::size_t>(a.count));
  each_distance(a, b, [&](std::int64_t first, std::int64_t n, const float* d) {
#pragma omp parallel for
    for (std::int64_t i = 0; i < n; ++i) {
      const float* row = d + i * b.count;
      std::vector<std::int64_t> order(static_cast<std::size_t>(b.count));
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + count, order.end(),
                        [&](std::int64_t p, std::int64_t q) { return row[p] != row[q] ? row[p] < row[q] : p < q; });
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t j = order[static_cast<std::size_t>(k)];
        double sum = 0;  // the products' rounding would show where images are the same
        for (std::int64_t c = 0; c < a.width; ++c) {
          const double v = static_cast<double>(a.row(first + i)[static_cast<std::size_t>(c)]) -
                           b.row(j)[static_cast<std::size_t>(c)];
          sum += v * v;
        }
        out[static_cast<std::size_t>(first + i)].push_back({j, std::sqrt(sum)});
      }
    }
  });
  return out;
}

}  // namespace duel
