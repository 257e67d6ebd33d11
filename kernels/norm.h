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

// A GPU cuts S into pieces of this many positions, so that about 1024 blocks of threads share the work: a batch norm of
// 64 channels would else be two blocks.
inline std::int64_t norm_piece(const NormShape& n) {
  constexpr std::int64_t blocks = 1024, channels = 32, least = 64;
  const std::int64_t tiles = n.b * ((n.channels() + channels - 1) / channels), wanted = tiles ? blocks / tiles : 1;
  const std::int64_t piece = wanted > 1 ? (n.s + wanted - 1) / wanted : n.s;
  return piece < least ? least : (piece + 31) / 32 * 32;
}
inline std::int64_t norm_pieces(const NormShape& n) { return (n.s + norm_piece(n) - 1) / norm_piece(n); }

// Scratch of norm_statistics and norm_grad, in elements of the statistics' type. All of it is written.
inline std::int64_t norm_statistics_scratch(Device device, const NormShape& n) {
  const bool in_one_pass = n.k * norm_pieces(n) == 1;
  return device == Device::cpu || in_one_pass ? 0 : 2 * n.b * n.channels() * norm_pieces(n);
}
inline std::int64_t norm_grad_scratch(Device device, const NormShape& n) {
  return device == Device::cpu ? 2 * n.b * n.channels() : 2 * n.b * (n.channels() * norm_pieces(n) + n.g);
}

// Tensors f32, f64, or on a GPU bf16, all alike but for the statistics. x, y (b,s,g*k); mean, rstd (b,g); gamma, beta
// (g*k), both empty views for none.
DUEL_KERNEL(norm_statistics, NormShape shape, double eps, View x, View mean, View rstd, View scratch);
DUEL_KERNEL(norm_apply, NormShape shape, double slope, View x, View mean, View rstd, View gamma, View beta, View y);
// From dy and the forward call's x, statistics and y (y decides the activation's side; it is not read when slope is 1):
//   dv = dy * act'(v);  dbeta[c] = sum dv;  dgamma[c] = sum dv * xhat
//   dx = rstd * (dv*gamma - mean_g(dv*gamma) - xhat * mean_g(dv*gamma*xhat))
// scratch: the sums over s of dv and dv*xhat. dx, dgamma, dbeta: empty views where not wanted.
DUEL_KERNEL(norm_grad, NormShape shape, double slope, View x, View mean, View rstd, View gamma, View y, View dy,
            View scratch, View dx, View dgamma, View dbeta);
// running = (1 - momentum) * running + momentum * statistic, for the mean and for the unbiased variance
// var * n/(n-1), n = S*K, of a batch norm (b = 1, k = 1). Nothing is written when *finite is 0.
DUEL_KERNEL(norm_running, NormShape shape, double eps, double momentum, View mean, View rstd, View running_mean,
            View running_var, View finite);

}  // namespace duel::kernels
