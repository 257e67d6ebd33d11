// A linear classifier with an L2 penalty, for few examples of many values.
#pragma once
#include <cstdint>
#include <vector>

#include "tools/evaluation/features.h"

namespace duel {

// Features are standardised by the examples' means and standard deviations, and a constant 1 is added to each, x. Then,
// one class against the others (y_i = 1 for its examples, -1 for the rest), a linear support vector machine with
// squared hinge:
//   min over w of  lambda |w|^2 + sum over i of max(0, 1 - y_i <w, x_i>)^2
// by Newton's method on w = sum over i of b_i x_i (Chapelle 2007, "Training a Support Vector Machine in the Primal",
// section 3): b = (K_ss + lambda)^-1 y_s on the examples s inside the margin, 0 on the others.
class LinearClassifier {
 public:
  LinearClassifier(const Features& x, const std::vector<std::int32_t>& labels, std::int64_t classes, double lambda);
  // With the lambda, out of (width + 1) * 10^-4 .. 10^1, that does best on every fifth example when fitted to the
  // others; the larger of equals.
  static LinearClassifier chosen(const Features& x, const std::vector<std::int32_t>& labels, std::int64_t classes);

  std::vector<std::int32_t> answers(const Features& x) const;
  double lambda() const { return lambda_; }
  // w of a class, (width + 1), the constant's last; for standardised features.
  std::span<const double> weights(std::int64_t c) const {
    return std::span(weights_).subspan(static_cast<std::size_t>(c * (width_ + 1)),
                                       static_cast<std::size_t>(width_ + 1));
  }

 private:
  std::int64_t width_, classes_;
  double lambda_;
  std::vector<double> mean_, scale_;  // (width): the latter 0 where all examples are the same
  std::vector<double> weights_;       // (classes, width + 1)
};

}  // namespace duel
