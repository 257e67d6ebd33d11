// Losses over the answers of a classifier: logits a (N,K), p(k|x_n) = softmax(a_n)_k; each is a scalar. Entropies are
// in nats.
#pragma once
#include "engine/ops.h"

namespace duel {

// -E_n[log p(y_n|x_n)], labels y (N) i32, or one-hot rows (N,K).
Tensor cross_entropy(const Tensor& logits, const Tensor& labels);

// The entropy of the answer to each image:  H(p(.|x_n)) = -sum_k p(k|x_n) log p(k|x_n), (N).
Tensor entropy(const Tensor& logits);
// Springenberg 2016, eq. 5: on the average:  E_n[H(p(.|x_n))]
Tensor conditional_entropy(const Tensor& logits);
// The same, eq. 6: the entropy of the average answer:  H(E_n[p(.|x_n)])
Tensor marginal_entropy(const Tensor& logits);

// Salimans et al. 2016, section 3.1:  ||E f(x) - E f(G(z))||_2^2, features f (N,F).
Tensor feature_matching(const Tensor& f_real, const Tensor& f_fake);

}  // namespace duel
