// Normalisation: one fused forward, one fused gradient, and the definition that both are checked against.
#include "engine/context.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/norm.h"

namespace duel {
namespace {

using kernels::NormShape;

const Op norm_op{"norm", "y = act((x - mean) / sqrt(var + eps) * gamma + beta)"};
const Op norm_dx_op{"norm_dx", "the gradient of norm towards x"};
const Op norm_dgamma_op{"norm_dgamma", "the gradient of norm towards gamma"};
const Op norm_dbeta_op{"norm_dbeta", "the gradient of norm towards beta"};

struct NormCall {
  NormShape shape;
  double eps, slope;
};

// The plain composition. Inputs: x, then gamma and beta if there are any.
Tensor definition(const NormCall& n, const std::vector<Tensor>& in) {
  const NormShape& s = n.shape;
  Tensor x = reshape(in[0], {s.b, s.s, s.g, s.k});
  Tensor centred = x - mean(x, {1, 3}, keep_axes);
  Tensor var = mean(square(centred), {1, 3}, keep_axes);
  Tensor xhat = reshape(centred / sqrt(var + n.eps), in[0].shape());
  Tensor v = in.size() > 1 ? xhat * in[1] + in[2] : xhat;
  return n.slope == 1 ? v : leaky_relu(v, n.slope);
}

struct Saved {
  Tensor mean, rstd;
};

kernels::View view(const Tensor& x) { return x ? x.view() : kernels::View{}; }
Tensor scratch_of(std::int64_t elements, DType t) { return elements ? empty({elements}, t) : Tensor{}; }

// All wanted gradients from one kernel. `in` as for definition().
Grads fused_gradient(const NormCall& n, const std::vector<Tensor>& in, const Saved& saved, const Call& c) {
  const bool affine = in.size() > 1;
  const DType t = in[0].dtype();
  Tensor out[3];
  for (std::size_t i = 0; i < in.size(); ++i)
    if (c.needs(i)) out[i] = empty(in[i].shape(), t);
  Tensor scratch = scratch_of(kernels::norm_grad_scratch(in[0].device(), n.shape), kernels::statistics_type(t));
  launch("norm_grad", 10 * static_cast<double>(in[0].size()), kernels::norm_grad, in[0].device(), n.shape, n.slope,
         in[0].view(), saved.mean.view(), saved.rstd.view(), affine ? in[1].view() : kernels::View{},
         n.slope == 1 ? kernels::View{} : c.y.view(), c.dy.view(), view(scratch), view(out[0]), view(out[1]),
         view(out[2]));
  std::vector<Tensor> inputs = in;
  inputs.push_back(c.dy);
  const Op* ops[] = {&norm_dx_op, &norm_dgamma_op, &norm_dbeta_op};
  Grads result(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!out[i]) continue;
    result[i] = record(*ops[i], out[i], inputs, composed(inputs, [n, i](const std::vector<Tensor>& z) {
      const std::vector<Tensor> operands(z.begin(), z.end() - 1);
      return grad(definition(n, operands), {operands[i]}, keep_graph, z.back())[0];
    }));
  }
  return result;
}

void check_affine(const char* name, const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  require(x.rank() >= 2, "[{}] x {} has no axis of channels", name, x);
  require(static_cast<bool>(gamma) == static_cast<bool>(beta), "[{}] gamma and beta come together or not at all", name);
  for (const Tensor* p : {&gamma, &beta})
    require(!*p || (p->shape() == Shape{x.shape().last()} && p->dtype() == x.dtype()),
            "[{}] gamma and beta must be ({}) for x {}, found {}", name, x.shape().last(), x, *p);
}

Tensor normalise(const char* name, const NormCall& n, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 const RunningStatistics* running = nullptr, const BatchStatistics* known = nullptr) {
  check_affine(name, x, gamma, beta);
  require(n.slope >= 0 && n.slope <= 1, "[{}] slope {} is outside [0, 1]", name, n.slope);
  const DType t = kernels::statistics_type(x.dtype());
  Saved saved;
  if (known) {
    require(known->eps == n.eps && known->mean && known->mean.shape() == Shape{n.shape.b, n.shape.g},
            "[{}] the statistics are not those of x {} with eps {}", name, x, n.eps);
    saved = {known->mean, known->rstd};
  } else {
    saved = {empty({n.shape.b, n.shape.g}, t), empty({n.shape.b, n.shape.g}, t)};
    Tensor scratch = scratch_of(kernels::norm_statistics_scratch(x.device(), n.shape), t);
    launch(name, 4 * static_cast<double>(x.size()), kernels::norm_statistics, x.device(), n.shape, n.eps, x.view(),
           saved.mean.view(), saved.rstd.view(), view(scratch));
  }
  if (running)
    launch(name, 0, kernels::norm_running, x.device(), n.shape, n.eps, running->momentum, saved.mean.view(),
           saved.rstd.view(), running->mean.view(), running->var.view(), current_context().finite.view());
  Tensor y = empty_like(x);
  launch(name, 3 * static_cast<double>(x.size()), kernels::norm_apply, x.device(), n.shape, n.slope, x.view(),
         saved.mean.view(), saved.rstd.view(), view(gamma), view(beta), y.view());
  std::vector<Tensor> in{x};
  if (gamma) in = {x, gamma, beta};
  return record(
      norm_op, y, in, [n, in, saved](const Call& c) { return fused_gradient(n, in, saved, c); },
      n.slope == 1 ? Saves::nothing : Saves::output);
}

std::int64_t positions(const Tensor& x) {  // H*W of one sample
  require(x.rank() >= 2, "[norm] x {} has no axis of channels", x);
  const std::int64_t per_position = x.dim(0) * x.shape().last();
  return per_position ? x.size() / per_position : 0;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps, double slope,
                  const RunningStatistics* running, const BatchStatistics* known) {
  const std::int64_t c = x.shape().last();
  return normalise("batch_norm", {{1, x.dim(0) * positions(x), c, 1}, eps, slope}, x, gamma, beta, running, known);
}
Tensor batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta, const RunningStatistics& running,
                            double eps, double slope) {
  check_affine("batch_norm_inference", x, gamma, beta);
  Tensor xhat = (widen(x) - widen(running.mean)) / sqrt(widen(running.var) + eps);
  Tensor v = gamma ? xhat * widen(gamma) + widen(beta) : xhat;
  return convert(slope == 1 ? v : leaky_relu(v, slope), x.dtype());
}
Tensor instance_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps, double slope) {
  return normalise("instance_norm", {{x.dim(0), positions(x), x.shape().last(), 1}, eps, slope}, x, gamma, beta);
}
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& gamma, const Tensor& beta, double eps,
                  double slope) {
  const std::int64_t c = x.shape().last();
  require(groups >= 1 && c % groups == 0, "[group_norm] {} groups do not divide the channels of x {}", groups, x);
  return normalise("group_norm", {{x.dim(0), positions(x), groups, c / groups}, eps, slope}, x, gamma, beta);
}
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  const NormCall n{{x.dim(0), positions(x), 1, x.shape().last()}, eps, 1};
  if (!gamma || gamma.rank() == 1) return normalise("layer_norm", n, x, gamma, beta);
  return normalise("layer_norm", n, x, {}, {}) * gamma + beta;
}

}  // namespace duel
