// Penalties on the gradient of a critic with respect to its input. Each is differentiated again by the optimizer's
// gradient, so each keeps the graph of the inner one.
#pragma once
#include <functional>

#include "engine/ops.h"

namespace duel {

using Critic = std::function<Tensor(const Tensor&)>;  // images (N,H,W,C) -> one number each

// Gulrajani et al. 2017, eq. 3, at given points:  lambda * E[(||grad_xhat D(xhat)||_2 - target)^2]
// target 1: the paper's; 0: zero-centred (Thanh-Tung et al. 2019).
Tensor gradient_penalty_at(const Critic& critic, const Tensor& x_hat, double lambda, double target = 1);
// At xhat = t * x + (1 - t) * x_fake, t ~ U(0, 1), one for each pair (algorithm 1, lines 5-7). No gradient flows to
// x_fake.
Tensor gradient_penalty(const Critic& critic, const Tensor& x, const Tensor& x_fake, double lambda, double target = 1);

// DRAGAN (Kodali et al. 2017, section 2.4):  lambda * E[(||grad D(x + delta)||_2 - 1)^2],  delta ~ N(0, c I), with the
// scale of the authors' code: sqrt(c) is half the standard deviation of all numbers of the batch.
Tensor dragan_penalty(const Critic& critic, const Tensor& x, double lambda);

// Mescheder et al. 2018, eq. 9:  gamma / 2 * E[||grad_x D(x)||^2]  at real images; at generated ones it is their R2.
Tensor r1_penalty(const Critic& critic, const Tensor& x, double gamma);

// E[||grad_x D(x)||^2] where d = D(x) was computed from this very x (N,H,W,C), a leaf. gamma / 2 times it is R1 at real
// images and R2 at generated ones (Mescheder et al. 2018, eqs. 9 and 10).
Tensor mean_square_slope(const Tensor& d, const Tensor& x);

}  // namespace duel
