#include "engine/step.h"

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/copy.h"
#include "kernels/index.h"

namespace duel {
namespace {

// Everything that comes from the host lies side by side in one block, so that one copy brings it.
class Staging {
 public:
  // A batch on the device: its pixels, or which of the resident images it is.
  struct Input {
    Shape image;  // (size,H,W,C)
    Tensor pixels, labels, index, flip, resident;
  };

  explicit Staging(std::span<const HostBatch> batches) : inputs_(batches.size()) {
    struct Part {
      Tensor* tensor;
      Shape shape;
      DType dtype;
      std::size_t offset;
    };
    std::vector<Part> parts;
    const auto want = [&](Tensor& t, const Shape& shape, DType dtype) {
      parts.push_back({&t, shape, dtype, bytes_});
      bytes_ += (static_cast<std::size_t>(shape.size()) * size_of(dtype) + 63) / 64 * 64;
    };
    want(step_, {1}, DType::i64);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const HostBatch& b = batches[i];
      Input& in = inputs_[i];
      in.image = {b.size, b.height, b.width, b.channels};
      in.resident = b.resident;
      if (b.pixels) want(in.pixels, in.image, DType::u8);
      if (b.labels) want(in.labels, {b.size}, DType::i32);
      if (b.index) want(in.index, {b.size}, DType::i32);
      if (b.flip) want(in.flip, {b.size}, DType::i32);
    }
    const PoolScope outside{nullptr};
    block_ = empty({static_cast<std::int64_t>(bytes_)}, DType::u8);
    host_ = HostMemory(block_.device(), bytes_ * Step::most_in_flight);
    for (const Part& p : parts) *p.tensor = part_of(block_, p.offset, p.shape, p.dtype);
  }

  bool fits(std::span<const HostBatch> batches) const {
    return std::equal(batches.begin(), batches.end(), inputs_.begin(), inputs_.end(),
                      [](const HostBatch& b, const Input& in) {
                        const auto both = [](const void* p, const Tensor& t) { return static_cast<bool>(t) == !!p; };
                        return in.image == Shape{b.size, b.height, b.width, b.channels} && both(b.pixels, in.pixels) &&
                               both(b.labels, in.labels) && both(b.index, in.index) && both(b.flip, in.flip) &&
                               b.resident.storage() == in.resident.storage();
                      });
  }
  // Queues the copy of these batches; `slot` of the host's memory is in use until it is done.
  void fill(std::span<const HostBatch> batches, std::int64_t iteration, std::size_t slot) const {
    std::byte* host = host_.data() + slot * bytes_;
    const auto put = [&](const Tensor& t, const void* from) {
      if (t) std::memcpy(host + offset(t), from, t.storage()->bytes);
    };
    put(step_, &iteration);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      put(inputs_[i].pixels, batches[i].pixels);
      put(inputs_[i].labels, batches[i].labels);
      put(inputs_[i].index, batches[i].index);
      put(inputs_[i].flip, batches[i].flip);
    }
    on_driver([&] { driver(device()).queue_in(block_.storage()->data, host, bytes_); });
  }

  const std::vector<Input>& inputs() const { return inputs_; }
  const Tensor& step() const { return step_; }  // i64 (1): the iteration's number
  Device device() const { return block_.device(); }

 private:
  std::size_t offset(const Tensor& part) const {
    return static_cast<std::size_t>(static_cast<std::byte*>(part.storage()->data) -
                                    static_cast<std::byte*>(block_.storage()->data));
  }
  std::vector<Input> inputs_;
  Tensor block_, step_;
  HostMemory host_;
  std::size_t bytes_ = 0;
};

// The images of a batch in [-1, 1].
Tensor images_of(const Staging::Input& in) {
  Tensor images = empty(in.image);
  const double scale = 2.0 / 255, shift = -1;
  if (in.resident)
    launch("images", 0, kernels::gather_images, images.device(), scale, shift, in.resident.view(), in.index.view(),
           in.flip ? in.flip.view() : kernels::View{}, images.view());
  else
    launch("images", 0, kernels::convert, images.device(), in.pixels.view(), images.view(), scale, shift);
  return images;
}

}  // namespace

struct Step::Plan {
  Plan(std::span<const HostBatch> batches, int of_variant)
      : variant(of_variant), staging(batches), pool(std::make_shared<Pool>(staging.device())) {}

  int variant;
  Staging staging;
  bool recorded = false;
  std::shared_ptr<Pool> pool;
  Recording recording;
  std::function<void()> replay;
  std::vector<std::string> names;
  std::vector<Tensor> metrics;
  Tensor numbers;      // f64: the metrics, and whether all is finite
  HostMemory on_host;  // of each iteration in flight
  std::vector<double> values;

  std::size_t bytes() const { return numbers.storage()->bytes; }
  double* numbers_of(std::size_t slot) const { return reinterpret_cast<double*>(on_host.data() + slot * bytes()); }
  void keep(const Metrics& m);
  void collect(const Tensor& finite) const;
};

void Step::Plan::keep(const Metrics& m) {
  constexpr auto most = static_cast<std::size_t>(kernels::Scalars::capacity) - 1;
  require(m.size() <= most, "step: {} metrics, expected at most {}", m.size(), most);
  names.clear();
  metrics.clear();
  for (const auto& [name, value] : m) {
    require(value && value.size() == 1 && is_float(value.dtype()), "step: metric {} is {}, expected one number", name,
            value);
    names.push_back(name);
    metrics.push_back(detach(value));
  }
  if (numbers && numbers.size() == static_cast<std::int64_t>(m.size()) + 1) return;
  const PoolScope outside{nullptr};
  numbers = empty({static_cast<std::int64_t>(m.size()) + 1}, DType::f64);
  on_host = HostMemory(numbers.device(), bytes() * most_in_flight);
  values.resize(m.size());
}

void Step::Plan::collect(const Tensor& finite) const {
  kernels::Scalars s;
  const auto add = [&](const Tensor& t) {
    s.at[s.count] = t.storage()->data;
    s.dtype[s.count++] = t.dtype();
  };
  for (const Tensor& t : metrics) add(t);
  add(finite);
  launch("metrics", 0, kernels::collect, numbers.device(), s, numbers.view());
}

Step::Step(Body body, std::uint64_t seed) : body_(std::move(body)), context_(seed) { flights_.reserve(most_in_flight); }
Step::~Step() {
  // What is queued still uses the host's memory. A device that has failed has nothing queued.
  if (!flights_.empty()) try {
      driver(flights_.back().plan->staging.device()).synchronize();
    } catch (const std::exception&) {
    }
}

Step::Plan& Step::plan_for(std::span<const HostBatch> batches, int variant) {
  for (auto& plan : plans_)
    if (plan->variant == variant && plan->staging.fits(batches)) return *plan;
  return *plans_.emplace_back(std::make_unique<Plan>(batches, variant));
}

void Step::run_body(Plan& plan) {
  ContextScope context(context_);
  TapeScope tape(true);
  context_.site = 0;
  context_.step = plan.staging.step();
  context_.variant = plan.variant;
  std::vector<Batch> batches;
  for (const Staging::Input& in : plan.staging.inputs()) batches.push_back({images_of(in), in.labels});
  plan.keep(body_(batches));
  plan.collect(context_.finite);
}

void Step::record(Plan& plan) {
  PoolScope pool(plan.pool);
  RecordScope scope(&plan.recording);
  try {
    run_body(plan);
    plan.recorded = true;
    plan.pool->open_for_replay();
  } catch (...) {
    plan.recording.launches.clear();
    throw;
  }
}

void Step::submit(std::span<const HostBatch> batches, int variant) {
  require(current_recording() == nullptr, "step: a Step cannot run inside another one");
  require(flights_.size() < most_in_flight, "step: {} iterations are in flight already", flights_.size());
  Plan& plan = plan_for(batches, variant);
  DeviceDriver& device = driver(plan.staging.device());
  last_ = &plan;
  const std::size_t slot = submitted_ % most_in_flight;
  plan.staging.fill(batches, iteration_, slot);
  if (eager_) {
    run_body(plan);
  } else if (!plan.recorded) {
    record(plan);
  } else {
    on_driver([&] {
      if (!plan.replay)
        plan.replay = device.repeated([&plan] {
          for (const Launch& l : plan.recording.launches) l.run();
        });
      plan.replay();
    });
  }
  on_driver([&] {
    device.queue_out(plan.numbers_of(slot), plan.numbers.storage()->data, plan.bytes());
    flights_.push_back({&plan, iteration_, slot, device.mark()});
  });
  ++submitted_;
  ++iteration_;
}

Step::Outcome Step::take() {
  require(!flights_.empty(), "step: no iteration is in flight");
  const Flight f = flights_.front();
  flights_.erase(flights_.begin());
  on_driver([&] { driver(f.plan->staging.device()).wait(f.done); });
  const double* numbers = f.plan->numbers_of(f.slot);
  std::copy_n(numbers, f.plan->values.size(), f.plan->values.begin());
  return {f.iteration, f.plan->values, numbers[f.plan->values.size()] != 0};
}

std::span<const double> Step::operator()(std::span<const HostBatch> batches, int variant) {
  require(flights_.empty(), "step: {} submitted iterations were not taken", flights_.size());
  submit(batches, variant);
  return take().values;
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
