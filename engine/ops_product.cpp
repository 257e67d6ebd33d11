// Matrix products and the convolution triangle: multilinear forms whose gradients are each other.
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/matmul.h"

namespace duel {
namespace {

using kernels::ConvSlot;

const Op matmul_op{"matmul", "y[i,j] = sum over p of a[i,p] b[p,j]"};
const Op conv2d_op{"conv2d", "y = dT/dy, T = sum of x[n,iS+r-P,jS+s-P,c] w[o,r,s,c] y[n,i,j,o]"};
const Op conv2d_transpose_op{"conv2d_transpose", "x = dT/dx"};
const Op conv2d_weight_op{"conv2d_weight", "w = dT/dw"};

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

// One corner of the triangle from the two others; its rule is the same function for the other corners.
Tensor triangle(ConvSlot out, const Tensor& first, const Tensor& second, const ConvGeometry& g) {
  const ConvSlot a = out == ConvSlot::x ? ConvSlot::w : ConvSlot::x, b = out == ConvSlot::y ? ConvSlot::w : ConvSlot::y;
  const Op& op = corner_op(out);
  check_corner(op, a, first, g);
  check_corner(op, b, second, g);
  require(first.dtype() == second.dtype(), "[{}] types differ: {} and {}", op.name, first, second);
  Tensor y = empty(corner_shape(out, g), first.dtype());
  const std::size_t bytes = kernels::conv_workspace(y.device(), out, g, y.dtype());
  Tensor workspace = bytes ? empty({static_cast<std::int64_t>(bytes)}, DType::u8) : Tensor();
  launch(op.name, g.flops(), kernels::conv, y.device(), out, g, first.view(), second.view(), y.view(),
         workspace ? workspace.view() : kernels::View{});
  return record(op, y, {first, second}, [out, a, b, first, second, g](const Call& c) {
    // The corners in the order x, w, y; the one computed here is replaced by its gradient.
    auto corner = [&](ConvSlot s) -> const Tensor& { return s == out ? c.dy : s == a ? first : second; };
    auto towards = [&](ConvSlot s) {
      return s == ConvSlot::x   ? triangle(s, corner(ConvSlot::w), corner(ConvSlot::y), g)
             : s == ConvSlot::w ? triangle(s, corner(ConvSlot::x), corner(ConvSlot::y), g)
                                : triangle(s, corner(ConvSlot::x), corner(ConvSlot::w), g);
    };
    return Grads{c.needs(0) ? towards(a) : Tensor(), c.needs(1) ? towards(b) : Tensor()};
  });
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

Tensor conv2d(const Tensor& x, const Tensor& w, const ConvOptions& o) {
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
  return conv2d(x, w, g);
}

Tensor conv2d_transpose(const Tensor& y, const Tensor& w, const ConvOptions& o, std::int64_t output_padding) {
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
  return conv2d_transpose(w, y, g);
}

Tensor conv2d(const Tensor& x, const Tensor& w, const ConvGeometry& g) { return triangle(ConvSlot::y, x, w, g); }
Tensor conv2d_transpose(const Tensor& w, const Tensor& y, const ConvGeometry& g) {
  return triangle(ConvSlot::x, w, y, g);
}
Tensor conv2d_weight(const Tensor& x, const Tensor& y, const ConvGeometry& g) { return triangle(ConvSlot::w, x, y, g); }

}  // namespace duel
