// Normalisation over parts of (B, S, C): B independent blocks, S positions, C = G*K channels in G groups.
//
//   mean[b,g] = 1/(S*K) sum over s,k of x[b,s,g*K+k]      var[b,g] = 1/(S*K) sum over s,k of (x - mean)^2
//   xhat      = (x - mean) * rstd,  rstd = 1/sqrt(var + eps)
//   y         = act(xhat * gamma[c] + beta[c]),  act(v) = v > 0 ? v : slope * v   (slope 1: no activation, 0: ReLU)
//
//   batch norm     B = 1, S = N*H*W, G = C, K = 1     (Ioffe and Szegedy 2015, algorithm 1)
//   instance norm  B = N, S = H*W,   G = C, K = 1     (Ulyanov et al. 2016)
//   group norm     B = N, S = H*W,   G groups         (Wu and He 2018)
//   layer norm     B = N, S = H*W,   G = 1, K = C     (Ba et al. 2016)
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

struct NormShape {
  std::int64_t b = 0, s = 0, g = 0, k = 0;
  std::int64_t channels() const { return g * k; }
  bool operator==(const NormShape&) const = default;
};

// Statistics and sums of bf16 tensors are f32.
inline DType statistics_type(DType t) { return t == DType::bf16 ? DType::f32 : t; }

// Tensors f32, f64, or on a GPU bf16, all alike but for the statistics. x, y (b,s,g*k); mean, rstd (b,g); gamma, beta
// (g*k), both empty views for none.
DUEL_KERNEL(norm_statistics, NormShape shape, double eps, View x, View mean, View rstd);
DUEL_KERNEL(norm_apply, NormShape shape, double slope, View x, View mean, View rstd, View gamma, View beta, View y);
// From dy and the forward call's x, statistics and y (y decides the activation's side; it is not read when slope is 1):
//   dv = dy * act'(v);  dbeta[c] = sum dv;  dgamma[c] = sum dv * xhat
//   dx = rstd * (dv*gamma - mean_g(dv*gamma) - xhat * mean_g(dv*gamma*xhat))
// sums: (b, 2, g*k) scratch, sum over s of dv and dv*xhat. dx, dgamma, dbeta: empty views where not wanted.
DUEL_KERNEL(norm_grad, NormShape shape, double slope, View x, View mean, View rstd, View gamma, View y, View dy,
            View sums, View dx, View dgamma, View dbeta);
// running = (1 - momentum) * running + momentum * statistic, for the mean and for the unbiased variance
// var * n/(n-1), n = S*K, of a batch norm (b = 1, k = 1). Nothing is written when *finite is 0.
DUEL_KERNEL(norm_running, NormShape shape, double eps, double momentum, View mean, View rstd, View running_mean,
            View running_var, View finite);

}  // namespace duel::kernels
