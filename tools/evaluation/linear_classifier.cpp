#include "tools/evaluation/linear_classifier.h"

#include <Eigen/Dense>
#include <cmath>

#include "engine/error.h"

namespace duel {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

// The columns of `x` are examples. Every step solves for the examples inside the margin, until they stay the same ones.
Vector fitted(const Matrix& kernel, const Vector& y, double lambda) {
  constexpr int most_steps = 50;
  Vector b = Vector::Zero(y.size());
  std::vector<Eigen::Index> inside(static_cast<std::size_t>(y.size()));
  for (Eigen::Index i = 0; i < y.size(); ++i) inside[static_cast<std::size_t>(i)] = i;
  for (int step = 0; step < most_steps && !inside.empty(); ++step) {
    Matrix system = kernel(inside, inside);
    system.diagonal().array() += lambda;
    const Vector solution = system.llt().solve(Vector(y(inside)));
    b.setZero();
    b(inside) = solution;
    const Vector margin = y.cwiseProduct(kernel * b);
    std::vector<Eigen::Index> now;
    for (Eigen::Index i = 0; i < y.size(); ++i)
      if (margin[i] < 1) now.push_back(i);
    if (now == inside) break;
    inside = std::move(now);
  }
  return b;
}

Features part(const Features& x, bool fifth, const std::vector<std::int32_t>& labels, std::vector<std::int32_t>& own) {
  Features out{0, x.width, {}};
  for (std::int64_t i = 0; i < x.count; ++i) {
    if ((i % 5 == 0) != fifth) continue;
    out.values.insert(out.values.end(), x.row(i).begin(), x.row(i).end());
    own.push_back(labels[static_cast<std::size_t>(i)]);
    ++out.count;
  }
  return out;
}

}  // namespace

LinearClassifier::LinearClassifier(const Features& x, const std::vector<std::int32_t>& labels, std::int64_t classes,
                                   double lambda)
    : width_(x.width),
      classes_(classes),
      lambda_(lambda),
      mean_(static_cast<std::size_t>(x.width)),
      scale_(static_cast<std::size_t>(x.width)) {
  require(x.count >= 2 && static_cast<std::size_t>(x.count) == labels.size(), "classifier: {} examples, {} labels",
          x.count, labels.size());
  Matrix m = Eigen::Map<const Eigen::MatrixXf>(x.values.data(), x.width, x.count).cast<double>();
  const Vector mean = m.rowwise().mean();
  m.colwise() -= mean;
  Vector scale = (m.rowwise().squaredNorm() / static_cast<double>(x.count)).cwiseSqrt();
  scale = scale.unaryExpr([](double s) { return s > 1e-9 ? 1 / s : 0; });
  m = scale.asDiagonal() * m;
  const Matrix kernel = (m.transpose() * m).array() + 1;
  Eigen::Map<Vector>(mean_.data(), width_) = mean;
  Eigen::Map<Vector>(scale_.data(), width_) = scale;
  for (std::int64_t c = 0; c < classes; ++c) {
    Vector y(x.count);
    for (std::int64_t i = 0; i < x.count; ++i) y[i] = labels[static_cast<std::size_t>(i)] == c ? 1 : -1;
    const Vector b = fitted(kernel, y, lambda), w = m * b;
    weights_.insert(weights_.end(), w.begin(), w.end());
    weights_.push_back(b.sum());
  }
}

LinearClassifier LinearClassifier::chosen(const Features& x, const std::vector<std::int32_t>& labels,
                                          std::int64_t classes) {
  std::vector<std::int32_t> fit_labels, test_labels;
  const Features fit = part(x, false, labels, fit_labels), test = part(x, true, labels, test_labels);
  double best = -1, best_lambda = 0;
  for (const double power : {1.0, 0.0, -1.0, -2.0, -3.0, -4.0}) {
    const double lambda = static_cast<double>(x.width + 1) * std::pow(10, power);
    const double right = agreement(LinearClassifier(fit, fit_labels, classes, lambda).answers(test), test_labels);
    if (right > best) best = right, best_lambda = lambda;
  }
  return {x, labels, classes, best_lambda};
}

std::vector<std::int32_t> LinearClassifier::answers(const Features& x) const {
  const Eigen::Map<const Vector> mean(mean_.data(), width_), scale(scale_.data(), width_);
  const Eigen::Map<const Matrix> w(weights_.data(), width_ + 1, classes_);
  Matrix m = Eigen::Map<const Eigen::MatrixXf>(x.values.data(), x.width, x.count).cast<double>();
  m = scale.asDiagonal() * (m.colwise() - mean);
  const Matrix scores = (w.topRows(width_).transpose() * m).colwise() + Vector(w.row(width_));
  std::vector<std::int32_t> out;
  for (std::int64_t i = 0; i < x.count; ++i) {
    Eigen::Index best = 0;
    scores.col(i).maxCoeff(&best);
    out.push_back(static_cast<std::int32_t>(best));
  }
  return out;
}

}  // namespace duel
