// Matrix products and the convolution triangle: multilinear forms whose gradients are each other.
#include <algorithm>

#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"

namespace duel {
namespace {

using kernels::ConvSlot;

const Op matmul_op{"matmul", "y[i,j] = sum over p of a[i,p] b[p,j]"};
const Op conv2d_op{"conv2d", "y = dT/dy, T = sum of x[n,iS+r-P,jS+s-P,c] w[o,r,s,c] y[n,i,j,o]"};
const Op conv2d_transpose_op{"conv2d_transpose", "x = dT/dx"};
const Op conv2d_weight_op{"conv2d_weight", "w = dT/dw"};
const Op conv2d_then_op{"conv2d_then", "y = act(conv2d(x, w) + bias)"};
const Op conv2d_transpose_then_op{"conv2d_transpose_then", "y = act(conv2d_transpose(x, w) + bias)"};

MatmulShape matmul_shape(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  require(a.rank() >= 2 && a.rank() == b.rank() && a.dtype() == b.dtype(), "[matmul] cannot multiply {} and {}", a, b);
  MatmulShape s;
  s.transpose_a = ta;
  s.transpose_b = tb;
  for (int k = 0; k < a.rank() - 2; ++k) {
    require(a.dim(k) == b.dim(k), "[matmul] leading axes differ: {} and {}", a, b);
    s.batch *= a.dim(k);
  }
  s.m = a.dim(ta ? -1 : -2);
  s.k = a.dim(ta ? -2 : -1);
  s.n = b.dim(tb ? -2 : -1);
  const std::int64_t kb = b.dim(tb ? -1 : -2);
  require(s.k == kb, "[matmul] a {}{} has {} columns but b {}{} has {} rows", a, ta ? " transposed" : "", s.k, b,
          tb ? " transposed" : "", kb);
  return s;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  const MatmulShape s = matmul_shape(a, b, ta, tb);
  Shape shape = a.shape();
  shape[a.rank() - 2] = s.m;
  shape[a.rank() - 1] = s.n;
  Tensor y = empty(shape, a.dtype());
  launch(matmul_op.name, s.flops(), kernels::matmul, y.device(), s, a.view(), b.view(), y.view());
  return record(matmul_op, y, {a, b}, [a, b, ta, tb](const Call& c) {
    Grads out(2);
    if (c.needs(0)) out[0] = ta ? matmul(b, c.dy, tb, true) : matmul(c.dy, b, false, !tb);
    if (c.needs(1)) out[1] = tb ? matmul(c.dy, a, true, ta) : matmul(a, c.dy, !ta, false);
    return out;
  });
}

Tensor linear(const Tensor& x, const Tensor& w) {
  require(x.rank() == 2 && w.rank() == 2 && x.dim(1) == w.dim(1), "[linear] x {} has {} features but w (out,in) is {}",
          x, x.shape().last(), w);
  return matmul(x, w, false, true);
}
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) { return bias_leaky_relu(linear(x, w), bias, 1); }

namespace {

Shape corner_shape(ConvSlot slot, const ConvGeometry& g) {
  switch (slot) {
    case ConvSlot::x:
      return {g.n, g.xh, g.xw, g.c};
    case ConvSlot::w:
      return {g.o, g.kh, g.kw, g.group_c()};
    case ConvSlot::y:
      return {g.n, g.yh, g.yw, g.o};
  }
  return {};
}
const Op& corner_op(ConvSlot slot) {
  return slot == ConvSlot::x ? conv2d_transpose_op : slot == ConvSlot::w ? conv2d_weight_op : conv2d_op;
}

void check_corner(const Op& op, ConvSlot slot, const Tensor& t, const ConvGeometry& g) {
  static const char* names[] = {"x", "w", "y"};
  require(t.shape() == corner_shape(slot, g), "[{}] {} is {} but the geometry says {}", op.name,
          names[static_cast<int>(slot)], t, corner_shape(slot, g));
}

// A corner and the two that it is computed from, in the order x, w, y.
struct Corners {
  ConvSlot out;
  ConvGeometry g;
  ConvSlot first() const { return out == ConvSlot::x ? ConvSlot::w : ConvSlot::x; }
  ConvSlot second() const { return out == ConvSlot::y ? ConvSlot::w : ConvSlot::y; }
};
double slope_of(const ConvThen& then) {
  return then.act == Act::relu ? 0 : then.act == Act::leaky_relu ? then.slope : 1;
}

// Runs the kernel.
Tensor compute(const Op& op, const Corners& c, const Tensor& first, const Tensor& second, const ConvThen& then) {
  check_corner(op, c.first(), first, c.g);
  check_corner(op, c.second(), second, c.g);
  require(std::max({c.g.xh, c.g.xw, c.g.yh, c.g.yw}) <= kernels::largest_map,
          "[{}] expected images of at most {} rows and columns, found {} and {}", op.name, kernels::largest_map, first,
          second);
  require(first.dtype() == second.dtype(), "[{}] types differ: {} and {}", op.name, first, second);
  Tensor y = empty(corner_shape(c.out, c.g), first.dtype());
  BatchStatistics* s = then.statistics;
  if (s) s->mean = s->rstd = Tensor();
  const std::size_t bytes =
      on_driver([&] { return kernels::conv_workspace(y.device(), c.out, c.g, y.dtype(), s != nullptr); });
  Tensor workspace = bytes ? empty({static_cast<std::int64_t>(bytes)}, DType::u8) : Tensor();
  const auto view = [](const Tensor& t) { return t ? t.view() : kernels::View{}; };
  if (!then.bias && then.act == Act::none && !s) {
    launch(op.name, c.g.flops(), kernels::conv, y.device(), c.out, c.g, first.view(), second.view(), y.view(),
           view(workspace));
    return y;
  }
  if (then.bias)
    require(then.bias.shape() == Shape{y.shape().last()} && then.bias.dtype() == y.dtype(),
            "[{}] the bias {} does not fit the channels of the result {}", op.name, then.bias, y);
  if (s) {
    s->mean = empty({1, y.shape().last()}, kernels::statistics_type(y.dtype()));
    s->rstd = empty_like(s->mean);
  }
  launch(op.name, c.g.flops() + 4 * static_cast<double>(y.size()), kernels::conv_finished, y.device(), c.out, c.g,
         kernels::ConvFinish{slope_of(then), then.act == Act::tanh, s ? s->eps : 0}, first.view(), second.view(),
         view(then.bias), y.view(), s ? s->mean.view() : kernels::View{}, s ? s->rstd.view() : kernels::View{},
         view(workspace));
  return y;
}

Tensor triangle(const Corners& c, const Tensor& first, const Tensor& second, const ConvThen& then = {});

// The gradients of a corner, dy being its own: the same function for the other corners, with dy in its place.
Grads corner_gradients(const Corners& c, const Tensor& first, const Tensor& second, const Tensor& dy, bool of_first,
                       bool of_second) {
  auto corner = [&](ConvSlot s) -> const Tensor& { return s == c.out ? dy : s == c.first() ? first : second; };
  auto towards = [&](ConvSlot s) {
    const Corners other{s, c.g};
    return triangle(other, corner(other.first()), corner(other.second()));
  };
  return {of_first ? towards(c.first()) : Tensor(), of_second ? towards(c.second()) : Tensor()};
}

// One corner of the triangle from the two others. Of `then` only the statistics.
Tensor triangle(const Corners& c, const Tensor& first, const Tensor& second, const ConvThen& then) {
  const Op& op = corner_op(c.out);
  return record(op, compute(op, c, first, second, then), {first, second}, [c, first, second](const Call& call) {
    return corner_gradients(c, first, second, call.dy, call.needs(0), call.needs(1));
  });
}

// The corners y and x with all that follows.
Tensor triangle_then(const Corners& c, const Tensor& first, const Tensor& second, const ConvThen& then) {
  if (!then.bias && then.act == Act::none) return triangle(c, first, second, then);
  const Op& op = c.out == ConvSlot::x ? conv2d_transpose_then_op : conv2d_then_op;
  std::vector<Tensor> inputs{first, second};
  if (then.bias) inputs.push_back(then.bias);
  const double slope = slope_of(then);
  require(slope >= 0 && slope <= 1, "[{}] slope {} is outside [0, 1]", op.name, slope);
  return record(
      op, compute(op, c, first, second, then), inputs,
      [c, first, second, slope, tanh = then.act == Act::tanh](const Call& call) {
        Tensor dv = tanh ? tanh_grad(call.dy, call.y) : slope == 1 ? call.dy : leaky_relu_grad(call.dy, call.y, slope);
        Grads out = corner_gradients(c, first, second, dv, call.needs(0), call.needs(1));
        if (call.need.size() == 3) out.push_back(call.needs(2) ? sum_to(dv, {dv.shape().last()}) : Tensor());
        return out;
      },
      then.act == Act::none ? Saves::nothing : Saves::output);
}

void check_options(const Op& op, const Tensor& x, const Tensor& w, const ConvOptions& o) {
  require(x.rank() == 4 && w.rank() == 4,
          "[{}] expects images (N,H,W,C) and weights (O,kh,kw,C/groups), found {} and {}", op.name, x, w);
  require(o.stride_h >= 1 && o.stride_w >= 1 && o.groups >= 1, "[{}] strides ({},{}) and groups {} must be 1 or more",
          op.name, o.stride_h, o.stride_w, o.groups);
  require(o.pad_top >= 0 && o.pad_bottom >= 0 && o.pad_left >= 0 && o.pad_right >= 0, "[{}] padding is negative",
          op.name);
  require(w.dim(0) % o.groups == 0, "[{}] {} groups do not divide the {} output channels of w {}", op.name, o.groups,
          w.dim(0), w);
}

ConvGeometry common_geometry(const Tensor& w, const ConvOptions& o) {
  ConvGeometry g;
  g.o = w.dim(0);
  g.kh = w.dim(1);
  g.kw = w.dim(2);
  g.c = w.dim(3) * o.groups;
  g.stride_h = o.stride_h;
  g.stride_w = o.stride_w;
  g.pad_top = o.pad_top;
  g.pad_left = o.pad_left;
  g.groups = o.groups;
  return g;
}

}  // namespace

ConvOptions conv_options(std::int64_t stride, std::int64_t padding, std::int64_t groups) {
  return {stride, stride, padding, padding, padding, padding, groups};
}

Tensor conv2d(const Tensor& x, const Tensor& w, const ConvOptions& o, const ConvThen& then) {
  check_options(conv2d_op, x, w, o);
  ConvGeometry g = common_geometry(w, o);
  require(x.dim(3) == g.c, "[conv2d] x has {} channels but w expects {}: x {}, w {}", x.dim(3), g.c, x, w);
  g.n = x.dim(0);
  g.xh = x.dim(1);
  g.xw = x.dim(2);
  const std::int64_t h = g.xh + o.pad_top + o.pad_bottom - g.kh, width = g.xw + o.pad_left + o.pad_right - g.kw;
  require(h >= 0 && width >= 0, "[conv2d] a kernel of {} x {} is larger than the padded image: x {}", g.kh, g.kw, x);
  g.yh = h / o.stride_h + 1;
  g.yw = width / o.stride_w + 1;
  return triangle_then({ConvSlot::y, g}, x, w, then);
}

Tensor conv2d_transpose(const Tensor& y, const Tensor& w, const ConvOptions& o, std::int64_t output_padding,
                        const ConvThen& then) {
  check_options(conv2d_transpose_op, y, w, o);
  ConvGeometry g = common_geometry(w, o);
  require(y.dim(3) == g.o, "[conv2d_transpose] the input has {} channels but w expects {}: input {}, w {}", y.dim(3),
          g.o, y, w);
  require(output_padding >= 0 && output_padding < std::max(o.stride_h, o.stride_w),
          "[conv2d_transpose] output padding {} must be at least 0 and smaller than the stride", output_padding);
  g.n = y.dim(0);
  g.yh = y.dim(1);
  g.yw = y.dim(2);
  g.xh = (g.yh - 1) * o.stride_h - o.pad_top - o.pad_bottom + g.kh + output_padding;
  g.xw = (g.yw - 1) * o.stride_w - o.pad_left - o.pad_right + g.kw + output_padding;
  require(g.xh >= 1 && g.xw >= 1, "[conv2d_transpose] the result would be {} x {}: input {}, w {}", g.xh, g.xw, y, w);
  return triangle_then({ConvSlot::x, g}, w, y, then);
}

Tensor conv2d(const Tensor& x, const Tensor& w, const ConvGeometry& g) { return triangle({ConvSlot::y, g}, x, w); }
Tensor conv2d_transpose(const Tensor& w, const Tensor& y, const ConvGeometry& g) {
  return triangle({ConvSlot::x, g}, w, y);
}
Tensor conv2d_weight(const Tensor& x, const Tensor& y, const ConvGeometry& g) {
  return triangle({ConvSlot::w, g}, x, y);
}

}  // namespace duel
