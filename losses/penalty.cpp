#include "losses/penalty.h"

#include "engine/context.h"
#include "engine/tape.h"

namespace duel {

Tensor gradient_penalty_at(const Critic& critic, const Tensor& x_hat, double lambda, double target) {
  Tensor slope = norm_per_sample(grad(sum(critic(x_hat)), {x_hat}, keep_graph)[0]);  // (N)
  return lambda * mean(square(slope - target));
}

Tensor gradient_penalty(const Critic& critic, const Tensor& x, const Tensor& x_fake, double lambda, double target) {
  Shape one_each{x.dim(0), 1, 1, 1};
  Tensor x_hat = lerp(x_fake, x, uniform(x.rank() == 4 ? one_each : Shape{x.dim(0), 1}, 0, 1, x.dtype()));
  return gradient_penalty_at(critic, detach(x_hat), lambda, target);
}

Tensor dragan_penalty(const Critic& critic, const Tensor& x, double lambda) {
  Axes all;
  for (int axis = 0; axis < x.rank(); ++axis) all.push_back(axis);
  const Tensor delta = 0.5 * sqrt(variance(x, all)) * normal(x.shape(), x.dtype());
  return gradient_penalty_at(critic, detach(x + delta), lambda);
}

Tensor r1_penalty(const Critic& critic, const Tensor& x, double gamma) {
  Tensor at = detach(x);
  return gamma / 2 * mean_square_slope(critic(at), at);
}

Tensor mean_square_slope(const Tensor& d, const Tensor& x) {
  Tensor slope = widen(grad(sum(d), {x}, keep_graph)[0]);
  return sum(square(slope)) / static_cast<double>(x.dim(0));
}

}  // namespace duel
