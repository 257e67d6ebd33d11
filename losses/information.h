// Variational lower bounds on the mutual information I(c; x) = H(c) - H(c|x) of a code c and an image x made from it
// (Chen et al. 2016, eq. 4):  L_I = E[log Q(c|x)] + H(c) <= I(c; x), in nats, with an auxiliary distribution Q. To be
// maximised by G and Q.
#pragma once
#include "engine/ops.h"

namespace duel {

// c one-hot (N,K), all K equally likely: H(c) = log K. Q(.|x_n) = softmax(logits_n), logits (N,K).
Tensor category_information(const Tensor& c, const Tensor& logits);
// c (N,M), each number uniform in [low, high]: H(c) = M log(high - low). Q(.|x_n) is Gaussian with the means (N,M) and
// variance 1, as in the authors' code.
Tensor number_information(const Tensor& c, const Tensor& means, double low, double high);

}  // namespace duel
