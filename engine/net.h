// Layers and nets: functions with parameters. A net is a chain of layers; anything else is a function of tensors.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/precision.h"
#include "engine/state.h"
#include "engine/tape.h"
#include "engine/weight_form.h"

namespace duel {

// How weights begin. fan_in counts the inputs that meet in one output, fan_out the outputs that one input reaches.
struct Init {
  enum class Law : std::uint8_t { normal, kaiming_normal, kaiming_uniform, xavier_uniform, xavier_normal, orthogonal };
  Law law = Law::kaiming_uniform;
  double value = 0;  // normal: the standard deviation; kaiming: the slope of the following leaky ReLU; others: the gain
};
inline constexpr Init init_dcgan{Init::Law::normal, 0.02};           // Radford et al. 2016, section 4
inline constexpr Init init_kaiming{Init::Law::kaiming_normal, 0.2};  // He et al. 2015, before a leaky ReLU 0.2
inline constexpr Init init_xavier{Init::Law::xavier_uniform, 1};     // Glorot and Bengio 2010
inline constexpr Init init_orthogonal{Init::Law::orthogonal, 1};     // Saxe et al. 2014
inline constexpr Init init_default{Init::Law::kaiming_uniform,
                                   2.2360679774997896};  // U(+-1/sqrt(fan_in)), the usual default

// w (rows, ...): fan_in = w.size() / rows. For transposed convolutions fan_in and fan_out are given.
Tensor initial(const Shape& shape, const Init& init, double fan_in, double fan_out, DType dtype);

class Layer {
 public:
  virtual ~Layer() = default;
  virtual Tensor forward(const Tensor& x) = 0;
  virtual void collect(const std::string& prefix, State& state) const { (void)prefix, (void)state; }
  virtual std::string describe() const { return "function"; }  // "conv 4x4, stride 2, leaky ReLU"
  virtual void set_training(bool on) { (void)on; }             // of what differs between training and use
};

// A layer as it acts on one sample.
struct LayerSummary {
  std::string what;
  Shape output;  // without the axis of samples
  std::int64_t parameters = 0;
  double flops = 0;  // multiplications and additions
};

// A chain of layers, built front to back; every method returns the net. Names of tensors are "<layer>.weight" and so
// on, <layer> counting the layers with parameters. bias, batch norm and activation that follow a product are fused with
// it.
// An f32 net takes and gives f32 in any precision (engine/precision.h); in bf16 its layers are given bf16, and what
// they add of their own must take their parameters by bf16_copy().
class Net {
 public:
  explicit Net(const Init& init = init_default, DType dtype = default_float())
      : init_(init), dtype_(dtype), compute_(dtype == DType::f32 ? activation_type() : dtype) {}

  // What the linear and convolutional layers added from here on multiply with (engine/weight_form.h): one of these, or
  // their weights as they are.
  Net& spectral_norm(bool on = true);
  Net& weight_norm(bool on = true);

  Net& linear(std::int64_t in, std::int64_t out, Act act = Act::none, bool bias = true);
  // weights (out,k,k,in/groups)
  Net& conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
            Act act = Act::none, bool bias = true, std::int64_t groups = 1);
  // weights (in,k,k,out/groups)
  Net& conv_transpose(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                      Act act = Act::none, bool bias = true, std::int64_t output_padding = 0, std::int64_t groups = 1);
  Net& batch_norm(std::int64_t channels, Act act = Act::none);
  Net& gaussian_noise(double deviation);                     // in training x + N(0, deviation^2), else x
  Net& reshape(std::initializer_list<std::int64_t> sample);  // the shape of one sample
  Net& flatten();
  Net& residual(Net branch);    // x + branch(x)
  Net& init(const Init& init);  // the weights of the layers that follow
  Net& add(std::shared_ptr<Layer> layer);
  Net& apply(const std::string& name, std::function<Tensor(const Tensor&)> f);  // without parameters

  Tensor operator()(const Tensor& x) const;
  // The result of each layer, in their order; the last one is what operator() answers.
  std::vector<Tensor> activations(const Tensor& x) const;
  State state(const std::string& prefix = "") const;  // parameters and buffers
  operator State() const { return state(); }          // so that Adam(net, {...}) reads as it does in a paper
  std::vector<Tensor> parameters() const;
  // Layer by layer for one sample of this shape, by running it; batch norm then takes its running statistics.
  std::vector<LayerSummary> summary(const Shape& sample);
  // Off: batch norm takes its running statistics, spectral norm its u and v as they are, and no noise is added.
  void set_training(bool on);

 private:
  friend struct Residual;
  // From and to the type of the activations. Hands over each layer's result as soon as it is there; answers the last
  // one.
  Tensor run(Tensor y, const std::function<void(const Tensor&)>& each) const;
  Tensor parameter(Tensor w) const;  // with a copy in the type that the net computes in
  template <class L>
  std::shared_ptr<L> weighted(const Shape& shape, int out_axis, double fan_in, double fan_out, Act act, bool bias);

  using MakeForm = std::unique_ptr<WeightForm> (*)(const Tensor& w, int out_axis);
  Init init_;
  DType dtype_, compute_;  // of the parameters; of the activations
  MakeForm form_ = nullptr;
  std::vector<std::shared_ptr<Layer>> layers_;
};

// Nets answer as they will be used, by running statistics, and off the tape, for a scope.
class Inference {
 public:
  explicit Inference(std::vector<Net> nets) : nets_(std::move(nets)) {
    for (Net& n : nets_) n.set_training(false);
  }
  ~Inference() {
    for (Net& n : nets_) n.set_training(true);
  }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

 private:
  NoGrad off_;
  std::vector<Net> nets_;  // copies share their layers
};

// Batch norm leaves its running statistics as they are, for a scope of this thread. So those of a discriminator that
// also classifies stay the statistics of real images, when generated ones are a batch of their own.
class KeepStatistics {
 public:
  KeepStatistics() : before_(on_) { on_ = true; }
  ~KeepStatistics() { on_ = before_; }
  KeepStatistics(const KeepStatistics&) = delete;
  KeepStatistics& operator=(const KeepStatistics&) = delete;
  static bool on() { return on_; }

 private:
  static thread_local bool on_;
  bool before_;
};

// Copies every tensor of `from` into the tensor of the same name. Errors name what is missing or does not fit.
void copy_state(const State& to, const State& from);

}  // namespace duel
