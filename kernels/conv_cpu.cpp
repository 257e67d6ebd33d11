// The fast f32 paths of the convolution triangle on the CPU. For each slot and shape the best of
//   product   a 1x1 stride-1 kernel, or one that covers the whole x map, is a matrix product on the memory as it lies
//   few       conv_gathered.h: few channels in the result, or in an image of a weight gradient
//   columns   conv_gathered.h: slot y on tiny maps
//   onednn    everything else: oneDNN's convolutions on plain NHWC tensors
//   loops     conv_reference.h: f64, what oneDNN refuses, and builds without it
#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "kernels/conv_gathered.h"
#include "kernels/conv_reference.h"
#include "kernels/matmul.h"

#ifdef DUEL_ONEDNN
#include <oneapi/dnnl/dnnl.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace duel::kernels::cpu {
namespace {

#ifdef DUEL_ONEDNN
constexpr bool has_onednn = true;
#else
constexpr bool has_onednn = false;
#endif

constexpr std::int64_t alignment = 64;  // one cache line, one AVX-512 vector

std::int64_t round_up(std::int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
std::byte* aligned(void* p) {
  return reinterpret_cast<std::byte*>(round_up(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(p))));
}

// Product: see the top. Not the weight gradient of a 1x1 kernel on few channels (3->128, 32x32: oneDNN 34 GFLOP/s, the
// product 13).
bool is_product(ConvSlot slot, const ConvGeometry& g) {
  if (g.groups != 1 || g.pad_top != 0 || g.pad_left != 0) return false;
  const bool whole_map = g.yh == 1 && g.yw == 1 && g.xh == g.kh && g.xw == g.kw;
  const bool pointwise = g.kh == 1 && g.kw == 1 && g.stride_h == 1 && g.stride_w == 1 && g.xh == g.yh && g.xw == g.yw;
  return whole_map || (pointwise && !(slot == ConvSlot::w && g.c < 16));
}

// x is (rows, depth), w (O, depth), y (rows, O).
void run_product(ConvSlot slot, const ConvGeometry& g, View a, View b, View out) {
  const std::int64_t rows = g.n * g.yh * g.yw, depth = g.kh * g.kw * g.c;
  if (slot == ConvSlot::x) matmul({.m = rows, .n = depth, .k = g.o}, b, a, out);
  if (slot == ConvSlot::w) matmul({.m = g.o, .n = depth, .k = rows, .transpose_a = true}, b, a, out);
  if (slot == ConvSlot::y) matmul({.m = rows, .n = g.o, .k = depth, .transpose_b = true}, a, b, out);
}

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
    memory::dims size{g.o, c, g.kh, g.kw}, strides{filter, 1, tap, c};
    if (g.groups > 1) {
      size = {g.groups, g.group_o(), c, g.kh, g.kw};
      strides.insert(strides.begin(), g.group_o() * filter);
    }
    w = {size, type, strides};
    w_any = {size, type, memory::format_tag::any};
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
  if (bf16_products()) attr.set_fpmath_mode(fpmath_mode::bf16);
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
    packed_bytes_ = reorders_ ? round_up(static_cast<std::int64_t>(packed.get_size())) : 0;
    convolution_.primitive = dnnl::primitive(pd.get());
    convolution_.argument(slot_ == ConvSlot::x ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, x_);
    convolution_.argument(is_w ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, packed_);
    convolution_.argument(slot_ == ConvSlot::y ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, y_);
    add_scratch(convolution_, pd.scratchpad_desc(), 0);
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

enum class Path : std::uint8_t { loops, product, few, columns, onednn };

Path own_path(ConvSlot slot, const ConvGeometry& g) {
  if (has_onednn && is_product(slot, g)) return Path::product;  // without it the loops of conv_reference.h are as good
  if (has_onednn && is_columns(slot, g)) return Path::columns;
  return is_few(slot, g) ? Path::few : Path::loops;
}

struct Plan {
  Path path;
  int threads;
  std::int64_t bytes = 0;
#ifdef DUEL_ONEDNN
  std::unique_ptr<OneDnnConv> onednn;
#endif

  Plan(ConvSlot slot, const ConvGeometry& g, int thread_count) : path(own_path(slot, g)), threads(thread_count) {
    if (path == Path::few) bytes = few_floats(slot, g, threads) * 4;
    if (path == Path::columns) bytes = columns_floats(g) * 4;
#ifdef DUEL_ONEDNN
    if (path != Path::loops) return;
    try {
      onednn = std::make_unique<OneDnnConv>(slot, g);
      bytes = onednn->bytes();
      path = Path::onednn;
    } catch (const dnnl::error&) {
      // Nothing in oneDNN for this shape: the loops it is.
    }
#endif
  }

  std::int64_t workspace() const { return bytes ? bytes + alignment : 0; }  // room to align the first byte

  bool run(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, std::byte* workspace_begin) {
    auto* floats = reinterpret_cast<float*>(workspace_begin);
    if (path == Path::product) run_product(slot, g, a, b, out);
    if (path == Path::few) run_few(slot, g, a, b, out, floats, threads);
    if (path == Path::columns) run_columns(g, a, b, out, floats);
#ifdef DUEL_ONEDNN
    if (path == Path::onednn) return onednn->run(a, b, out, workspace_begin);
#endif
    return path != Path::loops;
  }
};

// Built once for a slot, shape, thread count (oneDNN fixes the split of the work when a primitive is made) and type.
// Never destroyed: a static object's destructor elsewhere may still convolve.
Plan& plan_for(ConvSlot slot, const ConvGeometry& g) {
  static auto& plans = *new std::map<std::tuple<ConvSlot, int, bool, ConvGeometry>, Plan>;
  static std::mutex mutex;
  const int threads = omp_get_max_threads();
  const std::scoped_lock lock(mutex);
  return plans.try_emplace({slot, threads, bf16_products(), g}, slot, g, threads).first->second;
}

std::atomic<bool> only_reference{false};

bool is_empty(const ConvGeometry& g) { return g.n * g.xh * g.xw * g.c * g.yh * g.yw * g.o * g.kh * g.kw == 0; }

// A workspace that was sized for fewer threads than OpenMP has now is too small: then the loops, which need none.
bool fast_conv(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, View workspace) {
  if (out.dtype != DType::f32 || only_reference || is_empty(g)) return false;
  Plan& plan = plan_for(slot, g);
  return workspace.bytes() >= plan.workspace() && plan.run(slot, g, a, b, out, aligned(workspace.data));
}

}  // namespace

void use_reference(bool on) { only_reference = on; }
bool reference() { return only_reference; }

std::size_t conv_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype) {
  return dtype != DType::f32 || is_empty(g) ? 0 : static_cast<std::size_t>(plan_for(slot, g).workspace());
}

void conv(ConvSlot slot, ConvGeometry g, View a, View b, View out, View workspace) {
  if (fast_conv(slot, g, a, b, out, workspace)) return;
  dispatch_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    reference::conv(slot, g, a.as<T>(), b.as<T>(), out.as<T>());
  });
}

}  // namespace duel::kernels::cpu
