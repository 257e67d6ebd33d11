#ifdef DUEL_CUDA

#include "kernels/gpu/engines.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <utility>

#include "kernels/gpu/cublas_lt.h"
#include "kernels/gpu/cudnn.h"
#include "kernels/gpu/library.h"
#include "kernels/gpu/stream.h"
#include "kernels/random.h"

namespace duel::kernels::cuda {
namespace {

constexpr std::size_t workspace_alignment = 256;

thread_local bool only_own = false;  // while our own kernels run for a trial
struct OnlyOwn {
  bool before = std::exchange(only_own, true);
  ~OnlyOwn() { only_own = before; }
};

// Memory for a trial, apart from everything else's.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : bytes_(bytes) {
    if (cudaMalloc(&data_, std::max<std::size_t>(bytes, 1)) == cudaSuccess) return;
    cudaGetLastError();
    throw std::runtime_error("cuda: no memory for a trial");
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { cudaFree(data_); }
  View as(DType dtype) const { return {data_, dtype, 1, {static_cast<std::int64_t>(bytes_ / size_of(dtype))}}; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

// Random operands, the same every time: those of a training may all be zero when the engine is chosen.
class Operands {
 public:
  Operands(DType dtype, std::int64_t a, std::int64_t b, std::int64_t out, std::span<const Engine> engines)
      : dtype_(dtype), a_(bytes(a)), b_(bytes(b)), out_(bytes(out)), workspace_(most_workspace(engines)), step_(8) {
    const std::int64_t zero = 0;
    driver(Device::cuda).copy_in(step_.as(DType::i64).data, &zero, sizeof zero);
    random(Random::normal, 1, 0, 0, 1, step_.as(DType::i64), a_.as(dtype));
    random(Random::normal, 1, 1, 0, 1, step_.as(DType::i64), b_.as(dtype));
  }
  Trial trial() const {
    return {[this](const Engine& e) { return result(e); }, [this](const Engine& e) { return seconds(e); },
            [] { driver(Device::cuda).synchronize(); }};
  }

 private:
  std::size_t bytes(std::int64_t elements) const { return static_cast<std::size_t>(elements) * size_of(dtype_); }
  static std::size_t most_workspace(std::span<const Engine> engines) {
    std::size_t most = 0;
    for (const Engine& e : engines) most = std::max(most, e.workspace);
    return most;
  }
  void run(const Engine& e) const { e.run(a_.as(dtype_), b_.as(dtype_), out_.as(dtype_), workspace_.as(DType::u8)); }
  std::vector<float> result(const Engine& e) const {
    const View out = out_.as(dtype_);
    // All ones are no number, in f32 and in bf16.
    if (cudaMemsetAsync(out.data, 0xff, static_cast<std::size_t>(out.bytes()), stream()) != cudaSuccess)
      throw std::runtime_error("cuda: clearing memory");
    run(e);
    std::vector<float> values(static_cast<std::size_t>(out.size()));
    if (dtype_ == DType::bf16) {
      std::vector<bf16> stored(values.size());
      driver(Device::cuda).copy_out(stored.data(), out.data, stored.size() * sizeof(bf16));
      std::copy(stored.begin(), stored.end(), values.begin());
    } else {
      driver(Device::cuda).copy_out(values.data(), out.data, values.size() * sizeof(float));
    }
    return values;
  }
  // A millisecond or 20 times, the shorter of the two, behind a run that is not counted.
  double seconds(const Engine& e) const {
    const double once = driver(Device::cuda).seconds([&] { run(e); });
    const int times = std::clamp(static_cast<int>(1e-3 / std::max(once, 1e-6)), 1, 20);
    // As one graph, as in a Step: what the host does for each call takes no time there.
    return driver(Device::cuda).seconds(driver(Device::cuda).repeated([&] {
      for (int i = 0; i < times; ++i) run(e);
    })) / times;
  }

  DType dtype_;
  Buffer a_, b_, out_, workspace_, step_;
};

// Of the root of the mean square. Sums of products rounded to f32 stay far below the first; those of tf32 would not.
double tolerance(DType dtype, bool tf32) { return dtype == DType::bf16 ? 0.05 : tf32 ? 0.02 : 3e-4; }

std::string environment() {
  cudaDeviceProp gpu{};
  int driver_version = 0;
  if (cudaGetDeviceProperties(&gpu, 0) != cudaSuccess || cudaDriverGetVersion(&driver_version) != cudaSuccess)
    throw std::runtime_error("cuda: the GPU does not say what it is");
  return fmt::format("{}, driver {}, {}, {}, duel {}", gpu.name, driver_version,
                     cublas_lt() ? "cuBLASLt " + version_of(cublas_lt(), "cublasLtGetVersion") : "no cuBLASLt",
                     cudnn() ? "cuDNN " + version_of(cudnn(), "cudnnGetVersion") : "no cuDNN", DUEL_VERSION);
}

struct Choice {
  std::string key;
  std::optional<Engine> engine;  // none: our own kernel
};

class Engines {
 public:
  void choose(Prefer prefer, bool deterministic) {
    const std::scoped_lock lock(mutex_);
    // A recorded graph may still run them.
    for (auto& [c, choice] : matmuls_) retired_.push_back(std::move(choice));
    for (auto& [c, choice] : convs_) retired_.push_back(std::move(choice));
    matmuls_.clear();
    convs_.clear();
    prefer_ = prefer;
    if (prefer == Prefer::own && !tuner_) return;
    if (!tuner_) {
      driver(Device::cuda).synchronize();  // makes the GPU's context
      tuner_ = std::make_unique<Tuner>(environment(), default_tuner_cache());
      if (why_no_cublas_lt().empty()) cublas_lt_ = std::make_unique<CublasLt>(stream());
      if (why_no_cudnn().empty()) cudnn_ = std::make_unique<Cudnn>(stream());
    }
    tuner_->set(prefer, deterministic);
  }

  Choice* of(const ConvCase& c) {
    if (!cudnn_ || c.g.flops() == 0) return nullptr;
    return find(convs_, c, [&] {
      const ConvGeometry& g = c.g;
      std::vector<Engine> engines = cudnn_->engines(c);
      const auto own = [c](View a, View b, View out, View w) { conv(c.slot, c.g, a, b, out, w); };
      engines.insert(engines.begin(), own_engine(conv_workspace(c.slot, g, c.dtype, false), own));
      const std::int64_t x = g.n * g.xh * g.xw * g.c, w = g.o * g.kh * g.kw * g.group_c(), y = g.n * g.yh * g.yw * g.o;
      return pick(describe(c), std::move(engines), c.dtype, c.tf32, c.slot == ConvSlot::x ? w : x,
                  c.slot == ConvSlot::y ? w : y,
                  c.slot == ConvSlot::x   ? x
                  : c.slot == ConvSlot::w ? w
                                          : y);
    });
  }
  Choice* of(const MatmulCase& c) {
    if (!cublas_lt_ || c.s.flops() == 0) return nullptr;
    return find(matmuls_, c, [&] {
      const MatmulShape& s = c.s;
      std::vector<Engine> engines = cublas_lt_->engines(c);
      const auto own = [s](View a, View b, View out, View) { matmul(s, a, b, out); };
      engines.insert(engines.begin(), own_engine(0, own));
      return pick(describe(c), std::move(engines), c.dtype, c.tf32, s.batch * s.m * s.k, s.batch * s.k * s.n,
                  s.batch * s.m * s.n);
    });
  }

  // False: it failed, and is never tried again for this case.
  bool run(Choice& c, View a, View b, View out, View workspace) {
    try {
      c.engine->run(a, b, out, workspace);
      return true;
    } catch (const std::exception& e) {
      const std::scoped_lock lock(mutex_);
      tuner_->drop(c.key, c.engine->name, e.what());
      retired_.push_back(std::exchange(c, {c.key, {}}));
      return false;
    }
  }
  std::vector<std::string> dropped() const { return tuner_ ? tuner_->dropped() : std::vector<std::string>{}; }

 private:
  template <class Case, class Make>
  Choice* find(std::map<Case, Choice>& choices, const Case& c, Make make) {
    if (only_own) return nullptr;
    const std::scoped_lock lock(mutex_);
    if (prefer_ == Prefer::own) return nullptr;
    auto it = choices.find(c);
    if (it == choices.end()) {
      cudaStreamCaptureStatus captured = cudaStreamCaptureStatusNone;
      if (cudaStreamIsCapturing(stream(), &captured) != cudaSuccess || captured != cudaStreamCaptureStatusNone)
        return nullptr;
      const OnlyOwn here;
      it = choices.emplace(c, make()).first;
    }
    return it->second.engine ? &it->second : nullptr;
  }
  // All of our own kernels give the same bits every time: none adds up floats by atomics (tests/test_engines.cpp).
  static Engine own_engine(std::size_t workspace, std::function<void(View, View, View, View)> run) {
    return {"own", workspace, true, [run = std::move(run)](View a, View b, View out, View w) {
              const OnlyOwn here;
              run(a, b, out, w);
            }};
  }
  Choice pick(std::string key, std::vector<Engine> engines, DType dtype, bool tf32, std::int64_t a, std::int64_t b,
              std::int64_t out) {
    if (engines.size() == 1) return {std::move(key), {}};
    try {
      const Operands operands(dtype, a, b, out, engines);
      const std::size_t chosen = tuner_->choose(key, engines, operands.trial(), tolerance(dtype, tf32));
      if (chosen > 0) return {std::move(key), engines[chosen]};
    } catch (const NotDeterministic&) {
      throw;
    } catch (const std::exception&) {  // no memory for a trial, say: our own kernel it is
      driver(Device::cuda).synchronize();
    }
    return {std::move(key), {}};
  }

  std::mutex mutex_;
  Prefer prefer_ = Prefer::own;
  std::unique_ptr<Tuner> tuner_;
  std::unique_ptr<CublasLt> cublas_lt_;
  std::unique_ptr<Cudnn> cudnn_;
  std::map<ConvCase, Choice> convs_;
  std::map<MatmulCase, Choice> matmuls_;
  std::vector<Choice> retired_;
};
Engines& engines() {
  static Engines& e = *new Engines;  // never destroyed: at exit the driver may be gone before
  return e;
}

bool aligned(View a, View b, View c) {
  const auto at = [](View v) { return reinterpret_cast<std::uintptr_t>(v.data); };
  return (at(a) | at(b) | at(c)) % 16 == 0;
}
bool known(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

}  // namespace

std::optional<std::size_t> library_workspace(ConvSlot slot, const ConvGeometry& g, DType dtype) {
  const Choice* c = known(dtype) ? engines().of(ConvCase{slot, g, dtype, tf32_wanted()}) : nullptr;
  if (!c) return {};
  // The memory that is given lies anywhere.
  return c->engine->workspace ? c->engine->workspace + workspace_alignment : 0;
}

bool library_conv(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, View workspace) {
  Choice* c =
      known(out.dtype) && aligned(a, b, out) ? engines().of(ConvCase{slot, g, out.dtype, tf32_wanted()}) : nullptr;
  if (!c) return false;
  View at;
  if (c->engine->workspace) {
    const auto begin = reinterpret_cast<std::uintptr_t>(workspace.data);
    const std::uintptr_t skipped = (workspace_alignment - begin % workspace_alignment) % workspace_alignment;
    if (static_cast<std::size_t>(workspace.bytes()) < c->engine->workspace + skipped) return false;
    at = {workspace.as<std::byte>() + skipped, DType::u8, 1, {static_cast<std::int64_t>(c->engine->workspace)}};
  }
  return engines().run(*c, a, b, out, at);
}

bool library_matmul(const MatmulShape& s, View a, View b, View c) {
  Choice* choice = known(c.dtype) && aligned(a, b, c) ? engines().of(MatmulCase{s, c.dtype, tf32_wanted()}) : nullptr;
  return choice && engines().run(*choice, a, b, c, {});
}

void choose_engines(Prefer prefer, bool deterministic) { engines().choose(prefer, deterministic); }
std::string why_no_libraries() {
  const std::string why = why_no_cudnn();
  return why.empty() ? why_no_cublas_lt() : why;
}
std::vector<std::string> library_lines() { return {describe_cublas_lt(), describe_cudnn()}; }
std::vector<std::string> dropped_engines() { return engines().dropped(); }

}  // namespace duel::kernels::cuda

#endif  // DUEL_CUDA
