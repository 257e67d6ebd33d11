#include "losses/information.h"

#include <cmath>
#include <numbers>

#include "losses/classification.h"

namespace duel {

Tensor category_information(const Tensor& c, const Tensor& logits) {
  return std::log(static_cast<double>(c.dim(1))) - cross_entropy(logits, c);
}

Tensor number_information(const Tensor& c, const Tensor& means, double low, double high) {
  const auto n = static_cast<double>(c.dim(0)), m = static_cast<double>(c.dim(1));
  const Tensor log_q = -0.5 * sum(square(c - means)) / n;  // less the constant
  return log_q + m * (std::log(high - low) - 0.5 * std::log(2 * std::numbers::pi));
}

}  // namespace duel
