// The public ops. Each records itself on the tape; gradient rules are written with these very functions.
// All are for f32 and f64. Images are (N,H,W,C). Errors name the op and what it was given.
#pragma once
#include <span>
#include <vector>

#include "engine/tensor.h"
#include "kernels/conv.h"

namespace duel {

// ---- elementwise, with broadcasting: shapes are aligned at the last axis, an extent of 1 stretches ----
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);  // at a tie the gradient goes to a
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor affine(const Tensor& x, double scale, double shift);  // scale * x + shift
// 1 where the relation holds, else 0; no gradient.
Tensor less(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, const Tensor& b);
Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b);  // mask (zeros and ones) ? a : b; no gradient to it
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& t);      // a + t * (b - a)

Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, double b);
Tensor operator+(double a, const Tensor& b);
Tensor operator-(const Tensor& a, double b);
Tensor operator-(double a, const Tensor& b);
Tensor operator*(const Tensor& a, double b);
Tensor operator*(double a, const Tensor& b);
Tensor operator/(const Tensor& a, double b);
Tensor operator-(const Tensor& a);

Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor abs(const Tensor& x);   // gradient 0 at 0
Tensor sign(const Tensor& x);  // no gradient
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor inverse_or_zero(const Tensor& x);                 // 1/x, and 0 (with gradient 0) at 0
Tensor clamp(const Tensor& x, double low, double high);  // gradient 1 inside [low, high], else 0
Tensor relu(const Tensor& x);                            // gradient 0 at 0
Tensor leaky_relu(const Tensor& x, double slope = 0.2);  // x > 0 ? x : slope * x; slope in [0, 1]
Tensor prelu(const Tensor& x, const Tensor& slope);      // the slope per channel, (C) or (1) (He et al. 2015)
Tensor elu(const Tensor& x);                             // x > 0 ? x : exp(x) - 1
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor softplus(const Tensor& x);  // log(1 + exp(x)), without overflow
Tensor silu(const Tensor& x);      // x * sigmoid(x)
Tensor gelu(const Tensor& x);      // x * (1 + erf(x / sqrt 2)) / 2
// Fused: act(x + bias), bias (C) along the last axis.
Tensor bias_leaky_relu(const Tensor& x, const Tensor& bias, double slope);
Tensor bias_tanh(const Tensor& x, const Tensor& bias);
// Gradients as ops: dy * act'(.) told from the result y.
Tensor leaky_relu_grad(const Tensor& dy, const Tensor& y, double slope);
Tensor tanh_grad(const Tensor& dy, const Tensor& y);
Tensor sigmoid_grad(const Tensor& dy, const Tensor& y);

// ---- reductions ----
using Axes = std::vector<int>;  // negative axes count from the end
enum KeepDim : bool { drop_axes = false, keep_axes = true };
Tensor sum(const Tensor& x);  // to a scalar
Tensor sum(const Tensor& x, const Axes& axes, KeepDim keep = drop_axes);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, const Axes& axes, KeepDim keep = drop_axes);
Tensor variance(const Tensor& x, const Axes& axes, KeepDim keep = drop_axes,
                int correction = 0);  // divides by n - correction
// Several equal extremes share the gradient.
Tensor max(const Tensor& x, const Axes& axes, KeepDim keep = drop_axes);
Tensor min(const Tensor& x, const Axes& axes, KeepDim keep = drop_axes);
Tensor argmax(const Tensor& x, int axis);            // i32, no gradient
Tensor sum_to(const Tensor& x, const Shape& shape);  // undoes a broadcast: sums the stretched axes
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor norm_per_sample(const Tensor& x);  // (N,...) -> (N): Euclidean norm; gradient 0 at 0; of bf16 in f32
Tensor softmax(const Tensor& x);          // along the last axis
Tensor log_softmax(const Tensor& x);
Tensor logsumexp(const Tensor& x);  // drops the last axis

// ---- shape ----
Tensor reshape(const Tensor& x, const Shape& shape);             // the same memory
Tensor permute(const Tensor& x, const std::vector<int>& order);  // y's axis k is x's axis order[k]
Tensor transpose(const Tensor& x);                               // of the last two axes
Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end);
Tensor concat(const std::vector<Tensor>& xs, int axis);
Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after);  // with zeros
Tensor convert(const Tensor& x, DType dtype);  // between f32, f64 and bf16 with gradient; others without
Tensor widen(const Tensor& x);                 // bf16 in f32, where a sum of squares would lose too much; else x

// ---- by index; indices are i32 tensors ----
Tensor gather(const Tensor& x, const Tensor& index);  // rows x[index[m], ...]; an embedding is gather(table, tokens)
Tensor scatter(const Tensor& y, const Tensor& index, std::int64_t rows);  // its transpose: adds row m to row index[m]
Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype = default_float());
// A batch in [-1, 1] of images that lie on the device as bytes: pixels (count,H,W,C) u8, index and flip (N) i32; where
// flip is not 0 left and right change places (an empty flip: nowhere). No gradient.
Tensor gather_images(const Tensor& pixels, const Tensor& index, const Tensor& flip, DType dtype = default_float());

// ---- products ----
// (..., m, k) x (..., k, n) -> (..., m, n), equal leading axes; each operand may be given transposed.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
Tensor linear(const Tensor& x, const Tensor& w);  // (N,in) x (out,in) -> (N,out)
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias);

// ---- the convolution triangle (kernels/conv.h) ----
enum class Act : std::uint8_t { none, relu, leaky_relu, tanh };
// What a batch norm needs to know of the tensor x that it normalises: (1,C) each, rstd = 1 / sqrt(var + eps).
struct BatchStatistics {
  Tensor mean, rstd;
  double eps = 1e-5;
};
// What follows a convolution and runs within its kernel: y = act(conv + bias).
struct ConvThen {
  Tensor bias = {};  // (channels of the result), or empty
  Act act = Act::none;
  double slope = 0.2;                     // of leaky_relu
  BatchStatistics* statistics = nullptr;  // filled with those of the result, for batch_norm
};
struct ConvOptions {
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  std::int64_t groups = 1;
};
ConvOptions conv_options(std::int64_t stride, std::int64_t padding, std::int64_t groups = 1);
// x (N,H,W,C), w (O,kh,kw,C/groups) -> (N,H',W',O), H' = floor((H + pad_top + pad_bottom - kh) / stride_h) + 1.
Tensor conv2d(const Tensor& x, const Tensor& w, const ConvOptions& options, const ConvThen& then = {});
// y (N,h,w,O), w (O,kh,kw,C/groups) -> (N,H,W,C), H = (h-1)*stride_h - pad_top - pad_bottom + kh + output_padding.
Tensor conv2d_transpose(const Tensor& y, const Tensor& w, const ConvOptions& options, std::int64_t output_padding = 0,
                        const ConvThen& then = {});
// The three corners with the geometry spelled out.
Tensor conv2d(const Tensor& x, const Tensor& w, const ConvGeometry& g);
Tensor conv2d_transpose(const Tensor& w, const Tensor& y, const ConvGeometry& g);
Tensor conv2d_weight(const Tensor& x, const Tensor& y, const ConvGeometry& g);

// ---- normalisation (kernels/norm.h), with the following activation fused; slope 1 means none, 0 ReLU ----
// What a batch norm keeps besides its parameters; updated by each call in training.
struct RunningStatistics {
  Tensor mean, var;
  double momentum = 0.1;
};
// gamma, beta (C), or empty for none. eps is added to the variance. `known`: the statistics of x, where the convolution
// that made x was asked for them with the same eps.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps = 1e-5, double slope = 1,
                  const RunningStatistics* running = nullptr, const BatchStatistics* known = nullptr);
Tensor batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta, const RunningStatistics& running,
                            double eps = 1e-5, double slope = 1);
Tensor instance_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps = 1e-5, double slope = 1);
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& gamma, const Tensor& beta, double eps = 1e-5,
                  double slope = 1);
// Over all but the first axis. gamma, beta: (C), or the sample's whole shape (H,W,C), or empty.
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps = 1e-5);

// ---- images ----
Tensor avg_pool(const Tensor& x,
                std::int64_t size);  // windows size x size side by side; a rest at the border is left out
Tensor max_pool(const Tensor& x, std::int64_t size);
Tensor upsample_nearest(const Tensor& x, std::int64_t factor);
Tensor bilinear(const Tensor& x, std::int64_t height, std::int64_t width);  // half-pixel centres
Tensor bilinear_grad(const Tensor& dy, const Shape& x);                     // its transpose, dL/dx for x of this shape
Tensor reflection_pad(const Tensor& x, std::int64_t p);
Tensor pixel_shuffle(const Tensor& x,
                     std::int64_t r);  // (N,H,W,C*r*r) -> (N,H*r,W*r,C); channel c*r*r + i*r + j (Shi et al. 2016)

}  // namespace duel
