// Reductions, broadcasting, and the softmax family.
#include <algorithm>

#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/copy.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace duel {
namespace {

using kernels::Reduce;

const Op sum_op{"sum", "y = sum of x over axes"}, max_op{"max", "y = max of x over axes"},
    min_op{"min", "y = min of x over axes"};
const Op argmax_op{"argmax", "y = smallest index of the largest x along an axis"};
const Op broadcast_op{"broadcast_to", "y = x, stretched"}, norm_op{"norm_per_sample", "y[n] = sqrt(sum of x[n]^2)"};
const Op variance_op{"variance", "y = sum of (x - mean)^2 / (n - correction)"};
const Op softmax_op{"softmax", "y = exp(x) / sum exp(x)"}, log_softmax_op{"log_softmax", "y = x - ln sum exp(x)"};
const Op logsumexp_op{"logsumexp", "y = ln sum exp(x)"};

std::vector<bool> axis_set(const Op& op, const Tensor& x, const Axes& axes) {
  std::vector<bool> in(static_cast<std::size_t>(x.rank()), false);
  for (int a : axes) {
    require(a >= -x.rank() && a < x.rank(), "[{}] axis {} of x {}", op.name, a, x);
    in[static_cast<std::size_t>(a < 0 ? a + x.rank() : a)] = true;
  }
  return in;
}
Shape reduced_shape(const Shape& s, const std::vector<bool>& in, KeepDim keep) {
  std::vector<std::int64_t> dims;
  for (int k = 0; k < s.rank(); ++k) {
    if (!in[static_cast<std::size_t>(k)])
      dims.push_back(s[k]);
    else if (keep)
      dims.push_back(1);
  }
  return Shape(dims);
}

// Reduces groups of neighbouring axes, the last group first, each with one call of the kernel.
Tensor run_reduce(const Op& op, Reduce f, const Tensor& x, const std::vector<bool>& in) {
  Tensor y = detach(x);
  std::vector<std::int64_t> dims(x.shape().begin(), x.shape().end());
  for (int last = x.rank() - 1; last >= 0; --last) {
    if (!in[static_cast<std::size_t>(last)]) continue;
    int first = last;
    while (first > 0 && in[static_cast<std::size_t>(first - 1)]) --first;
    std::int64_t outer = 1, n = 1, inner = 1;
    for (int k = 0; k < x.rank(); ++k) (k < first ? outer : k <= last ? n : inner) *= dims[static_cast<std::size_t>(k)];
    for (int k = first; k <= last; ++k) dims[static_cast<std::size_t>(k)] = 1;
    Tensor next = empty(Shape(dims), x.dtype()), scratch;
    const std::int64_t pieces = x.device() == Device::cpu ? 1 : kernels::reduce_pieces(outer, n, inner);
    if (pieces > 1) scratch = empty({outer, pieces, inner}, DType::f32);
    launch(op.name, static_cast<double>(y.size()), kernels::reduce, x.device(), f, outer, n, inner, y.view(),
           scratch ? scratch.view() : kernels::View{}, next.view());
    y = next;
    if (f == Reduce::sum_squares) f = Reduce::sum;
    last = first;
  }
  return y;
}

Tensor extreme(const Op& op, Reduce f, const Tensor& x, const Axes& axes, KeepDim keep) {
  const std::vector<bool> in = axis_set(op, x, axes);
  const Shape kept = reduced_shape(x.shape(), in, keep_axes);
  Tensor y = view_as(run_reduce(op, f, x, in), reduced_shape(x.shape(), in, keep));
  return record(op, y, {x}, [x, y = detach(y), kept, axes](const Call& c) {
    Tensor mask = equal(detach(x), reshape(y, kept));
    return Grads{mul(mask, reshape(c.dy, kept) / sum(mask, axes, keep_axes))};
  });
}

}  // namespace

Tensor sum(const Tensor& x) {
  Axes all;
  for (int k = 0; k < x.rank(); ++k) all.push_back(k);
  return sum(x, all);
}
Tensor sum(const Tensor& x, const Axes& axes, KeepDim keep) {
  const std::vector<bool> in = axis_set(sum_op, x, axes);
  Tensor y = run_reduce(sum_op, Reduce::sum, x, in);
  const Shape kept = reduced_shape(x.shape(), in, keep_axes);
  return record(sum_op, view_as(y, reduced_shape(x.shape(), in, keep)), {x},
                [kept, whole = x.shape()](const Call& c) { return Grads{broadcast_to(reshape(c.dy, kept), whole)}; });
}

Tensor mean(const Tensor& x) { return sum(x) / static_cast<double>(x.size()); }
Tensor mean(const Tensor& x, const Axes& axes, KeepDim keep) {
  Tensor y = sum(x, axes, keep);
  return y * (static_cast<double>(y.size()) / static_cast<double>(x.size()));
}
Tensor variance(const Tensor& x, const Axes& axes, KeepDim keep, int correction) {
  const auto centred = [x, axes] { return x - mean(x, axes, keep_axes); };
  const Shape kept = reduced_shape(x.shape(), axis_set(variance_op, x, axes), keep_axes);
  const double scale = 1 / (static_cast<double>(x.size()) / static_cast<double>(kept.size()) - correction);
  Tensor y;
  {
    // Through the mean flows a gradient that is 0: a sum of numbers that cancel. The rule leaves it out.
    NoGrad off;
    y = sum(square(centred()), axes, keep) * scale;
  }
  return record(variance_op, detach(y), {x},
                [centred, kept, scale](const Call& c) { return Grads{reshape(c.dy, kept) * (2 * scale) * centred()}; });
}

Tensor max(const Tensor& x, const Axes& axes, KeepDim keep) { return extreme(max_op, Reduce::max, x, axes, keep); }
Tensor min(const Tensor& x, const Axes& axes, KeepDim keep) { return extreme(min_op, Reduce::min, x, axes, keep); }

Tensor argmax(const Tensor& x, int axis) {
  const std::vector<bool> in = axis_set(argmax_op, x, {axis});
  if (axis < 0) axis += x.rank();
  std::int64_t outer = 1, inner = 1;
  for (int k = 0; k < x.rank(); ++k) (k < axis ? outer : inner) *= k == axis ? 1 : x.shape()[k];
  Tensor y = empty(reduced_shape(x.shape(), in, drop_axes), DType::i32);
  launch(argmax_op.name, static_cast<double>(x.size()), kernels::argmax, x.device(), outer, x.shape()[axis], inner,
         x.view(), y.view());
  return record(argmax_op, y, {}, nullptr);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = x.rank() - shape.rank();
  require(extra >= 0, "[sum_to] x {} has fewer axes than {}", x, shape);
  Axes axes;
  for (int k = 0; k < x.rank(); ++k) {
    const std::int64_t want = k < extra ? 1 : shape[k - extra];
    require(want == x.shape()[k] || want == 1, "[sum_to] x {} was not stretched from {}", x, shape);
    if (want != x.shape()[k] || k < extra) axes.push_back(k);
  }
  return reshape(sum(x, axes, keep_axes), shape);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = shape.rank() - x.rank();
  kernels::Extent extent{shape.rank(), {}};
  kernels::Walk from, to;
  std::int64_t step_x = 1, step_y = 1;
  for (int k = shape.rank() - 1; k >= 0; --k) {
    const std::int64_t mine = k < extra ? 1 : x.shape()[k - extra];
    require(extra >= 0 && (mine == shape[k] || mine == 1), "[broadcast_to] x {} cannot be stretched to {}", x, shape);
    extent.dim[k] = shape[k];
    from.stride[k] = mine == 1 ? 0 : step_x;
    to.stride[k] = step_y;
    step_x *= mine;
    step_y *= shape[k];
  }
  Tensor y = empty(shape, x.dtype());
  launch(broadcast_op.name, 0, kernels::copy_strided, x.device(), extent, x.view(), from, y.view(), to);
  return record(broadcast_op, y, {x}, [s = x.shape()](const Call& c) { return Grads{sum_to(c.dy, s)}; });
}

Tensor norm_per_sample(const Tensor& x) {
  require(x.rank() >= 1, "[norm_per_sample] x {} has no axis of samples", x);
  if (x.dtype() == DType::bf16) return norm_per_sample(widen(x));
  const std::int64_t n = x.dim(0);
  Tensor y;
  {
    NoGrad off;
    Tensor squares = run_reduce(norm_op, Reduce::sum_squares, view_as(x, {n, n ? x.size() / n : 0}), {false, true});
    y = sqrt(view_as(squares, {n}));
  }
  std::vector<std::int64_t> column(static_cast<std::size_t>(x.rank()), 1);
  column[0] = x.dim(0);
  return record(
      norm_op, y, {x},
      [x, column = Shape(column)](const Call& c) {
        return Grads{mul(x, reshape(mul(c.dy, inverse_or_zero(c.y)), column))};
      },
      Saves::output);
}

namespace {
Tensor run_softmax(const Op& op, kernels::Softmax f, const Tensor& x, const Shape& shape) {
  require(x.rank() >= 1 && x.shape().last() > 0, "[{}] x {} has no last axis to sum over", op.name, x);
  Tensor y = empty(shape, x.dtype());
  launch(op.name, 4 * static_cast<double>(x.size()), kernels::softmax, x.device(), f, x.view(), y.view());
  return y;
}
}  // namespace

Tensor softmax(const Tensor& x) {
  return record(
      softmax_op, run_softmax(softmax_op, kernels::Softmax::softmax, x, x.shape()), {x},
      [](const Call& c) { return Grads{mul(c.y, c.dy - sum(mul(c.dy, c.y), {-1}, keep_axes))}; }, Saves::output);
}
Tensor log_softmax(const Tensor& x) {
  return record(
      log_softmax_op, run_softmax(log_softmax_op, kernels::Softmax::log_softmax, x, x.shape()), {x},
      [](const Call& c) { return Grads{c.dy - mul(exp(c.y), sum(c.dy, {-1}, keep_axes))}; }, Saves::output);
}
Tensor logsumexp(const Tensor& x) {
  const Shape shape = x.rank() ? reduced_shape(x.shape(), axis_set(logsumexp_op, x, {-1}), drop_axes) : Shape();
  return record(logsumexp_op, run_softmax(logsumexp_op, kernels::Softmax::logsumexp, x, shape), {x},
                [x](const Call& c) {
                  std::vector<std::int64_t> column(x.shape().begin(), x.shape().end());
                  column.back() = 1;
                  return Grads{mul(reshape(c.dy, Shape(column)), softmax(x))};
                });
}

}  // namespace duel
