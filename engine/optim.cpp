#include "engine/optim.h"

#include "engine/bf16_copy.h"
#include "engine/context.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "kernels/copy.h"

namespace duel {
namespace {

using kernels::TensorPack;

// Calls f(pack) with the rows of operands, `capacity` tensors at a time. Columns where some operand is empty are
// skipped.
template <class F>
void for_packs(const std::vector<const std::vector<Tensor>*>& rows, F f) {
  TensorPack pack;
  for (std::size_t i = 0; i < rows[0]->size(); ++i) {
    bool complete = true;
    for (const auto* row : rows) complete = complete && (*row)[i];
    if (!complete) continue;
    const Tensor& first = (*rows[0])[i];
    if (pack.count == TensorPack::capacity || (pack.count && pack.dtype != first.dtype())) {
      f(pack);
      pack = {};
    }
    pack.dtype = first.dtype();
    pack.size[pack.count] = first.size();
    for (std::size_t r = 0; r < rows.size(); ++r) pack.at[r][pack.count] = (*rows[r])[i].storage()->data;
    ++pack.count;
  }
  if (pack.count) f(pack);
}

// Rounds the bf16 copies of those that keep one.
void refresh_copies(const std::vector<Tensor>& written) {
  std::vector<Tensor> copies;
  for (const Tensor& t : written) copies.push_back(stored_bf16_copy(t));
  for_packs({&written, &copies}, [&](const TensorPack& pack) {
    launch("bf16_copy", 0, kernels::round_to_bf16, written[0].device(), current_context().finite.view(), pack);
  });
}

// As the kernels read it: f64.
Tensor as_rate(const Tensor& rate) {
  if (!rate || rate.dtype() == DType::f64) return rate;
  require(rate.size() == 1, "optimizer: a rate is {}, expected one number", rate);
  Tensor y = empty({1}, DType::f64);
  launch("optimizer", 0, kernels::convert, rate.device(), rate.view(), y.view(), 1.0, 0.0);
  return y;
}
kernels::View view_or_empty(const Tensor& t) { return t ? t.view() : kernels::View{}; }

}  // namespace

GradientHook& gradient_hook() {
  thread_local GradientHook hook;
  return hook;
}

Optimizer::Optimizer(const State& parameters, double lr, CommonOptions common, std::vector<std::string> moments)
    : common_(common), moment_names_(std::move(moments)), moments_(moment_names_.size()) {
  for (const NamedTensor& p : parameters) {
    if (p.kind != Kind::parameter) continue;
    names_.push_back(p.name);
    parameters_.push_back(p.value);
    for (auto& m : moments_) m.push_back(zeros(p.value.shape(), p.value.dtype()));
  }
  require(!parameters_.empty(), "optimizer: no parameters were given");
  lr_ = full({1}, lr, DType::f64);
  t_ = zeros({1}, DType::i64);
  square_norm_ = zeros({1}, DType::f64);
  square_norm_parts_ = zeros({kernels::square_norm_parts}, DType::f64);
  scale_ = ones({1}, DType::f64);
}

void Optimizer::step(const std::vector<Tensor>& gradients, const Rates& now) {
  require(gradients.size() == parameters_.size(), "optimizer: {} gradients for {} parameters", gradients.size(),
          parameters_.size());
  for (std::size_t i = 0; i < gradients.size(); ++i)
    require(!gradients[i] ||
                (gradients[i].shape() == parameters_[i].shape() && gradients[i].dtype() == parameters_[i].dtype()),
            "optimizer: the gradient of {} is {}, the parameter {}", names_[i], gradients[i], parameters_[i]);
  if (const GradientHook& hook = gradient_hook()) hook(names_, gradients);
  const Tensor& finite = current_context().finite;
  const Device device = t_.device();
  launch("optimizer", 0, kernels::fill, device, square_norm_.view(), 0.0);
  for_packs({&gradients}, [&](const TensorPack& pack) {
    launch("optimizer", 0, kernels::add_square_norm, device, pack, square_norm_.view(), square_norm_parts_.view());
  });
  launch("optimizer", 0, kernels::judge_gradient, device, common_.max_norm, square_norm_.view(), scale_.view(),
         finite.view());
  launch("optimizer", 0, kernels::count_up, device, t_.view(), finite.view());
  const Tensor lr = now.lr ? as_rate(now.lr) : lr_, beta2 = as_rate(now.beta2);
  const kernels::UpdateState state{lr.view(), t_.view(), scale_.view(), finite.view(), view_or_empty(beta2)};
  std::vector<const std::vector<Tensor>*> rows{&parameters_, &gradients};
  for (const auto& m : moments_) rows.push_back(&m);
  for_packs(rows, [&](const TensorPack& pack) { update(state, pack); });
  refresh_copies(parameters_);
}

void Optimizer::set_lr(double lr) { assign(lr_, &lr, sizeof lr); }
double Optimizer::lr() const { return lr_.item(); }
void Optimizer::restart() {
  for (const auto& m : moments_) clip_values(m, 0, 0);
  launch("optimizer", 0, kernels::fill, t_.device(), t_.view(), 0.0);
}

void Optimizer::collect(const std::string& prefix, State& state) const {
  state.push_back({prefix + "lr", lr_});
  state.push_back({prefix + "t", t_});
  for (std::size_t m = 0; m < moments_.size(); ++m)
    for (std::size_t i = 0; i < names_.size(); ++i)
      state.push_back({prefix + moment_names_[m] + "." + names_[i], moments_[m][i]});
}

Adam::Adam(const State& parameters, const AdamOptions& o)
    : Optimizer(parameters, o.lr, o.common, {"m", "v"}), k_{o.beta1,     o.beta2,     o.eps,
                                                            o.common.l1, o.common.l2, o.weight_decay} {}
void Adam::update(const kernels::UpdateState& state, const TensorPack& pack) {
  launch("adam", 0, kernels::adam, device(), k_, state, pack);
}

Rmsprop::Rmsprop(const State& parameters, const RmspropOptions& o)
    : Optimizer(parameters, o.lr, o.common, {"v"}), k_{o.alpha, o.eps, o.common.l1, o.common.l2} {}
void Rmsprop::update(const kernels::UpdateState& state, const TensorPack& pack) {
  launch("rmsprop", 0, kernels::rmsprop, device(), k_, state, pack);
}

Sgd::Sgd(const State& parameters, const SgdOptions& o)
    : Optimizer(parameters, o.lr, o.common, {"m"}), k_{o.momentum, o.common.l1, o.common.l2, o.nesterov} {}
void Sgd::update(const kernels::UpdateState& state, const TensorPack& pack) {
  launch("sgd", 0, kernels::sgd, device(), k_, state, pack);
}

namespace {
void average_in(const std::vector<Tensor>& average, const std::vector<Tensor>& source, double decay,
                const Tensor& now) {
  require(average.size() == source.size(), "ema: {} averages for {} sources", average.size(), source.size());
  for_packs({&average, &source}, [&](const TensorPack& pack) {
    launch("ema", 0, kernels::ema, source[0].device(), decay, view_or_empty(now), current_context().step.view(),
           current_context().finite.view(), pack);
  });
  refresh_copies(average);
}
}  // namespace

void ema_update(const std::vector<Tensor>& average, const std::vector<Tensor>& source, double decay) {
  average_in(average, source, decay, {});
}
void ema_update(const std::vector<Tensor>& average, const std::vector<Tensor>& source, const Tensor& decay) {
  average_in(average, source, 0, as_rate(decay));
}
void count_up(const Tensor& t) {
  launch("optimizer", 0, kernels::count_up, t.device(), t.view(), current_context().finite.view());
}
void clip_values(const std::vector<Tensor>& parameters, double low, double high) {
  require(low <= high, "clip: low {} is above high {}", low, high);
  for_packs({&parameters}, [&](const TensorPack& pack) {
    launch("clip", 0, kernels::clip, parameters[0].device(), low, high, current_context().finite.view(), pack);
  });
  refresh_copies(parameters);
}

}  // namespace duel
