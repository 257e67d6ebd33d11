#include "engine/net.h"

#include <cmath>
#include <map>
#include <utility>

#include "engine/bf16_copy.h"
#include "engine/context.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/tape.h"

namespace duel {
namespace {

double slope_of(Act act) { return act == Act::relu ? 0 : act == Act::leaky_relu ? 0.2 : 1; }

Tensor activate(const Tensor& x, Act act) {
  if (act == Act::none) return x;
  return act == Act::tanh ? duel::tanh(x) : leaky_relu(x, slope_of(act));
}
Tensor bias_activate(const Tensor& x, const Tensor& bias, Act act) {
  if (!bias) return activate(x, act);
  return act == Act::tanh ? bias_tanh(x, bias) : bias_leaky_relu(x, bias, slope_of(act));
}

std::string followed_by(Act act) {
  static const char* const names[] = {"", ", ReLU", ", leaky ReLU", ", tanh"};
  return names[static_cast<int>(act)];
}

// Common to everything with a weight and perhaps a bias.
struct Weighted : Layer {
  Tensor weight, bias;
  std::unique_ptr<WeightForm> form;  // or none
  DType compute = DType::f32;
  Act act = Act::none;
  bool training = true;
  Tensor multiplier() const { return form ? convert((*form)(weight, training), compute) : bf16_copy(weight); }
  void set_training(bool on) override { training = on; }
  void collect(const std::string& prefix, State& state) const override {
    state.push_back({prefix + "weight", weight, Kind::parameter});
    if (bias) state.push_back({prefix + "bias", bias, Kind::parameter});
    if (form) form->collect(prefix, state);
  }
  std::string followed() const { return (form ? ", " + form->describe() : "") + followed_by(act); }
};
// Biases begin at 0, except under the usual default, where they share the weights' range.
Tensor initial_bias(std::int64_t n, const Init& init, double fan_in, DType dtype) {
  if (init.law != init_default.law || init.value != init_default.value) return zeros({n}, dtype);
  const double bound = 1 / std::sqrt(fan_in);
  NoGrad off;
  return detach(uniform({n}, -bound, bound, dtype));
}

struct Linear : Weighted {
  Tensor forward(const Tensor& x) override {
    return bias_activate(duel::linear(x, multiplier()), bf16_copy(bias), act);
  }
  std::string describe() const override { return "linear" + followed(); }
};
struct Convolution : Weighted {
  ConvOptions options;
  Tensor forward(const Tensor& x) override { return convolve(x, nullptr); }
  virtual Tensor convolve(const Tensor& x, BatchStatistics* statistics) const = 0;
  ConvThen then(BatchStatistics* statistics) const {
    return {.bias = bf16_copy(bias), .act = act, .statistics = statistics};
  }
  std::string described(const char* name) const {
    std::string s = fmt::format("{} {}x{}", name, weight.dim(1), weight.dim(2));
    if (options.stride_h != 1) s += fmt::format(", stride {}", options.stride_h);
    if (options.pad_top != 0) s += fmt::format(", padding {}", options.pad_top);
    return s + followed();
  }
};
struct Conv : Convolution {
  Tensor convolve(const Tensor& x, BatchStatistics* statistics) const override {
    return conv2d(x, multiplier(), options, then(statistics));
  }
  std::string describe() const override { return described("conv"); }
};
struct ConvTranspose : Convolution {
  std::int64_t output_padding = 0;
  Tensor convolve(const Tensor& x, BatchStatistics* statistics) const override {
    return conv2d_transpose(x, multiplier(), options, output_padding, then(statistics));
  }
  std::string describe() const override { return described("transposed conv"); }
};

struct BatchNorm : Layer {
  Tensor gamma, beta;
  RunningStatistics running;
  Act act = Act::none;
  bool training = true;
  Tensor forward(const Tensor& x) override { return normalise(x, nullptr); }
  void set_training(bool on) override { training = on; }
  Tensor normalise(const Tensor& x, const BatchStatistics* known) const {
    const double slope = slope_of(act);
    const Tensor g = bf16_copy(gamma), b = bf16_copy(beta);
    const RunningStatistics* to_update = KeepStatistics::on() ? nullptr : &running;
    Tensor y = training ? duel::batch_norm(x, g, b, 1e-5, slope, to_update, known)
                        : batch_norm_inference(x, g, b, running, 1e-5, slope);
    return act == Act::tanh ? duel::tanh(y) : y;
  }
  void collect(const std::string& prefix, State& state) const override {
    state.push_back({prefix + "weight", gamma, Kind::parameter});
    state.push_back({prefix + "bias", beta, Kind::parameter});
    state.push_back({prefix + "running_mean", running.mean});
    state.push_back({prefix + "running_var", running.var});
  }
  std::string describe() const override { return "batch norm" + followed_by(act); }
};

struct GaussianNoise : Layer {
  double deviation = 0;
  bool training = true;
  Tensor forward(const Tensor& x) override { return training ? x + normal(x.shape(), 0, deviation, x.dtype()) : x; }
  void set_training(bool on) override { training = on; }
  std::string describe() const override { return fmt::format("noise, deviation {}", deviation); }
};
void check_groups(std::int64_t in, std::int64_t out, std::int64_t groups) {
  require(groups >= 1 && in % groups == 0 && out % groups == 0, "net: {} groups for {} and {} channels", groups, in,
          out);
}

struct Function : Layer {
  std::function<Tensor(const Tensor&)> f;
  std::string name = "function";
  Tensor forward(const Tensor& x) override { return f(x); }
  std::string describe() const override { return name; }
};

}  // namespace

Tensor Net::parameter(Tensor w) const {
  if (compute_ != dtype_) keep_bf16_copy(w);
  return w;
}

thread_local bool KeepStatistics::on_ = false;

Net& Net::spectral_norm(bool on) {
  form_ = on ? spectral_form : nullptr;
  return *this;
}
Net& Net::weight_norm(bool on) {
  form_ = on ? normalised_form : nullptr;
  return *this;
}

template <class L>
std::shared_ptr<L> Net::weighted(const Shape& shape, int out_axis, double fan_in, double fan_out, Act act, bool bias) {
  auto layer = std::make_shared<L>();
  layer->weight = initial(shape, init_, fan_in, fan_out, dtype_);
  layer->compute = compute_;
  layer->act = act;
  if (form_)
    layer->form = form_(layer->weight, out_axis);  // rounded after it
  else
    layer->weight = parameter(layer->weight);
  if (bias) layer->bias = parameter(initial_bias(shape[out_axis], init_, fan_in, dtype_));
  return layer;
}

Net& Net::linear(std::int64_t in, std::int64_t out, Act act, bool bias) {
  return add(weighted<Linear>({out, in}, 0, static_cast<double>(in), static_cast<double>(out), act, bias));
}

Net& Net::conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
               Act act, bool bias, std::int64_t groups) {
  check_groups(in, out, groups);
  const std::int64_t taps = kernel * kernel;
  const auto fan_in = static_cast<double>(in / groups * taps), fan_out = static_cast<double>(out / groups * taps);
  auto layer = weighted<Conv>({out, kernel, kernel, in / groups}, 0, fan_in, fan_out, act, bias);
  layer->options = conv_options(stride, padding, groups);
  return add(std::move(layer));
}

Net& Net::conv_transpose(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding, Act act, bool bias, std::int64_t output_padding, std::int64_t groups) {
  check_groups(in, out, groups);
  // Each output meets kernel^2 / stride^2 positions of the input.
  const double taps = static_cast<double>(kernel * kernel) / static_cast<double>(stride * stride);
  const double fan_in = static_cast<double>(in / groups) * taps;
  const auto fan_out = static_cast<double>(out / groups * kernel * kernel);
  auto layer = weighted<ConvTranspose>({in, kernel, kernel, out / groups}, 3, fan_in, fan_out, act, bias);
  layer->options = conv_options(stride, padding, groups);
  layer->output_padding = output_padding;
  return add(std::move(layer));
}

Net& Net::batch_norm(std::int64_t channels, Act act) {
  auto layer = std::make_shared<BatchNorm>();
  NoGrad off;
  // Under N(0, s) weights the scales are N(1, s), as DCGAN's authors do.
  layer->gamma = parameter(init_.law == Init::Law::normal ? detach(normal({channels}, 1, init_.value, dtype_))
                                                          : ones({channels}, dtype_));
  layer->beta = parameter(zeros({channels}, dtype_));
  layer->running.mean = zeros({channels}, dtype_);
  layer->running.var = ones({channels}, dtype_);
  layer->act = act;
  return add(std::move(layer));
}

Net& Net::gaussian_noise(double deviation) {
  auto layer = std::make_shared<GaussianNoise>();
  layer->deviation = deviation;
  return add(std::move(layer));
}

Net& Net::reshape(std::initializer_list<std::int64_t> sample) {
  return apply("reshape", [sample = std::vector<std::int64_t>(sample)](const Tensor& x) {
    std::vector<std::int64_t> dims{x.dim(0)};
    dims.insert(dims.end(), sample.begin(), sample.end());
    return duel::reshape(x, Shape(dims));
  });
}
Net& Net::flatten() {
  return apply("flatten", [](const Tensor& x) { return duel::reshape(x, {x.dim(0), x.size() / x.dim(0)}); });
}
Net& Net::apply(const std::string& name, std::function<Tensor(const Tensor&)> f) {
  auto layer = std::make_shared<Function>();
  layer->name = name;
  layer->f = std::move(f);
  return add(std::move(layer));
}
Net& Net::init(const Init& init) {
  init_ = init;
  return *this;
}
Net& Net::add(std::shared_ptr<Layer> layer) {
  layers_.push_back(std::move(layer));
  return *this;
}

Tensor Net::operator()(const Tensor& x) const {
  const Tensor y = run(x.dtype() == dtype_ ? convert(x, compute_) : x, {});  // indices, say, stay what they are
  return y.dtype() == compute_ ? convert(y, dtype_) : y;
}
Tensor Net::run(Tensor y, const std::function<void(const Tensor&)>& each) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    // A convolution before a batch norm hands it the statistics of its result.
    const auto* conv = dynamic_cast<const Convolution*>(layers_[i].get());
    const auto* norm = i + 1 < layers_.size() ? dynamic_cast<const BatchNorm*>(layers_[i + 1].get()) : nullptr;
    if (conv && norm && norm->training) {
      BatchStatistics statistics;
      y = conv->convolve(y, &statistics);
      if (each) each(y);
      y = norm->normalise(y, &statistics);
      ++i;
    } else {
      y = layers_[i]->forward(y);
    }
    if (each) each(y);
  }
  return y;
}
std::vector<Tensor> Net::activations(const Tensor& x) const {
  std::vector<Tensor> all;
  run(x.dtype() == dtype_ ? convert(x, compute_) : x,
      [&](const Tensor& y) { all.push_back(y.dtype() == compute_ ? convert(y, dtype_) : y); });
  return all;
}

State Net::state(const std::string& prefix) const {
  State out;
  int index = 0;
  for (const auto& layer : layers_) {
    const std::size_t before = out.size();
    layer->collect(prefix + std::to_string(index) + ".", out);
    if (out.size() > before) ++index;
  }
  return out;
}
std::vector<Tensor> Net::parameters() const { return tensors(duel::parameters(state())); }
std::vector<LayerSummary> Net::summary(const Shape& sample) {
  NoGrad off;
  std::vector<LayerSummary> rows;
  std::vector<std::int64_t> dims(sample.begin(), sample.end());
  dims.insert(dims.begin(), 1);
  set_training(false);
  Tensor y = zeros(Shape(dims), compute_);
  for (const auto& layer : layers_) {
    LayerSummary row{layer->describe(), {}, 0, 0};
    const LaunchHook before = std::exchange(launch_hook(), [&](const Launch& l) { row.flops += l.flops; });
    y = layer->forward(y);
    launch_hook() = before;
    row.output = Shape(y.shape().begin() + 1, static_cast<std::size_t>(y.rank() - 1));
    State state;
    layer->collect("", state);
    for (const NamedTensor& t : state)
      if (t.kind == Kind::parameter) row.parameters += t.value.size();
    rows.push_back(row);
  }
  set_training(true);
  return rows;
}

void Net::set_training(bool on) {
  for (const auto& layer : layers_) layer->set_training(on);
}

void copy_state(const State& to, const State& from) {
  std::map<std::string, Tensor> source;
  for (const NamedTensor& t : from) source[t.name] = t.value;
  for (const NamedTensor& t : to) {
    auto it = source.find(t.name);
    require(it != source.end(), "state: {} is missing", t.name);
    require(it->second.shape() == t.value.shape() && it->second.dtype() == t.value.dtype(),
            "state: {} is {}, expected {}", t.name, it->second, t.value);
  }
  for (const NamedTensor& t : to) assign(t.value, source.at(t.name));
}

}  // namespace duel
