#include "losses/classification.h"

#include <cmath>

namespace duel {

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  const Tensor y = labels.rank() == 2 ? labels : one_hot(labels, logits.dim(1), logits.dtype());
  return -sum(y * log_softmax(logits)) / static_cast<double>(logits.dim(0));
}

Tensor entropy(const Tensor& logits) { return -sum(softmax(logits) * log_softmax(logits), {1}); }
Tensor conditional_entropy(const Tensor& logits) { return mean(entropy(logits)); }

Tensor marginal_entropy(const Tensor& logits) {
  // log(E p) = logsumexp over n of log p(k|x_n), less log N: finite where every p(k|x_n) underflows.
  const Tensor log_p = logsumexp(transpose(log_softmax(logits))) - std::log(static_cast<double>(logits.dim(0)));  // (K)
  return -sum(exp(log_p) * log_p);
}

Tensor feature_matching(const Tensor& f_real, const Tensor& f_fake) {
  return sum(square(mean(f_real, {0}) - mean(f_fake, {0})));
}

}  // namespace duel
