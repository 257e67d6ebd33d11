#include "losses/adversarial.h"

namespace duel {

Tensor logistic_discriminator(const Tensor& d_real, const Tensor& d_fake) {
  return mean(softplus(-d_real)) + mean(softplus(d_fake));  // -log sigmoid(d) = softplus(-d)
}
Tensor smoothed_discriminator(const Tensor& d_real, const Tensor& d_fake, double epsilon) {
  // -log(1 - sigmoid(d)) = d - log sigmoid(d)
  return logistic_discriminator(d_real, d_fake) + epsilon * mean(d_real);
}
Tensor minimax_generator(const Tensor& d_fake) { return -mean(softplus(d_fake)); }
Tensor non_saturating_generator(const Tensor& d_fake) { return mean(softplus(-d_fake)); }

Tensor wasserstein_critic(const Tensor& d_real, const Tensor& d_fake) { return mean(d_fake) - mean(d_real); }
Tensor wasserstein_generator(const Tensor& d_fake) { return -mean(d_fake); }

Tensor least_squares_discriminator(const Tensor& d_real, const Tensor& d_fake, const LeastSquaresCodes& k) {
  return 0.5 * mean(square(d_real - k.b)) + 0.5 * mean(square(d_fake - k.a));
}
Tensor least_squares_generator(const Tensor& d_fake, const LeastSquaresCodes& k) {
  return 0.5 * mean(square(d_fake - k.c));
}

Tensor hinge_discriminator(const Tensor& d_real, const Tensor& d_fake) {
  return mean(relu(1.0 - d_real)) + mean(relu(1.0 + d_fake));
}

Tensor relativistic_discriminator(const Tensor& d_real, const Tensor& d_fake) {
  return mean(softplus(d_fake - d_real));
}
Tensor relativistic_generator(const Tensor& d_real, const Tensor& d_fake) {
  return relativistic_discriminator(d_fake, d_real);
}

Tensor bce_with_logits(const Tensor& x, const Tensor& t) { return mean(softplus(x) - t * x); }

}  // namespace duel
