// Ops that move values without changing them, ops by index, and image ops made of either.
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "kernels/resize.h"

namespace duel {
namespace {

const Op reshape_op{"reshape", "y = x, other shape"}, permute_op{"permute", "y[i_order] = x[i]"};
const Op slice_op{"slice", "y = x[begin:end] along an axis"}, concat_op{"concat", "y = xs joined along an axis"};
const Op pad_op{"pad", "y = x with zeros around along an axis"}, convert_op{"convert", "y = x in another type"};
const Op gather_op{"gather", "y[m] = x[index[m]]"}, scatter_op{"scatter", "x[index[m]] += y[m]"};
const Op one_hot_op{"one_hot", "y[m,c] = (c == index[m])"};
const Op gather_images_op{"gather_images", "y[n] = pixels[index[n]] as -1 .. 1, mirrored where flip[n]"};
const Op max_pool_op{"max_pool", "y = largest x of each window"};
const Op bilinear_op{"bilinear", "y = bilinear resampling of x"}, bilinear_grad_op{"bilinear_grad", "its transpose"};
const Op reflection_pad_op{"reflection_pad", "y = x mirrored at its borders"};
const Op reflection_pad_grad_op{"reflection_pad_grad", "its transpose"};

int axis_of(const Op& op, const Tensor& x, int axis) {
  require(axis >= -x.rank() && axis < x.rank(), "[{}] axis {} of x {}", op.name, axis, x);
  return axis < 0 ? axis + x.rank() : axis;
}

kernels::Walk dense_walk(const Shape& s) {
  kernels::Walk w;
  std::int64_t step = 1;
  for (int k = s.rank() - 1; k >= 0; --k) {
    w.stride[k] = step;
    step *= s[k];
  }
  return w;
}
kernels::Extent extent_of(const Shape& s) {
  kernels::Extent e{s.rank(), {}};
  for (int k = 0; k < s.rank(); ++k) e.dim[k] = s[k];
  return e;
}

// Copies the block `extent` between x, entered at index x0 of `axis`, and y, entered at y0.
void copy_block(const Op& op, const Shape& extent, const Tensor& x, std::int64_t x0, const Tensor& y, std::int64_t y0,
                int axis) {
  kernels::Walk from = dense_walk(x.shape()), to = dense_walk(y.shape());
  from.offset = x0 * from.stride[axis];
  to.offset = y0 * to.stride[axis];
  launch(op.name, 0, kernels::copy_strided, x.device(), extent_of(extent), x.view(), from, y.view(), to);
}
Shape with_dim(Shape s, int axis, std::int64_t d) {
  s[axis] = d;
  return s;
}
void check_image(const Op& op, const Tensor& x) {
  require(x.rank() == 4, "[{}] expects images (N,H,W,C), found x {}", op.name, x);
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record(reshape_op, view_as(x, shape), {x}, [s = x.shape()](const Call& c) { return Grads{reshape(c.dy, s)}; });
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  std::vector<int> back(order.size(), -1);
  require(static_cast<int>(order.size()) == x.rank(), "[permute] {} axes named for x {}", order.size(), x);
  std::vector<std::int64_t> dims;
  kernels::Walk from;
  const kernels::Walk dense = dense_walk(x.shape());
  for (std::size_t k = 0; k < order.size(); ++k) {
    const int a = axis_of(permute_op, x, order[k]);
    require(back[static_cast<std::size_t>(a)] < 0, "[permute] axis {} is named twice for x {}", a, x);
    back[static_cast<std::size_t>(a)] = static_cast<int>(k);
    dims.push_back(x.shape()[a]);
    from.stride[k] = dense.stride[a];
  }
  Tensor y = empty(Shape(dims), x.dtype());
  launch(permute_op.name, 0, kernels::copy_strided, x.device(), extent_of(y.shape()), x.view(), from, y.view(),
         dense_walk(y.shape()));
  return record(permute_op, y, {x}, [back](const Call& c) { return Grads{permute(c.dy, back)}; });
}
Tensor transpose(const Tensor& x) {
  require(x.rank() >= 2, "[transpose] x {} has fewer than two axes", x);
  std::vector<int> order;
  for (int k = 0; k < x.rank(); ++k) order.push_back(k);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return permute(x, order);
}

Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end) {
  const int a = axis_of(slice_op, x, axis);
  const std::int64_t n = x.shape()[a];
  require(0 <= begin && begin <= end && end <= n, "[slice] range {}..{} of axis {} of x {}", begin, end, a, x);
  if (begin == 0 && end == n) return x;
  Tensor y = empty(with_dim(x.shape(), a, end - begin), x.dtype());
  copy_block(slice_op, y.shape(), x, begin, y, 0, a);
  return record(slice_op, y, {x},
                [a, begin, rest = n - end](const Call& c) { return Grads{pad(c.dy, a, begin, rest)}; });
}
Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after) {
  const int a = axis_of(pad_op, x, axis);
  require(before >= 0 && after >= 0, "[pad] {} before and {} after, expected 0 or more", before, after);
  if (before == 0 && after == 0) return x;
  const std::int64_t n = x.shape()[a];
  Tensor y = zeros(with_dim(x.shape(), a, before + n + after), x.dtype());
  copy_block(pad_op, x.shape(), x, 0, y, before, a);
  return record(pad_op, y, {x}, [a, before, n](const Call& c) { return Grads{slice(c.dy, a, before, before + n)}; });
}
Tensor concat(const std::vector<Tensor>& xs, int axis) {
  require(!xs.empty(), "[concat] no tensors were given");
  const int a = axis_of(concat_op, xs[0], axis);
  std::vector<std::int64_t> at{0};
  for (const Tensor& x : xs) {
    require(x.rank() == xs[0].rank() && x.dtype() == xs[0].dtype() &&
                with_dim(x.shape(), a, 0) == with_dim(xs[0].shape(), a, 0),
            "[concat] {} does not fit {} along axis {}", x, xs[0], a);
    at.push_back(at.back() + x.shape()[a]);
  }
  Tensor y = empty(with_dim(xs[0].shape(), a, at.back()), xs[0].dtype());
  for (std::size_t i = 0; i < xs.size(); ++i) copy_block(concat_op, xs[i].shape(), xs[i], 0, y, at[i], a);
  return record(concat_op, y, xs, [a, at](const Call& c) {
    Grads out(at.size() - 1);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (c.needs(i)) out[i] = slice(c.dy, a, at[i], at[i + 1]);
    return out;
  });
}

Tensor widen(const Tensor& x) { return x.dtype() == DType::bf16 ? convert(x, DType::f32) : x; }
Tensor convert(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = empty(x.shape(), dtype);
  launch(convert_op.name, 0, kernels::convert, x.device(), x.view(), y.view(), 1.0, 0.0);
  if (!is_float(x.dtype()) || !is_float(dtype)) return record(convert_op, y, {}, nullptr);
  return record(convert_op, y, {x}, [t = x.dtype()](const Call& c) { return Grads{convert(c.dy, t)}; });
}

namespace {
void check_index(const Op& op, const Tensor& index) {
  require(index.dtype() == DType::i32, "[{}] index is {}, expected i32", op.name, index);
}
}  // namespace

Tensor gather(const Tensor& x, const Tensor& index) {
  check_index(gather_op, index);
  require(x.rank() >= 1, "[gather] x {} has no rows", x);
  std::vector<std::int64_t> dims(index.shape().begin(), index.shape().end());
  dims.insert(dims.end(), x.shape().begin() + 1, x.shape().end());
  Tensor y = empty(Shape(dims), x.dtype());
  const std::int64_t rows = x.dim(0), length = rows ? x.size() / rows : 0;
  launch(gather_op.name, 0, kernels::gather_rows, x.device(), rows, length, x.view(), index.view(), y.view());
  return record(gather_op, y, {x}, [index, rows](const Call& c) { return Grads{scatter(c.dy, index, rows)}; });
}
Tensor scatter(const Tensor& y, const Tensor& index, std::int64_t rows) {
  check_index(scatter_op, index);
  const int lead = index.rank();
  bool fits = y.rank() >= lead;
  for (int k = 0; k < lead && fits; ++k) fits = y.shape()[k] == index.shape()[k];
  require(fits, "[scatter] y {} does not begin with the axes of index {}", y, index);
  std::vector<std::int64_t> dims{rows};
  dims.insert(dims.end(), y.shape().begin() + lead, y.shape().end());
  Tensor x = empty(Shape(dims), y.dtype());
  const std::int64_t length = rows ? x.size() / rows : 0;
  launch(scatter_op.name, static_cast<double>(y.size()), kernels::scatter_rows, y.device(), rows, length, y.view(),
         index.view(), x.view());
  return record(scatter_op, x, {y}, [index](const Call& c) { return Grads{gather(c.dy, index)}; });
}
Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype) {
  check_index(one_hot_op, index);
  std::vector<std::int64_t> dims(index.shape().begin(), index.shape().end());
  dims.push_back(classes);
  Tensor y = empty(Shape(dims), dtype);
  launch(one_hot_op.name, 0, kernels::one_hot, index.device(), index.view(), y.view());
  return record(one_hot_op, y, {}, nullptr);
}

// ---- images ----

Tensor gather_images(const Tensor& pixels, const Tensor& index, const Tensor& flip, DType dtype) {
  check_index(gather_images_op, index);
  require(pixels.rank() == 4 && pixels.dtype() == DType::u8 && index.rank() == 1 &&
              (!flip || (flip.shape() == index.shape() && flip.dtype() == DType::i32)),
          "[gather_images] pixels {}, index {}, flip {}, expected (count,H,W,C) u8, (N) i32, (N) i32 or none", pixels,
          index, flip);
  Tensor y = empty({index.dim(0), pixels.dim(1), pixels.dim(2), pixels.dim(3)}, dtype);
  launch(gather_images_op.name, 0, kernels::gather_images, y.device(), 2.0 / 255, -1.0, pixels.view(), index.view(),
         flip ? flip.view() : kernels::View{}, y.view());
  return record(gather_images_op, y, {}, nullptr);
}

Tensor avg_pool(const Tensor& x, std::int64_t size) {
  require(x.rank() == 4 && size >= 1 && size <= x.dim(1) && size <= x.dim(2), "[avg_pool] windows of {} on x {}", size,
          x);
  const std::int64_t h = x.dim(1) / size, w = x.dim(2) / size;
  Tensor part = slice(slice(x, 1, 0, h * size), 2, 0, w * size);
  return mean(reshape(part, {x.dim(0), h, size, w, size, x.dim(3)}), {2, 4});
}
Tensor upsample_nearest(const Tensor& x, std::int64_t f) {
  require(x.rank() == 4 && f >= 1, "[upsample_nearest] factor {} on x {}", f, x);
  const std::int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3);
  return reshape(broadcast_to(reshape(x, {n, h, 1, w, 1, c}), {n, h, f, w, f, c}), {n, h * f, w * f, c});
}
Tensor pixel_shuffle(const Tensor& x, std::int64_t r) {
  require(x.rank() == 4 && r >= 1 && x.dim(3) % (r * r) == 0,
          "[pixel_shuffle] {} x {} blocks from the channels of x {}", r, r, x);
  const std::int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3) / (r * r);
  return reshape(permute(reshape(x, {n, h, w, c, r, r}), {0, 1, 4, 2, 5, 3}), {n, h * r, w * r, c});
}

// The place of each maximum is a constant, so both directions are plain moves: gather and scatter on single elements.
Tensor max_pool(const Tensor& x, std::int64_t size) {
  check_image(max_pool_op, x);
  require(size >= 1 && size <= x.dim(1) && size <= x.dim(2), "[max_pool] windows of {} on x {}", size, x);
  Tensor index = empty({x.dim(0), x.dim(1) / size, x.dim(2) / size, x.dim(3)}, DType::i32);
  launch(max_pool_op.name, static_cast<double>(x.size()), kernels::max_pool_index, x.device(), size, x.view(),
         index.view());
  record(max_pool_op, index, {}, nullptr);
  return gather(reshape(x, {x.size()}), index);
}

namespace {
Tensor reflection_pad_grad(const Tensor& dy, std::int64_t p);
}  // namespace

Tensor bilinear(const Tensor& x, std::int64_t height, std::int64_t width) {
  check_image(bilinear_op, x);
  require(x.size() > 0 && height >= 1 && width >= 1, "[bilinear] x {} to {} x {}", x, height, width);
  Tensor y = empty({x.dim(0), height, width, x.dim(3)}, x.dtype());
  launch(bilinear_op.name, 8 * static_cast<double>(y.size()), kernels::bilinear, x.device(), false, x.view(), y.view());
  return record(bilinear_op, y, {x}, [s = x.shape()](const Call& c) { return Grads{bilinear_grad(c.dy, s)}; });
}
Tensor reflection_pad(const Tensor& x, std::int64_t p) {
  check_image(reflection_pad_op, x);
  require(p >= 0 && p < x.dim(1) && p < x.dim(2), "[reflection_pad] {} pixels around x {}", p, x);
  Tensor y = empty({x.dim(0), x.dim(1) + 2 * p, x.dim(2) + 2 * p, x.dim(3)}, x.dtype());
  launch(reflection_pad_op.name, 0, kernels::reflection_pad, x.device(), p, false, x.view(), y.view());
  return record(reflection_pad_op, y, {x}, [p](const Call& c) { return Grads{reflection_pad_grad(c.dy, p)}; });
}

Tensor bilinear_grad(const Tensor& dy, const Shape& shape) {
  check_image(bilinear_grad_op, dy);
  require(shape.rank() == 4 && shape[0] == dy.dim(0) && shape[3] == dy.dim(3) && shape.size() > 0,
          "[bilinear_grad] dy {} for x {}", dy, shape);
  Tensor x = empty(shape, dy.dtype());
  launch(bilinear_grad_op.name, 8 * static_cast<double>(dy.size()), kernels::bilinear, dy.device(), true, x.view(),
         dy.view());
  return record(bilinear_grad_op, x, {dy},
                [h = dy.dim(1), w = dy.dim(2)](const Call& c) { return Grads{bilinear(c.dy, h, w)}; });
}
namespace {
Tensor reflection_pad_grad(const Tensor& dy, std::int64_t p) {
  Tensor x = empty({dy.dim(0), dy.dim(1) - 2 * p, dy.dim(2) - 2 * p, dy.dim(3)}, dy.dtype());
  launch(reflection_pad_grad_op.name, static_cast<double>(dy.size()), kernels::reflection_pad, dy.device(), p, true,
         x.view(), dy.view());
  return record(reflection_pad_grad_op, x, {dy}, [p](const Call& c) { return Grads{reflection_pad(c.dy, p)}; });
}
}  // namespace

}  // namespace duel
