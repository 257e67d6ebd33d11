#ifdef DUEL_CUDA

#include "kernels/gpu/cudnn.h"

#include <fmt/format.h>

#include <stdexcept>

#include "kernels/gpu/library.h"
#ifdef DUEL_CUDNN
#include <cudnn_graph.h>

#include <algorithm>
#include <optional>
#include <utility>
#endif

namespace duel::kernels {

std::string describe(const ConvCase& c) {
  const ConvGeometry& g = c.g;
  return fmt::format("conv {} {} x {}x{}x{}x{} y {}x{}x{}x{} kernel {}x{} stride {}x{} pad {},{} groups {}",
                     c.slot == ConvSlot::x   ? "x"
                     : c.slot == ConvSlot::w ? "w"
                                             : "y",
                     c.dtype == DType::bf16 ? "bf16"
                     : c.tf32               ? "tf32"
                                            : "f32",
                     g.n, g.xh, g.xw, g.c, g.n, g.yh, g.yw, g.o, g.kh, g.kw, g.stride_h, g.stride_w, g.pad_top,
                     g.pad_left, g.groups);
}

std::string describe_cudnn() {
  const std::string why = why_no_cudnn();
  return why.empty() ? fmt::format("cuDNN {}: {}", version_of(cudnn(), "cudnnGetVersion"), cudnn().path())
                     : "cuDNN: " + why;
}

#ifndef DUEL_CUDNN

std::string why_no_cudnn() { return "this program was built without its headers"; }
struct CudnnTarget {};
Cudnn::Cudnn(CUstream_st*) { throw std::runtime_error(why_no_cudnn()); }
Cudnn::Cudnn(const std::string&) { throw std::runtime_error(why_no_cudnn()); }
std::vector<Engine> Cudnn::engines(const ConvCase&) const { return {}; }

#else

std::string why_no_cudnn() { return cudnn().why(); }

namespace {

constexpr std::size_t most_workspace = std::size_t{256} << 20, most_engines = 4;
constexpr std::int64_t alignment = 16;

// The functions that are used, found in the library when the first one is needed.
struct Functions {
#define DUEL_FIND(name) decltype(&::name) name = cudnn().find<decltype(&::name)>(#name)
  DUEL_FIND(cudnnCreate);
  DUEL_FIND(cudnnDestroy);
  DUEL_FIND(cudnnSetStream);
  DUEL_FIND(cudnnGetErrorString);
  DUEL_FIND(cudnnBackendCreateDescriptor);
  DUEL_FIND(cudnnBackendDestroyDescriptor);
  DUEL_FIND(cudnnBackendSetAttribute);
  DUEL_FIND(cudnnBackendGetAttribute);
  DUEL_FIND(cudnnBackendFinalize);
  DUEL_FIND(cudnnBackendExecute);
#undef DUEL_FIND
};
const Functions& lib() {
  static const Functions& f = *new Functions;
  return f;
}
void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw std::runtime_error(fmt::format("cudnn: {}: {}", what, lib().cudnnGetErrorString(status)));
}

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(lib().cudnnBackendCreateDescriptor(type, &handle_), "creating a descriptor");
  }
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Descriptor() {
    if (handle_) lib().cudnnBackendDestroyDescriptor(handle_);
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    return set(name, type, &value, 1);
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T* values,
                  std::int64_t count) {
    check(lib().cudnnBackendSetAttribute(handle_, name, type, count, values), "setting an attribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.handle_);
  }
  Descriptor& finalize(const char* what) {
    check(lib().cudnnBackendFinalize(handle_), what);
    return *this;
  }
  // How many values there are, up to `count` of them into `values`.
  template <class T>
  std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                   T* values) const {
    std::int64_t found = 0;
    check(lib().cudnnBackendGetAttribute(handle_, name, type, count, &found, values), "reading an attribute");
    return found;
  }
  cudnnBackendDescriptor_t handle() const { return handle_; }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

enum Id : std::int64_t { id_x = 'x', id_w = 'w', id_y = 'y' };

// Dimensions in cuDNN's order (images, channels, height, width); in memory the channels are last.
Descriptor tensor(Id id, DType dtype, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  const std::int64_t sizes[] = {n, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
  Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
        dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT);
  t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, sizes, 4);
  t.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides, 4);
  t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, static_cast<std::int64_t>(id));
  t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment);
  t.finalize("a tensor");
  return t;
}

// Below and to the right, such that cuDNN's sizes of y are ours: equal to the padding before where that will do, since
// more engines know it. Negative: there is none.
std::int64_t padding_after(std::int64_t x, std::int64_t y, std::int64_t kernel, std::int64_t stride,
                           std::int64_t before) {
  const std::int64_t least = (y - 1) * stride + kernel - x - before;
  for (const std::int64_t after : {before, std::max<std::int64_t>(least, 0)})
    if (after >= least && after < least + stride) return after;
  return -1;
}

// How the three operands meet.
Descriptor convolution(const ConvGeometry& g) {
  const std::int64_t before[] = {g.pad_top, g.pad_left}, strides[] = {g.stride_h, g.stride_w}, ones[] = {1, 1};
  const std::int64_t after[] = {padding_after(g.xh, g.yh, g.kh, g.stride_h, g.pad_top),
                                padding_after(g.xw, g.yw, g.kw, g.stride_w, g.pad_left)};
  if (after[0] < 0 || after[1] < 0) throw std::runtime_error("cudnn: no padding gives these sizes");
  Descriptor c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  c.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  c.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2});
  c.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, before, 2);
  c.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, after, 2);
  c.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, ones, 2);
  c.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, strides, 2);
  c.finalize("a convolution");
  return c;
}

// What each slot of the triangle calls its operation and the attributes of it.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};
Names names_of(ConvSlot slot) {
  if (slot == ConvSlot::x)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  if (slot == ConvSlot::w)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

// Whether its sums are what the contract says: no operand is rounded on the way, but to tf32 where that is wanted.
bool keeps_contract(const std::vector<cudnnBackendNumericalNote_t>& notes, const ConvCase& c) {
  for (const cudnnBackendNumericalNote_t note : notes) {
    if (note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
      return false;
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && c.dtype == DType::f32 && !c.tf32) return false;
  }
  return true;
}
bool holds(const std::vector<cudnnBackendNumericalNote_t>& notes, cudnnBackendNumericalNote_t note) {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

}  // namespace

// What plans are made for: the handle of a GPU that is here, or the description of one.
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  std::optional<Descriptor> gpu;

  CudnnTarget() = default;
  CudnnTarget(const CudnnTarget&) = delete;
  ~CudnnTarget() {
    if (handle) lib().cudnnDestroy(handle);
  }
};

namespace {

// An engine that is ready to run. Everything that it was made from stays alive with it.
struct Plan {
  Descriptor config, plan{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR};
  std::vector<cudnnBackendNumericalNote_t> notes;
  std::int64_t index = 0, workspace = 0;

  explicit Plan(Descriptor c) : config(std::move(c)) {
    Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t at = engine.handle();
    config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &at);
    engine.get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    notes.resize(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    const auto most = static_cast<std::int64_t>(notes.size());
    const std::int64_t count =
        engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, most, notes.data());
    notes.resize(static_cast<std::size_t>(std::min(count, most)));
  }
  void finalize(const CudnnTarget& target) {
    if (target.gpu)
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.gpu);
    else
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config).finalize("an execution plan");
    plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
  }
};

void execute(cudnnHandle_t handle, const Plan& plan, const ConvCase& c, View a, View b, View out, View workspace) {
  // As in conv.h: a and b are the corners besides the slot, in the order x, w, y.
  void* x = c.slot == ConvSlot::x ? out.data : a.data;
  void* w = c.slot == ConvSlot::w ? out.data : c.slot == ConvSlot::x ? a.data : b.data;
  void* y = c.slot == ConvSlot::y ? out.data : b.data;
  const std::int64_t ids[] = {id_x, id_w, id_y};
  void* const data[] = {x, w, y};
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids, 3);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, data, 3);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace.data);
  pack.finalize("operands");
  check(lib().cudnnBackendExecute(handle, plan.plan.handle(), pack.handle()), "running a convolution");
}

// What cuDNN proposes for the operation, the best first.
std::vector<Descriptor> proposals(const Descriptor& graph, const std::optional<Descriptor>& gpu,
                                  cudnnBackendHeurMode_t mode) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (gpu) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *gpu);
  heuristic.finalize("a heuristic");
  constexpr auto results = CUDNN_ATTR_ENGINEHEUR_RESULTS;
  const std::int64_t most = heuristic.get<cudnnBackendDescriptor_t>(results, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<Descriptor> configs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < most; ++i) {
    configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    handles.push_back(configs.back().handle());
  }
  const std::int64_t found = most ? heuristic.get(results, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data()) : most;
  while (static_cast<std::int64_t>(configs.size()) > found) configs.pop_back();
  return configs;
}

// What the plans of one case are made from, and stay in need of.
struct Problem {
  Names names;
  Descriptor meeting, x, w, y, operation, graph{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};

  Problem(const ConvCase& c, const CudnnTarget& target)
      : names(names_of(c.slot)),
        meeting(convolution(c.g)),
        x(tensor(id_x, c.dtype, c.g.n, c.g.xh, c.g.xw, c.g.c)),
        w(tensor(id_w, c.dtype, c.g.o, c.g.kh, c.g.kw, c.g.group_c())),
        y(tensor(id_y, c.dtype, c.g.n, c.g.yh, c.g.yw, c.g.o)),
        operation(names.operation) {
    operation.set(names.convolution, meeting).set(names.x, x).set(names.w, w).set(names.y, y);
    operation.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f).set(names.beta, CUDNN_TYPE_FLOAT, 0.0f);
    operation.finalize("an operation");
    if (!target.gpu) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalize("an operation graph");
  }
};

// None if the proposal breaks the contract, needs too much memory or cannot be made ready.
std::optional<Engine> engine_of(Descriptor config, const ConvCase& c, std::shared_ptr<const Problem> problem,
                                std::shared_ptr<const CudnnTarget> target) {
  try {
    const auto plan = std::make_shared<Plan>(std::move(config));
    if (!keeps_contract(plan->notes, c)) return {};
    plan->finalize(*target);
    const auto bytes = static_cast<std::size_t>(plan->workspace);
    if (bytes > most_workspace) return {};
    return Engine{fmt::format("engine {}", plan->index), bytes,
                  !holds(plan->notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
                  [=](View a, View b, View out, View workspace) {
                    if (!target->handle) throw std::runtime_error("cudnn: the GPU of this plan is not here");
                    execute(target->handle, *plan, c, a, b, out, workspace);
                    static_cast<void>(problem);
                  }};
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace

Cudnn::Cudnn(CUstream_st* stream) {
  auto target = std::make_shared<CudnnTarget>();
  check(lib().cudnnCreate(&target->handle), "starting");
  check(lib().cudnnSetStream(target->handle, stream), "the stream");
  target_ = std::move(target);
}
Cudnn::Cudnn(const std::string& gpu) {
  auto target = std::make_shared<CudnnTarget>();
  target->gpu.emplace(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  target->gpu->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, gpu.c_str(),
                   static_cast<std::int64_t>(gpu.size() + 1));
  target->gpu->finalize("the description of a GPU");
  target_ = std::move(target);
}

std::vector<Engine> Cudnn::engines(const ConvCase& c) const {
  std::vector<Engine> engines;
  try {
    const auto problem = std::make_shared<const Problem>(c, *target_);
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
      if (!engines.empty()) break;
      for (Descriptor& config : proposals(problem->graph, target_->gpu, mode)) {
        if (engines.size() == most_engines) break;
        std::optional<Engine> engine = engine_of(std::move(config), c, problem, target_);
        if (!engine) continue;
        engine->name = fmt::format("cudnn {} ({})", engines.size(), engine->name);
        engines.push_back(std::move(*engine));
      }
    }
  } catch (const std::exception&) {  // a case that it does not know: those found so far are all there are
  }
  return engines;
}

#endif  // DUEL_CUDNN

}  // namespace duel::kernels

#endif  // DUEL_CUDA
