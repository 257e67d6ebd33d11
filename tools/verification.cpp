#include "tools/verification.h"

#include <functional>

#include "engine/context.h"
#include "engine/hook.h"
#include "engine/optim.h"
#include "tools/verification_parts.h"

namespace duel {
namespace {

std::vector<Named> values_of(const State& state) {
  std::vector<Named> out;
  for (const NamedTensor& t : state) out.push_back({t.name, t.value.to_vector<double>()});
  return out;
}

class Verifier {
 public:
  Verifier(const ModelInfo& info, const Settings& settings, Dataset& data, std::int64_t batch, std::uint64_t seed,
           Verification& out)
      : info_(info),
        settings_(settings),
        data_(data),
        batch_(batch),
        seed_(seed),
        ops_(out.ops, out.devices.size()),
        gradients_(out.gradients, out.devices.size()),
        losses_(out.losses, out.devices.size()),
        state_(out.state, out.devices.size()) {}

  void compute_reference();
  void compare(Device device, std::size_t index);

 private:
  std::unique_ptr<Model> make() {
    set_seed(seed_);
    return info_.make(data_shape(info_, data_.images()), settings_);
  }
  std::unique_ptr<Model> as_reference() {  // with its weights to the bit
    auto model = make();
    const State state = model->state();
    for (std::size_t i = 0; i < state.size(); ++i) overwrite(state[i].value, reference_.before[i].values);
    return model;
  }
  void run(Model& model, const ResultHook& on_result, const GradientHook& on_gradient,
           const std::function<void(const Step&, std::span<const double>)>& at_end);
  void compare_op_by_op(Device device, std::size_t index);
  void compare_whole(Device device, std::size_t index);
  const Result& expected(Device device, std::size_t at, const Op& op, const Tensor& y) const;
  void check_count(Device device, std::size_t found) const;
  void compare_update(Device device, std::size_t index, std::size_t at, const std::vector<std::string>& names,
                      const std::vector<Tensor>& gradients, bool note);
  void compare_state(const State& state, std::size_t index);

  const ModelInfo& info_;
  const Settings& settings_;
  Dataset& data_;
  std::int64_t batch_;
  std::uint64_t seed_;
  Table ops_, gradients_, losses_, state_;
  std::span<const HostBatch> batches_;
  Iteration reference_;
};

void Verifier::run(Model& model, const ResultHook& on_result, const GradientHook& on_gradient,
                   const std::function<void(const Step&, std::span<const double>)>& at_end) {
  Step step([&](std::span<const Batch> batches) { return model.step(batches); }, seed_);
  step.set_eager(true);
  step.seek(model.busiest_iteration());
  const HookScope<ResultHook> results(result_hook(), on_result);
  const HookScope<GradientHook> gradients(gradient_hook(), on_gradient);
  at_end(step, step(batches_, model.variant(step.iteration())));
}

void Verifier::compute_reference() {
  const DeviceScope on_cpu(Device::cpu);
  const FloatScope in_f64(DType::f64);
  const auto model = make();
  check_batch(*model, batch_);
  batches_ = data_.next(model->batches_per_step(), batch_);
  reference_.before = values_of(model->state());
  run(
      *model,
      [&](const Op& op, const Tensor& y, const std::vector<Tensor>& inputs) {
        reference_.results.push_back({&op, y.shape(), y.to_vector<double>(), floor_of(inputs)});
        ++ops_.row(op.name).count;
      },
      [&](const std::vector<std::string>& names, const std::vector<Tensor>& gradients) {
        std::vector<Named>& update = reference_.updates.emplace_back();
        for (std::size_t i = 0; i < names.size(); ++i) {
          update.push_back({names[i], gradients[i] ? gradients[i].to_vector<double>() : Values()});
          ++gradients_.row(names[i]).count;
        }
      },
      [&](const Step& step, std::span<const double> metrics) {
        reference_.metric_names = step.names();
        reference_.metrics.assign(metrics.begin(), metrics.end());
      });
  reference_.after = values_of(model->state());
}

const Result& Verifier::expected(Device device, std::size_t at, const Op& op, const Tensor& y) const {
  const auto& results = reference_.results;
  agree(at < results.size(), "{} computes more than the reference's {} results: {} {}", name_of(device), results.size(),
        op.name, y.shape());
  const Result& r = results[at];
  agree(r.op == &op && r.shape == y.shape(), "result {} is {} {} on {}, but {} {} in the reference", at + 1, op.name,
        y.shape(), name_of(device), r.op->name, r.shape);
  return r;
}
void Verifier::check_count(Device device, std::size_t found) const {
  agree(found == reference_.results.size(), "{} computes {} results, the reference {}", name_of(device), found,
        reference_.results.size());
}

void Verifier::compare_update(Device device, std::size_t index, std::size_t at, const std::vector<std::string>& names,
                              const std::vector<Tensor>& gradients, bool note) {
  agree(at < reference_.updates.size() && reference_.updates[at].size() == names.size(),
        "update {} on {} is of other parameters than in the reference", at + 1, name_of(device));
  const std::vector<Named>& update = reference_.updates[at];
  double largest_of_all = 0;
  for (const Named& g : update) largest_of_all = std::max(largest_of_all, largest(g.values));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t size = gradients[i] ? static_cast<std::size_t>(gradients[i].size()) : 0;
    agree(update[i].name == names[i] && update[i].values.size() == size,
          "update {} on {} has {} numbers for {}, but in the reference {} for {}", at + 1, name_of(device), size,
          names[i], update[i].values.size(), update[i].name);
    if (!size) continue;
    if (note) {
      const Values mine = gradients[i].to_vector<double>();
      gradients_.note(names[i], index, error(mine, update[i].values, part_of_floor * largest_of_all));
    }
    overwrite(gradients[i], update[i].values);
  }
}

void Verifier::compare_op_by_op(Device device, std::size_t index) {
  const auto model = as_reference();
  std::size_t results = 0, updates = 0;
  run(
      *model,
      [&](const Op& op, const Tensor& y, const std::vector<Tensor>&) {
        const Result& r = expected(device, results++, op, y);
        ops_.note(op.name, index, error(y.to_vector<double>(), r.values, r.floor));
        overwrite(y, r.values);
      },
      [&](const auto& names, const auto& gradients) {
        compare_update(device, index, updates++, names, gradients, false);
      },
      [](const Step&, std::span<const double>) {});
  check_count(device, results);
}

void Verifier::compare_whole(Device device, std::size_t index) {
  const auto model = as_reference();
  std::size_t results = 0, updates = 0;
  run(
      *model,
      [&](const Op& op, const Tensor& y, const std::vector<Tensor>&) {
        const Result& r = expected(device, results++, op, y);
        Values mine = y.to_vector<double>();
        const double rounding = op_tolerance * std::max(largest(r.values), r.floor);
        bool turned = false;
        for (std::size_t i = 0; i < mine.size(); ++i)
          if ((mine[i] > 0) != (r.values[i] > 0) && std::abs(mine[i] - r.values[i]) <= rounding) {
            mine[i] = r.values[i];
            turned = true;
          }
        if (turned) overwrite(y, mine);
      },
      [&](const auto& names, const auto& gradients) {
        compare_update(device, index, updates++, names, gradients, true);
      },
      [&](const Step& step, std::span<const double> metrics) {
        agree(step.names() == reference_.metric_names, "{} answers other losses than the reference", name_of(device));
        for (std::size_t i = 0; i < metrics.size(); ++i) {
          VerifiedRow& row = losses_.row(step.names()[i]);
          row.count = 1;
          row.reference = reference_.metrics[i];
          losses_.note(row.name, index,
                       error({metrics[i]}, {reference_.metrics[i]}, part_of_floor * largest(reference_.metrics)));
        }
      });
  check_count(device, results);
  compare_state(model->state(), index);
}

// "G" and "opt_D" of "G.0.weight" and "opt_D.v.D.0.weight"; and "opt_D.v", for an optimizer has tensors of several
// kinds.
std::string owner_of(const std::string& name) { return name.substr(0, name.find('.')); }
std::string kind_of(const std::string& name) {
  const std::size_t dot = name.find('.');
  return name.substr(0, name.starts_with("opt_") ? name.find('.', dot + 1) : dot);
}

void Verifier::compare_state(const State& state, std::size_t index) {
  std::map<std::string, double> largest_of_kind;
  for (const Named& t : reference_.after) {
    double& m = largest_of_kind[kind_of(t.name)];
    m = std::max(m, largest(t.values));
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    const std::string owner = owner_of(state[i].name);
    if (index == 0) ++state_.row(owner).count;
    const double floor = part_of_floor * largest_of_kind.at(kind_of(state[i].name));
    state_.note(owner, index, error(state[i].value.to_vector<double>(), reference_.after[i].values, floor));
  }
}

void Verifier::compare(Device device, std::size_t index) {
  const DeviceScope scope(device);
  compare_op_by_op(device, index);
  compare_whole(device, index);
}

}  // namespace

Verification verify_model(const ModelInfo& model, const Settings& settings, Dataset& data, std::int64_t batch,
                          std::uint64_t seed, const std::vector<Device>& devices) {
  Verification v;
  v.devices = devices;
  Verifier verifier(model, settings, data, batch, seed, v);
  verifier.compute_reference();
  for (std::size_t i = 0; i < devices.size(); ++i) verifier.compare(devices[i], i);
  for (auto* rows : {&v.ops, &v.gradients})
    std::stable_sort(rows->begin(), rows->end(),
                     [](const VerifiedRow& a, const VerifiedRow& b) { return a.worst() > b.worst(); });
  return v;
}

}  // namespace duel
