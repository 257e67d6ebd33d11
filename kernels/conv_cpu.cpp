// The fast f32 paths of the convolution triangle on the CPU. For each slot and shape the best of
//   product   a 1x1 stride-1 kernel, or one that covers the whole x map, is a matrix product on the memory as it lies
//   spread    1 to 4 output channels: own code, see Spread
//   onednn    everything else: oneDNN's convolutions on plain NHWC tensors
//   loops     conv_reference.h: f64, what oneDNN refuses, and builds without it
#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/conv.h"
#include "kernels/conv_reference.h"
#include "kernels/matmul.h"

#ifdef DUEL_ONEDNN
#include <oneapi/dnnl/dnnl.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace duel::kernels::cpu {
namespace {

constexpr std::int64_t alignment = 64;  // one cache line, one AVX-512 vector

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return n > 0 ? (n + d - 1) / d : -(-n / d); }
std::int64_t floor_div(std::int64_t n, std::int64_t d) { return -ceil_div(-n, d); }

std::byte* aligned(void* p) {
  return reinterpret_cast<std::byte*>(round_up(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(p)), 64));
}

// ---------------------------------------------------------------------------------------------------------------
// Product

bool is_product(const ConvGeometry& g) {
  if (g.groups != 1 || g.pad_top != 0 || g.pad_left != 0) return false;
  const bool whole_map = g.yh == 1 && g.yw == 1 && g.xh == g.kh && g.xw == g.kw;
  const bool pointwise = g.kh == 1 && g.kw == 1 && g.stride_h == 1 && g.stride_w == 1 && g.xh == g.yh && g.xw == g.yw;
  return whole_map || pointwise;
}

// x is (rows, depth), w (O, depth), y (rows, O).
void run_product(ConvSlot slot, const ConvGeometry& g, View a, View b, View out) {
  const std::int64_t rows = g.n * g.yh * g.yw, depth = g.kh * g.kw * g.c;
  switch (slot) {
    case ConvSlot::x:
      return matmul({.m = rows, .n = depth, .k = g.o}, b, a, out);
    case ConvSlot::w:
      return matmul({.m = g.o, .n = depth, .k = rows, .transpose_a = true}, b, a, out);
    case ConvSlot::y:
      return matmul({.m = rows, .n = g.o, .k = depth, .transpose_b = true}, a, b, out);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Spread: every pixel of `in` is multiplied by a (depth, kh*kw*width) matrix, and the products are added to the
// output pixels they belong to:
//
//   out[n, i*S+r-P, j*S+s-P, e] += sum over d of in[n,i,j,d] * taps[d, (r,s,e)]
//
// Slot x is this sum as it stands (in = y, d = o, e = c). Slot y of stride 1 is too, with the kernel turned around
// (in = x, d = c, e = o). oneDNN vectorises over the output channels and reaches a fifth of the machine when they are
// 1 to 4; here the vectors run over all kh*kw*width columns.

struct Spread {
  std::int64_t n, in_h, in_w, depth, out_h, out_w, width;
  std::int64_t kh, kw, stride_h, stride_w, pad_top, pad_left;

  std::int64_t columns() const { return round_up(kh * kw * width, 16); }
  std::int64_t column_blocks() const { return (kw + stride_w - 1) / stride_w; }
  // Input rows multiplied at once: 24 KB of products stay in the first-level cache until they are added up.
  std::int64_t chunk() const { return std::clamp<std::int64_t>(6144 / (in_w * columns()), 1, in_h); }
  // Output rows under construction, as wide as the products reach on both sides.
  std::int64_t ring_rows() const { return std::max(kh, stride_h); }
  std::int64_t ring_width() const {
    return std::max((in_w - 1 + column_blocks()) * stride_w, pad_left + out_w) * width;
  }
  // Floats of workspace: the taps, then for each thread products and ring.
  std::int64_t taps_size() const { return depth * columns(); }
  std::int64_t products_size() const { return round_up(chunk() * in_w * columns(), 16); }
  std::int64_t ring_size() const { return round_up(ring_rows() * ring_width(), 16); }
  std::int64_t floats(int threads) const { return taps_size() + threads * (products_size() + ring_size()); }
};

constexpr std::int64_t max_spread_width = 4;

bool is_spread(ConvSlot slot, const ConvGeometry& g) {
  if (g.groups != 1) return false;
  if (slot == ConvSlot::x) return g.c <= max_spread_width;
  return slot == ConvSlot::y && g.o <= max_spread_width && g.stride_h == 1 && g.stride_w == 1 && g.pad_top < g.kh &&
         g.pad_left < g.kw;
}

Spread make_spread(ConvSlot slot, const ConvGeometry& g) {
  if (slot == ConvSlot::x)
    return {g.n, g.yh, g.yw, g.o, g.xh, g.xw, g.c, g.kh, g.kw, g.stride_h, g.stride_w, g.pad_top, g.pad_left};
  return {g.n, g.xh, g.xw, g.c, g.yh, g.yw, g.o, g.kh, g.kw, 1, 1, g.kh - 1 - g.pad_top, g.kw - 1 - g.pad_left};
}

// Columns of `taps` come in panels of up to 48; a panel lies depth-major, so that the product reads it in order.
void pack_taps(ConvSlot slot, const ConvGeometry& g, const Spread& p, const float* w, float* taps) {
  for (std::int64_t first = 0; first < p.columns(); first += 48) {
    const std::int64_t panel = std::min<std::int64_t>(48, p.columns() - first);
    for (std::int64_t d = 0; d < p.depth; ++d)
      for (std::int64_t q = first; q < first + panel; ++q) {
        const std::int64_t e = q % p.width, s = q / p.width % p.kw, r = q / p.width / p.kw;
        float tap = 0;
        if (r < p.kh)
          tap = slot == ConvSlot::x ? w[((d * p.kh + r) * p.kw + s) * p.width + e]
                                    : w[((e * p.kh + g.kh - 1 - r) * p.kw + g.kw - 1 - s) * p.depth + d];
        *taps++ = tap;
      }
  }
}

typedef float Vector __attribute__((vector_size(64)));
typedef float UnalignedVector __attribute__((vector_size(64), aligned(4)));

// out (rows, 16*vecs) = in (rows, depth) * panel (depth, 16*vecs), held in registers.
template <int rows, int vecs>
[[gnu::always_inline]] inline void product_tile(std::int64_t depth, const float* in, const float* panel, float* out,
                                                std::int64_t columns) {
  Vector sum[rows][vecs] = {};
  for (std::int64_t d = 0; d < depth; ++d, panel += 16 * vecs)
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v)
        sum[i][v] += in[i * depth + d] * *reinterpret_cast<const UnalignedVector*>(panel + 16 * v);
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) *reinterpret_cast<UnalignedVector*>(out + i * columns + 16 * v) = sum[i][v];
}

template <int rows, int vecs>
[[gnu::always_inline]] inline void product_panel(std::int64_t pixels, std::int64_t depth, const float* in,
                                                 const float* panel, float* out, std::int64_t columns) {
  std::int64_t i = 0;
  for (; i + rows <= pixels; i += rows)
    product_tile<rows, vecs>(depth, in + i * depth, panel, out + i * columns, columns);
  for (; i + 2 <= pixels; i += 2) product_tile<2, vecs>(depth, in + i * depth, panel, out + i * columns, columns);
  for (; i < pixels; ++i) product_tile<1, vecs>(depth, in + i * depth, panel, out + i * columns, columns);
}

// rows1..3: rows of a tile that is 1 to 3 vectors wide; what fits the register file.
template <int rows1, int rows2, int rows3>
[[gnu::always_inline]] inline void product(std::int64_t pixels, std::int64_t depth, const float* in, const float* taps,
                                           float* out, std::int64_t columns) {
  for (std::int64_t first = 0; first < columns; first += 48, taps += 48 * depth) switch ((columns - first) / 16) {
      case 1:
        product_panel<rows1, 1>(pixels, depth, in, taps, out + first, columns);
        break;
      case 2:
        product_panel<rows2, 2>(pixels, depth, in, taps, out + first, columns);
        break;
      default:
        product_panel<rows3, 3>(pixels, depth, in, taps, out + first, columns);
    }
}

using Product = void (*)(std::int64_t, std::int64_t, const float*, const float*, float*, std::int64_t);

void product_any(std::int64_t pixels, std::int64_t depth, const float* in, const float* taps, float* out,
                 std::int64_t columns) {
  product<6, 3, 2>(pixels, depth, in, taps, out, columns);
}

#ifdef __x86_64__
// The rest of Duel is built for AVX2; these few loops are worth a second build, chosen at run time.
[[gnu::target("avx512f")]] void product_avx512(std::int64_t pixels, std::int64_t depth, const float* in,
                                               const float* taps, float* out, std::int64_t columns) {
  product<8, 8, 8>(pixels, depth, in, taps, out, columns);
}
const Product best_product = __builtin_cpu_supports("avx512f") ? product_avx512 : product_any;
#else
const Product best_product = product_any;
#endif

// to[j*step + q] += from[j*columns + q] for q < length: neighbouring j write side by side and never overlap.
template <int length>
void add_blocks(std::int64_t count, std::int64_t step, std::int64_t columns, const float* from, float* to) {
  for (std::int64_t j = 0; j < count; ++j, from += columns, to += step)
    for (int q = 0; q < length; ++q) to[q] += from[q];
}

void add_blocks(std::int64_t length, std::int64_t count, std::int64_t step, std::int64_t columns, const float* from,
                float* to) {
  switch (length) {
    case 1:
      return add_blocks<1>(count, step, columns, from, to);
    case 2:
      return add_blocks<2>(count, step, columns, from, to);
    case 3:
      return add_blocks<3>(count, step, columns, from, to);
    case 4:
      return add_blocks<4>(count, step, columns, from, to);
    case 6:
      return add_blocks<6>(count, step, columns, from, to);
    case 8:
      return add_blocks<8>(count, step, columns, from, to);
  }
  for (std::int64_t j = 0; j < count; ++j, from += columns, to += step)
    for (std::int64_t q = 0; q < length; ++q) to[q] += from[q];
}

// One image's output rows [first, last): the ring holds the rows that later input rows still add to; a row that is
// complete is written out and its place cleared.
struct SpreadBand {
  const Spread& p;
  float* products;
  float* ring;
  float* out;                    // the image
  std::int64_t first, last;      // of out's rows
  std::int64_t written = first;  // rows before this one are complete

  float* ring_row(std::int64_t row) const { return ring + (row + p.pad_top) % p.ring_rows() * p.ring_width(); }

  void write_before(std::int64_t end) {
    for (end = std::min(end, last); written < end; ++written) {
      float* row = ring_row(written);
      std::copy_n(row + p.pad_left * p.width, p.out_w * p.width, out + written * p.out_w * p.width);
      std::fill_n(row, p.ring_width(), 0.f);
    }
  }

  void add_row(std::int64_t i, const float* row_products) {
    for (std::int64_t r = 0; r < p.kh; ++r) {
      const std::int64_t row = i * p.stride_h + r - p.pad_top;
      if (row < first || row >= last) continue;
      for (std::int64_t s = 0; s < p.kw; s += p.stride_w)
        add_blocks(std::min(p.stride_w, p.kw - s) * p.width, p.in_w, p.stride_w * p.width, p.columns(),
                   row_products + (r * p.kw + s) * p.width, ring_row(row) + s * p.width);
    }
  }

  void run(const float* in, const float* taps) {
    std::fill_n(ring, p.ring_rows() * p.ring_width(), 0.f);
    const std::int64_t begin = std::max<std::int64_t>(0, ceil_div(first + p.pad_top - p.kh + 1, p.stride_h));
    const std::int64_t end = std::min(p.in_h, floor_div(last - 1 + p.pad_top, p.stride_h) + 1);
    for (std::int64_t i = begin; i < end; i += p.chunk()) {
      const std::int64_t rows = std::min(p.chunk(), end - i);
      best_product(rows * p.in_w, p.depth, in + i * p.in_w * p.depth, taps, products, p.columns());
      for (std::int64_t k = 0; k < rows; ++k) {
        write_before((i + k) * p.stride_h - p.pad_top);
        add_row(i + k, products + k * p.in_w * p.columns());
      }
    }
    write_before(last);
  }
};

// Images are cut into bands of rows when there are too few of them for the threads; a band's edge rows are then
// multiplied twice. The order of the sums does not depend on the cut.
void run_spread(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, float* workspace, int threads) {
  const Spread p = make_spread(slot, g);
  const float* in = (slot == ConvSlot::x ? b : a).as<float>();
  float* taps = workspace;
  pack_taps(slot, g, p, (slot == ConvSlot::x ? a : b).as<float>(), taps);
  const std::int64_t bands = p.n % threads == 0 || p.n >= 4 * threads ? 1 : std::min<std::int64_t>(threads, p.out_h);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t unit = 0; unit < p.n * bands; ++unit) {
    const std::int64_t image = unit / bands, band = unit % bands;
    float* products = taps + p.taps_size() + omp_get_thread_num() * (p.products_size() + p.ring_size());
    SpreadBand{p,
               products,
               products + p.products_size(),
               out.as<float>() + image * p.out_h * p.out_w * p.width,
               band * p.out_h / bands,
               (band + 1) * p.out_h / bands}
        .run(in + image * p.in_h * p.in_w * p.depth, taps);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// oneDNN

#ifdef DUEL_ONEDNN
using dnnl::memory;

// The three tensors' descriptors: activations plain NHWC, weights OHWI as they lie (`w`) and left to the primitive
// to choose (`w_any`).
struct Descriptors {
  memory::desc x, w, w_any, y;

  explicit Descriptors(const ConvGeometry& g) {
    const auto type = memory::data_type::f32;
    x = {{g.n, g.c, g.xh, g.xw}, type, memory::format_tag::nhwc};
    y = {{g.n, g.o, g.yh, g.yw}, type, memory::format_tag::nhwc};
    const std::int64_t c = g.group_c(), tap = g.kw * c, filter = g.kh * tap;
    if (g.groups == 1) {
      w = {{g.o, c, g.kh, g.kw}, type, memory::dims{filter, 1, tap, c}};
      w_any = {{g.o, c, g.kh, g.kw}, type, memory::format_tag::any};
    } else {
      w = {{g.groups, g.group_o(), c, g.kh, g.kw}, type, memory::dims{g.group_o() * filter, filter, 1, tap, c}};
      w_any = {{g.groups, g.group_o(), c, g.kh, g.kw}, type, memory::format_tag::any};
    }
  }
};

// The primitive of a slot. Forward training also for slot y alone: inference picks nothing else in f32.
dnnl::primitive_desc describe(ConvSlot slot, const ConvGeometry& g, const dnnl::engine& engine) {
  using namespace dnnl;
  const Descriptors d(g);
  const memory::dims strides{g.stride_h, g.stride_w}, before{g.pad_top, g.pad_left};
  const memory::dims after{(g.yh - 1) * g.stride_h + g.kh - g.xh - g.pad_top,    // negative where rows of x
                           (g.yw - 1) * g.stride_w + g.kw - g.xw - g.pad_left};  // reach no y
  const auto direct = algorithm::convolution_direct;
  primitive_attr attr;
  attr.set_scratchpad_mode(scratchpad_mode::user);
  const convolution_forward::primitive_desc forward(
      {prop_kind::forward_training, direct, d.x, d.w_any, d.y, strides, before, after}, attr, engine);
  if (slot == ConvSlot::y) return forward;
  if (slot == ConvSlot::x)
    return convolution_backward_data::primitive_desc({direct, d.x, d.w_any, d.y, strides, before, after}, attr, engine,
                                                     forward);
  return convolution_backward_weights::primitive_desc({direct, d.x, d.w_any, d.y, strides, before, after}, attr, engine,
                                                      forward);
}

// One primitive with its arguments, made once: a call only sets addresses, and executing through the C interface
// spares the map that the C++ one builds.
struct Call {
  dnnl::primitive primitive;
  std::array<dnnl_exec_arg_t, 4> args{};
  int count = 0;

  void argument(int name, const memory& m) { args[static_cast<std::size_t>(count++)] = {name, m.get()}; }
  bool run(const dnnl::stream& stream) const {
    return dnnl_primitive_execute(primitive.get(), stream.get(), count, args.data()) == dnnl_success;
  }
};

// A convolution and, before or after it, the reorder between the weights as they lie and the primitive's own layout.
// Workspace: the weights in that layout, then scratch.
class OneDnnConv {
 public:
  OneDnnConv(ConvSlot slot, const ConvGeometry& g)
      : slot_(slot), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    const Descriptors d(g);
    const dnnl::primitive_desc pd = describe(slot, g, engine_);
    const bool is_w = slot == ConvSlot::w;
    const memory::desc packed = pd.query_md(is_w ? dnnl::query::diff_weights_md : dnnl::query::weights_md);
    reorders_ = packed != d.w;
    x_ = memory(d.x, engine_, nullptr);
    y_ = memory(d.y, engine_, nullptr);
    w_ = memory(d.w, engine_, nullptr);
    packed_ = reorders_ ? memory(packed, engine_, nullptr) : w_;
    packed_bytes_ = reorders_ ? round_up(static_cast<std::int64_t>(packed.get_size()), alignment) : 0;
    make_convolution(pd);
    if (reorders_) make_reorder(is_w ? packed_ : w_, is_w ? w_ : packed_);
  }

  std::int64_t bytes() const { return packed_bytes_ + scratch_bytes_; }

  bool run(View a, View b, View out, std::byte* workspace) {
    const std::scoped_lock lock(one_call_);
    set(x_, slot_ == ConvSlot::x ? out : a);
    set(w_, slot_ == ConvSlot::x ? a : slot_ == ConvSlot::w ? out : b);
    set(y_, slot_ == ConvSlot::y ? out : b);
    if (reorders_) dnnl_memory_set_data_handle(packed_.get(), workspace);
    for (const memory& scratch : scratch_)
      if (scratch) dnnl_memory_set_data_handle(scratch.get(), workspace + packed_bytes_);
    if (!reorders_) return convolution_.run(stream_);
    const bool is_w = slot_ == ConvSlot::w;
    return (is_w ? convolution_ : reorder_).run(stream_) && (is_w ? reorder_ : convolution_).run(stream_);
  }

 private:
  void make_convolution(const dnnl::primitive_desc& pd) {
    convolution_.primitive = dnnl::primitive(pd.get());
    convolution_.argument(slot_ == ConvSlot::x ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, x_);
    convolution_.argument(slot_ == ConvSlot::w ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, packed_);
    convolution_.argument(slot_ == ConvSlot::y ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, y_);
    add_scratch(convolution_, pd.scratchpad_desc(), 0);
  }

  void make_reorder(const memory& from, const memory& to) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::reorder::primitive_desc pd(from, to, attr);
    reorder_.primitive = dnnl::reorder(pd);
    reorder_.argument(DNNL_ARG_FROM, from);
    reorder_.argument(DNNL_ARG_TO, to);
    add_scratch(reorder_, pd.scratchpad_desc(), 1);
  }

  void add_scratch(Call& call, const memory::desc& desc, std::size_t which) {
    scratch_[which] = memory(desc, engine_, nullptr);
    scratch_bytes_ = std::max(scratch_bytes_, static_cast<std::int64_t>(desc.get_size()));
    call.argument(DNNL_ARG_SCRATCHPAD, scratch_[which]);
  }

  static void set(const memory& m, View v) { dnnl_memory_set_data_handle(m.get(), v.data); }

  ConvSlot slot_;
  std::mutex one_call_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  Call convolution_, reorder_;
  memory x_, w_, packed_, y_;
  std::array<memory, 2> scratch_;
  std::int64_t packed_bytes_ = 0, scratch_bytes_ = 0;
  bool reorders_ = false;
};
#endif

// ---------------------------------------------------------------------------------------------------------------
// The choice

struct Plan {
  enum class Path : std::uint8_t { loops, product, spread, onednn } path = Path::loops;
  std::int64_t bytes = 0;
  int threads = 1;
#ifdef DUEL_ONEDNN
  std::unique_ptr<OneDnnConv> onednn;
#endif

  Plan(ConvSlot slot, const ConvGeometry& g, int thread_count) : threads(thread_count) {
    if (is_spread(slot, g)) {
      path = Path::spread;
      bytes = make_spread(slot, g).floats(threads) * 4;
      return;
    }
#ifdef DUEL_ONEDNN
    if (is_product(g)) {
      path = Path::product;
      return;
    }
    try {
      onednn = std::make_unique<OneDnnConv>(slot, g);
      bytes = onednn->bytes();
      path = Path::onednn;
    } catch (const dnnl::error&) {
      // Nothing in oneDNN for this shape: the loops it is.
    }
#endif
  }

  bool run(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, std::byte* workspace) {
    switch (path) {
      case Path::loops:
        return false;
      case Path::product:
        run_product(slot, g, a, b, out);
        return true;
      case Path::spread:
        run_spread(slot, g, a, b, out, reinterpret_cast<float*>(workspace), threads);
        return true;
      case Path::onednn:
        break;
    }
#ifdef DUEL_ONEDNN
    return onednn->run(a, b, out, workspace);
#else
    return false;
#endif
  }
};

// Built once for a slot, shape and thread count (oneDNN fixes the split of the work when a primitive is made).
// Never destroyed: a static object's destructor elsewhere may still convolve.
Plan& plan_for(ConvSlot slot, const ConvGeometry& g) {
  using Key = std::array<std::int64_t, 16>;
  static auto& plans = *new std::map<Key, Plan>;
  static std::mutex mutex;
  const int threads = omp_get_max_threads();
  const Key key{static_cast<std::int64_t>(slot),
                threads,
                g.n,
                g.xh,
                g.xw,
                g.c,
                g.yh,
                g.yw,
                g.o,
                g.kh,
                g.kw,
                g.stride_h,
                g.stride_w,
                g.pad_top,
                g.pad_left,
                g.groups};
  const std::scoped_lock lock(mutex);
  return plans.try_emplace(key, slot, g, threads).first->second;
}

std::atomic<bool> only_reference{false};

bool is_empty(const ConvGeometry& g) { return g.n * g.xh * g.xw * g.c * g.yh * g.yw * g.o * g.kh * g.kw == 0; }

}  // namespace

void use_reference(bool on) { only_reference = on; }
bool reference() { return only_reference; }

std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype) {
  if (dtype != DType::f32 || is_empty(g)) return 0;
  const std::int64_t bytes = plan_for(slot, g).bytes;
  return bytes ? static_cast<std::size_t>(bytes + alignment) : 0;  // room to align the first byte
}

void conv(ConvSlot slot, ConvGeometry g, View a, View b, View out, View workspace) {
  if (out.dtype == DType::f32 && !reference() && !is_empty(g) &&
      plan_for(slot, g).run(slot, g, a, b, out, aligned(workspace.data)))
    return;
  dispatch_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    reference::conv(slot, g, a.as<T>(), b.as<T>(), out.as<T>());
  });
}

}  // namespace duel::kernels::cpu
