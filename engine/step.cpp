#include "engine/step.h"

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/copy.h"

namespace duel {
namespace {

struct Staging {
  Tensor pixels, labels;  // u8 (N,H,W,C), i32 (N)
};

Shape pixel_shape(const HostBatch& b) { return {b.size, b.height, b.width, b.channels}; }

template <class T>
double value_as(const Tensor& t) {
  T value{};
  read(t, &value, sizeof value);
  return static_cast<double>(value);
}
double value_of(const Tensor& t) { return t.dtype() == DType::f64 ? value_as<double>(t) : value_as<float>(t); }

}  // namespace

struct Step::Plan {
  int variant = 0;
  bool recorded = false;
  std::vector<Staging> inputs;
  std::shared_ptr<Pool> pool = std::make_shared<Pool>(default_device());
  Recording recording;
  std::vector<std::string> names;
  std::vector<Tensor> metrics;
  std::vector<double> values;

  bool fits(std::span<const HostBatch> batches, int v) const {
    return variant == v && batches.size() == inputs.size() &&
           std::equal(batches.begin(), batches.end(), inputs.begin(), [](const HostBatch& b, const Staging& s) {
             return s.pixels.shape() == pixel_shape(b) && static_cast<bool>(s.labels) == (b.labels != nullptr);
           });
  }
  void keep(const Metrics& m) {
    names.clear();
    metrics.clear();
    for (const auto& [name, value] : m) {
      require(value && value.size() == 1 && (value.dtype() == DType::f32 || value.dtype() == DType::f64),
              "step: metric {} is {}, expected one number", name, value);
      names.push_back(name);
      metrics.push_back(detach(value));
    }
    values.resize(metrics.size());
  }
};

Step::Step(Body body, std::uint64_t seed) : body_(std::move(body)), context_(seed) {}
Step::~Step() = default;

Step::Plan& Step::plan_for(std::span<const HostBatch> batches, int variant) {
  for (auto& plan : plans_)
    if (plan->fits(batches, variant)) return *plan;
  auto plan = std::make_unique<Plan>();
  plan->variant = variant;
  for (const HostBatch& b : batches) {
    PoolScope outside{nullptr};
    plan->inputs.push_back({empty(pixel_shape(b), DType::u8), b.labels ? empty({b.size}, DType::i32) : Tensor()});
  }
  return *plans_.emplace_back(std::move(plan));
}

Metrics Step::run_body(Plan& plan) {
  ContextScope context(context_);
  TapeScope tape(true);
  context_.site = 0;
  std::vector<Batch> batches;
  for (const Staging& in : plan.inputs) {
    Tensor images = empty(in.pixels.shape());
    // 0..255 to [-1, 1]
    launch("images", 0, kernels::convert, images.device(), in.pixels.view(), images.view(), 2.0 / 255, -1.0);
    batches.push_back({images, in.labels});
  }
  return body_(batches);
}

void Step::record(Plan& plan) {
  PoolScope pool(plan.pool);
  RecordScope scope(&plan.recording);
  try {
    plan.keep(run_body(plan));
    plan.recorded = true;
    plan.pool->open_for_replay();
  } catch (...) {
    plan.recording.launches.clear();
    throw;
  }
}

std::span<const double> Step::operator()(std::span<const HostBatch> batches, int variant) {
  require(current_recording() == nullptr, "step: a Step cannot run inside another one");
  Plan& plan = plan_for(batches, variant);
  last_ = &plan;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const Staging& in = plan.inputs[i];
    assign(in.pixels, batches[i].pixels, static_cast<std::size_t>(in.pixels.size()));
    if (in.labels)
      assign(in.labels, batches[i].labels, static_cast<std::size_t>(in.labels.size()) * sizeof(std::int32_t));
  }
  assign(context_.step, &iteration_, sizeof iteration_);
  if (eager_)
    plan.keep(run_body(plan));
  else if (!plan.recorded)
    record(plan);
  else
    on_driver([&] {
      for (const Launch& l : plan.recording.launches) l.run();
    });
  for (std::size_t i = 0; i < plan.metrics.size(); ++i) plan.values[i] = value_of(plan.metrics[i]);
  ++iteration_;
  return plan.values;
}

const std::vector<std::string>& Step::names() const {
  require(last_ != nullptr, "step: no iteration has run yet");
  return last_->names;
}
bool Step::finite() const {
  std::int32_t finite = 0;
  read(context_.finite, &finite, sizeof finite);
  return finite != 0;
}
const std::vector<Launch>& Step::launches() const {
  require(last_ != nullptr, "step: no iteration has run yet");
  return last_->recording.launches;
}
std::size_t Step::peak_bytes() const { return last_ ? last_->pool->peak_bytes() : 0; }

}  // namespace duel
