// Layers and nets: functions with parameters. A net is a chain of layers; anything else is a function of tensors.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/precision.h"
#include "engine/state.h"

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
  virtual void set_training(bool on) { (void)on; }             // of what differs: batch norm
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

  Net& linear(std::int64_t in, std::int64_t out, Act act = Act::none, bool bias = true);
  // weights (out,k,k,in/groups)
  Net& conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
            Act act = Act::none, bool bias = true, std::int64_t groups = 1);
  // weights (in,k,k,out/groups)
  Net& conv_transpose(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                      Act act = Act::none, bool bias = true, std::int64_t output_padding = 0, std::int64_t groups = 1);
  Net& batch_norm(std::int64_t channels, Act act = Act::none);
  Net& reshape(std::initializer_list<std::int64_t> sample);  // the shape of one sample
  Net& flatten();
  Net& residual(Net branch);    // x + branch(x)
  Net& init(const Init& init);  // the weights of the layers that follow
  Net& add(std::shared_ptr<Layer> layer);
  Net& apply(const std::string& name, std::function<Tensor(const Tensor&)> f);  // without parameters

  Tensor operator()(const Tensor& x) const;
  State state(const std::string& prefix = "") const;  // parameters and buffers
  operator State() const { return state(); }          // so that Adam(net, {...}) reads as it does in a paper
  std::vector<Tensor> parameters() const;
  // Layer by layer for one sample of this shape, by running it; batch norm then takes its running statistics.
  std::vector<LayerSummary> summary(const Shape& sample);
  void set_training(bool on);  // batch norm: the batch's statistics, or the running ones

 private:
  friend struct Residual;
  Tensor run(Tensor y) const;        // from and to the type of the activations
  Tensor parameter(Tensor w) const;  // with a copy in the type that the net computes in

  Init init_;
  DType dtype_, compute_;  // of the parameters; of the activations
  std::vector<std::shared_ptr<Layer>> layers_;
};

// Copies every tensor of `from` into the tensor of the same name. Errors name what is missing or does not fit.
void copy_state(const State& to, const State& from);

}  // namespace duel
