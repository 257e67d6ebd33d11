// GPU path of kernels/conv.h. For each slot and shape one of
//   matmul    a 1x1 stride-1 kernel, or one that covers the whole x map, is a matrix product on the memory as it lies
//   library   an engine of cuDNN, where that is wanted and better: gpu/engines.h
//   few       few channels in the image or in the result of slots x and y: conv_few.cuh
//   product   everything else: a product whose operand is gathered from an image (product.h)
#include "kernels/conv.h"
#include "kernels/conv_finish.h"
#include "kernels/gpu/conv_few.cuh"
#include "kernels/gpu/engines.h"
#include "kernels/gpu/moments.h"
#include "kernels/gpu/product.h"
#include "kernels/norm.h"

namespace duel::kernels::DUEL_GPU {
namespace {

std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }

bool is_matmul(const ConvGeometry& g) {
  if (g.groups != 1 || g.pad_top != 0 || g.pad_left != 0) return false;
  const bool whole_map = g.yh == 1 && g.yw == 1 && g.xh == g.kh && g.xw == g.kw;
  const bool pointwise = g.kh == 1 && g.kw == 1 && g.stride_h == 1 && g.stride_w == 1 && g.xh == g.yh && g.xw == g.yw;
  return whole_map || pointwise;
}

// x is (rows, depth), w (O, depth), y (rows, O).
MatmulShape matmul_of(ConvSlot slot, const ConvGeometry& g) {
  const std::int64_t rows = g.n * g.yh * g.yw, depth = g.kh * g.kw * g.c;
  if (slot == ConvSlot::x) return {.m = rows, .n = depth, .k = g.o};
  if (slot == ConvSlot::w) return {.m = g.o, .n = depth, .k = rows, .transpose_a = true};
  return {.m = rows, .n = g.o, .k = depth, .transpose_b = true};
}

// Slot x gathers from y, the others from x.
Gather gather_of(ConvSlot slot, const ConvGeometry& g) {
  const bool phased = slot == ConvSlot::x;
  const auto axis = [&](std::int64_t x, std::int64_t y, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
    const std::int64_t grid = phased ? x : y, image = phased ? y : x;
    return Axis{static_cast<int>(grid),   static_cast<int>(image), static_cast<int>(kernel),
                static_cast<int>(stride), static_cast<int>(pad),   phased};
  };
  Gather to;
  to.h = axis(g.xh, g.yh, g.kh, g.stride_h, g.pad_top);
  to.w = axis(g.xw, g.yw, g.kw, g.stride_w, g.pad_left);
  to.rows = Divider(ceil_div(to.h.grid, to.h.phases()));
  to.columns = Divider(ceil_div(to.w.grid, to.w.phases()));
  to.pixels = static_cast<int>(g.n * ceil_div(to.h.grid, to.h.phases()) * ceil_div(to.w.grid, to.w.phases()));
  to.channels = Divider(phased ? g.group_o() : g.group_c());
  to.pixel_step = phased ? g.o : g.c;
  return to;
}

Product product_of(ConvSlot slot, const ConvGeometry& g, View a, View b, View out) {
  const std::int64_t taps = g.kh * g.kw * g.group_c();  // weights of one output channel
  Product p;
  p.gather = gather_of(slot, g);
  p.image = slot == ConvSlot::x ? b.data : a.data;
  p.other = slot == ConvSlot::x ? a.data : b.data;
  p.out = out.data;
  p.batch = static_cast<int>(g.groups);
  p.image_batch = slot == ConvSlot::x ? g.group_o() : g.group_c();
  p.other_batch = slot == ConvSlot::w ? g.group_o() : g.group_o() * taps;
  p.out_batch = slot == ConvSlot::x ? g.group_c() : slot == ConvSlot::w ? g.group_o() * taps : g.group_o();
  p.extent = static_cast<int>(slot == ConvSlot::x ? g.group_c() : g.group_o());
  p.other_step = slot == ConvSlot::w ? g.o : taps;
  p.tap_step = g.group_c();
  p.row_step = slot == ConvSlot::x ? g.c : slot == ConvSlot::w ? taps : g.o;
  p.out_size = slot == ConvSlot::x   ? g.n * g.xh * g.xw * g.c
               : slot == ConvSlot::w ? g.o * taps
                                     : g.n * g.yh * g.yw * g.o;
  return p;
}

Few few_of(ConvSlot slot, const ConvGeometry& g) {
  const std::int64_t taps = g.kh * g.kw * g.c;
  const bool to_x = slot == ConvSlot::x;
  return {gather_of(slot, g), static_cast<int>(to_x ? g.c : g.o), to_x ? 1 : taps, to_x ? taps : 1, g.c, {}};
}
// Weights of one of the many channels that a phase meets at most.
std::int64_t weights(const Few& f, std::int64_t few) {
  const auto taps = [](const Axis& a) { return ceil_div(a.kernel, a.phases()); };
  return taps(f.gather.h) * taps(f.gather.w) * few;
}
bool fits(const Few& f, std::int64_t few) { return few <= few_channels && weights(f, few) <= few_weights; }
bool is_few(ConvSlot slot, const ConvGeometry& g) {
  if (slot == ConvSlot::w || g.groups != 1 || g.c * g.o == 0) return false;
  const Few f = few_of(slot, g);
  return f.gather.phases() <= 65535 && (fits(f, f.gather.channels.divisor) || fits(f, f.columns));
}

template <class T>
void run_few(ConvSlot slot, const ConvGeometry& g, const Finish& finish, View a, View b, View out) {
  Few f = few_of(slot, g);
  f.finish = finish;
  const T *image = (slot == ConvSlot::x ? b : a).as<T>(), *w = (slot == ConvSlot::x ? a : b).as<T>();
  const auto blocks = static_cast<unsigned>(ceil_div(f.gather.pixels, few_block_pixels));
  const auto slices = static_cast<unsigned>(ceil_div(f.columns, few_slice));
  const auto phases = static_cast<unsigned>(f.gather.phases());
  const auto bytes = [&](std::int64_t few) {
    return static_cast<std::size_t>(weights(f, few)) * few_slice * sizeof(float);
  };
  if (fits(f, f.gather.channels.divisor))
    LAUNCH((conv_from_few<T>), dim3(blocks, slices, phases), block_threads, bytes(f.gather.channels.divisor), f, image,
           w, out.as<T>());
  else
    LAUNCH((conv_to_few<T>), dim3(blocks, 1, phases), block_threads, bytes(f.columns), f, image, w, out.as<T>());
}

NormShape channels_of(ConvSlot slot, const ConvGeometry& g) {
  const bool to_x = slot == ConvSlot::x;
  return {1, to_x ? g.n * g.xh * g.xw : g.n * g.yh * g.yw, to_x ? g.c : g.o, 1};
}
// Whether the tiles of a product leave their moments, and in how many pieces.
int pieces_of(ConvSlot slot, const ConvGeometry& g, DType dtype) {
  if (is_matmul(g) || is_few(slot, g)) return 0;
  return moment_pieces(slot, product_of(slot, g, {}, {}, {}), dtype);
}

}  // namespace

std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype, bool statistics) {
  std::size_t bytes = is_matmul(g)      ? matmul_workspace(matmul_of(slot, g), dtype)
                      : is_few(slot, g) ? 0
                                        : product_workspace(slot, product_of(slot, g, {}, {}, {}), dtype);
  bytes = std::max(bytes, is_matmul(g) ? 0 : library_workspace(slot, g, dtype).value_or(0));
  if (!statistics) return bytes;
  const NormShape shape = channels_of(slot, g);
  const std::int64_t pieces = pieces_of(slot, g, dtype);
  const std::int64_t scratch = norm_statistics_scratch(Device::cuda, shape);
  // Tiles leave no moments of a tanh, nor does a library's engine.
  const std::int64_t floats = std::max(pieces * (2 * shape.g + 1), scratch);
  return std::max(bytes, static_cast<std::size_t>(floats) * sizeof(float));
}

void conv_finished(ConvSlot slot, ConvGeometry g, ConvFinish finish, View a, View b, View bias, View out, View mean,
                   View rstd, View workspace) {
  const Finish f{bias.data, static_cast<float>(finish.slope), finish.tanh};
  const NormShape shape = channels_of(slot, g);
  int pieces = 0;
  if (out.size() == 0) {
  } else if (is_matmul(g)) {
    const bool exchanged = slot != ConvSlot::y;
    run_matmul(matmul_of(slot, g), exchanged ? b : a, exchanged ? a : b, out, workspace);
    finish_in_place(&map, finish, bias, out);
  } else if (library_conv(slot, g, a, b, out, workspace)) {
    finish_in_place(&map, finish, bias, out);
  } else if (is_few(slot, g)) {
    dispatch_storage(out.dtype, [&](auto t) { run_few<decltype(t)>(slot, g, f, a, b, out); });
  } else {
    Product p = product_of(slot, g, a, b, out);
    if (!f.tanh) p.finish = f;
    pieces = mean && !f.tanh ? moment_pieces(slot, p, out.dtype) : 0;
    if (pieces) {
      auto* pairs = workspace.as<float2>();
      p.moments = {pairs, reinterpret_cast<float*>(pairs + shape.g * pieces), pieces};
    }
    run_product(slot, p, out.dtype, workspace);
    if (f.tanh) finish_in_place(&map, finish, bias, out);
  }
  if (mean && pieces)
    merge_moments(shape, finish.eps, workspace.as<float2>(), pieces, mean.as<float>(), rstd.as<float>());
  else if (mean)
    norm_statistics(shape, finish.eps, out, mean, rstd, workspace);
}

void conv(ConvSlot slot, ConvGeometry g, View a, View b, View out, View workspace) {
  conv_finished(slot, g, {}, a, b, {}, out, {}, {}, workspace);
}

}  // namespace duel::kernels::DUEL_GPU
