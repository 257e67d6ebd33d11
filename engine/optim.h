// Optimizers, moving averages and clipping. Their updates are launches like any op's, so a Step replays them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/state.h"
#include "engine/tensor.h"
#include "kernels/optimizer.h"

namespace duel {

// Called by every step() of this thread when set, before anything is updated: with the parameters' names and gradients,
// which may be overwritten.
using GradientHook = std::function<void(const std::vector<std::string>& names, const std::vector<Tensor>& gradients)>;
GradientHook& gradient_hook();

// What all optimizers share. `l1` and `l2` add l1*sign(p) and l2*p to the gradient; `max_norm` rescales the whole
// gradient to at most this Euclidean norm (0: off; Pascanu et al. 2013).
struct CommonOptions {
  double l1 = 0, l2 = 0, max_norm = 0;
};

// What one update takes from the device instead of the options, where given: single numbers (engine/schedule.h).
struct Rates {
  Tensor lr = {}, beta2 = {};  // beta2: Adam's
};

// A gradient may be empty (no dependence): that parameter and its state then stay as they are. If any gradient is not
// finite, the update and all later ones of the run are left out (Context::finite).
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  void step(const std::vector<Tensor>& gradients, const Rates& now = {});
  void set_lr(double lr);  // between steps, from the host
  double lr() const;
  void restart();  // its memory begins anew, t = 0 and no moments; part of a Step
  // Everything a resumed run needs: "lr", "t", and the moments by parameter name.
  void collect(const std::string& prefix, State& state) const;
  const std::vector<Tensor>& parameters() const { return parameters_; }

 protected:
  Optimizer(const State& parameters, double lr, CommonOptions common, std::vector<std::string> moments);
  virtual void update(const kernels::UpdateState& state, const kernels::TensorPack& pack) = 0;
  Device device() const { return t_.device(); }
  CommonOptions common_;

 private:
  std::vector<std::string> names_;
  std::vector<Tensor> parameters_;
  std::vector<std::string> moment_names_;
  std::vector<std::vector<Tensor>> moments_;  // [moment][parameter]
  Tensor lr_, t_, square_norm_, square_norm_parts_, scale_;
};

// Formulas in kernels/optimizer.h. weight_decay is decoupled (AdamW); CommonOptions::l2 is not.
struct AdamOptions {
  double lr = 2e-4, beta1 = 0.5, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  CommonOptions common = {};
};
class Adam : public Optimizer {
 public:
  Adam(const State& parameters, const AdamOptions& options);

 private:
  void update(const kernels::UpdateState& state, const kernels::TensorPack& pack) override;
  kernels::AdamConstants k_;
};

struct RmspropOptions {
  double lr = 5e-5, alpha = 0.99, eps = 1e-8;
  CommonOptions common = {};
};
class Rmsprop : public Optimizer {
 public:
  Rmsprop(const State& parameters, const RmspropOptions& options);

 private:
  void update(const kernels::UpdateState& state, const kernels::TensorPack& pack) override;
  kernels::RmspropConstants k_;
};

struct SgdOptions {
  double lr = 1e-2, momentum = 0;
  bool nesterov = false;
  CommonOptions common = {};
};
class Sgd : public Optimizer {
 public:
  Sgd(const State& parameters, const SgdOptions& options);

 private:
  void update(const kernels::UpdateState& state, const kernels::TensorPack& pack) override;
  kernels::SgdConstants k_;
};

// average = d * average + (1 - d) * source in place, for lists of equal length and shapes; d = decay after a warm-up
// over the first iterations (kernels/optimizer.h).
void ema_update(const std::vector<Tensor>& average, const std::vector<Tensor>& source, double decay);
// The same with d = decay, a single number.
void ema_update(const std::vector<Tensor>& average, const std::vector<Tensor>& source, const Tensor& decay);
// t (1) i64 += 1, unless some gradient was not finite.
void count_up(const Tensor& t);
// Every parameter clipped to [low, high] in place (Arjovsky et al. 2017, algorithm 1).
void clip_values(const std::vector<Tensor>& parameters, double low, double high);

}  // namespace duel
