// Adversarial losses. d_real and d_fake are the discriminator's (critic's) outputs before any sigmoid, one for each
// image; each loss is a scalar to be minimised.
#pragma once
#include "engine/ops.h"

namespace duel {

// Goodfellow et al. 2014, eq. 1, with D = sigmoid(d):  -E[log D(x)] - E[log(1 - D(G(z)))]
Tensor logistic_discriminator(const Tensor& d_real, const Tensor& d_fake);
// One-sided label smoothing (Salimans et al. 2016, section 3.4): the target at real images is 1 - epsilon,
//   -E[(1 - epsilon) log D(x) + epsilon log(1 - D(x))] - E[log(1 - D(G(z)))]
Tensor smoothed_discriminator(const Tensor& d_real, const Tensor& d_fake, double epsilon);
// The generator's side of eq. 1:  E[log(1 - D(G(z)))]
Tensor minimax_generator(const Tensor& d_fake);
// The same paper, end of section 3:  -E[log D(G(z))]
Tensor non_saturating_generator(const Tensor& d_fake);

// Arjovsky et al. 2017, algorithm 1:  E[D(G(z))] - E[D(x)]  and  -E[D(G(z))]
Tensor wasserstein_critic(const Tensor& d_real, const Tensor& d_fake);
Tensor wasserstein_generator(const Tensor& d_fake);

// Mao et al. 2017, eq. 9, with codes a for fake, b for real, and c for what the generator wants D to believe:
//   1/2 E[(D(x) - b)^2] + 1/2 E[(D(G(z)) - a)^2]   and   1/2 E[(D(G(z)) - c)^2]
// The paper's two choices are (a, b, c) = (0, 1, 1) and, minimising Pearson's chi-square divergence, (-1, 1, 0).
struct LeastSquaresCodes {
  double a = 0, b = 1, c = 1;
};
Tensor least_squares_discriminator(const Tensor& d_real, const Tensor& d_fake, const LeastSquaresCodes& codes);
Tensor least_squares_generator(const Tensor& d_fake, const LeastSquaresCodes& codes);

// Lim and Ye 2017, eq. 3:  E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))];  the generator's side is -E[D(G(z))].
Tensor hinge_discriminator(const Tensor& d_real, const Tensor& d_fake);

// The relativistic standard GAN of Jolicoeur-Martineau 2019: each image's score against that of an image of the other
// kind (RpGAN; Huang et al. 2024, eq. 2 with f(t) = -log(1 + exp(-t))). d_real and d_fake have one shape.
//   E[softplus(-(D(x) - D(G(z))))]   and   E[softplus(-(D(G(z)) - D(x)))]
Tensor relativistic_discriminator(const Tensor& d_real, const Tensor& d_fake);
Tensor relativistic_generator(const Tensor& d_real, const Tensor& d_fake);

// Mean of -(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) = mean of softplus(x) - t x.
Tensor bce_with_logits(const Tensor& x, const Tensor& t);

}  // namespace duel
