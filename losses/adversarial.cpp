#include "losses/adversarial.h"

namespace duel {

Tensor logistic_discriminator(const Tensor& d_real, const Tensor& d_fake) {
  return mean(softplus(-d_real)) + mean(softplus(d_fake));  // -log sigmoid(d) = softplus(-d)
}
Tensor minimax_generator(const Tensor& d_fake) { return -mean(softplus(d_fake)); }
Tensor non_saturating_generator(const Tensor& d_fake) { return mean(softplus(-d_fake)); }

Tensor wasserstein_critic(const Tensor& d_real, const Tensor& d_fake) { return mean(d_fake) - mean(d_real); }
Tensor wasserstein_generator(const Tensor& d_fake) { return -mean(d_fake); }

Tensor bce_with_logits(const Tensor& x, const Tensor& t) { return mean(softplus(x) - t * x); }

}  // namespace duel
