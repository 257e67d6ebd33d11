#include "engine/chain_net.h"

#include <algorithm>

#include "engine/error.h"

namespace duel {
namespace {

constexpr std::int64_t most_values = std::int64_t{1} << 26;  // of one image's result
constexpr std::int64_t most_side = 4096;

// An image's result as it goes through the layers: (h,w,c), or (c) once it is flat.
struct Map {
  std::int64_t h = 0, w = 0, c = 0;
  bool flat = false;
  std::int64_t size() const { return flat ? c : h * w * c; }
  std::string describe() const { return flat ? fmt::format("({})", c) : fmt::format("({},{},{})", h, w, c); }
};

// What comes out of a layer. Error: it cannot take what comes in.
Map through(const NetLayer& l, Map m, const std::string& where) {
  const bool needs_map = l.kind == "conv" || l.kind.ends_with("pool") || l.kind == "flatten";
  require(!needs_map || !m.flat, "{}: it is given {} values, expected a map; it stands after a flatten", where, m.c);
  if (l.kind == "conv" || l.kind == "batch norm")
    require(l.in == m.c, "{}: its tensors are for {} channels, expected {}", where, l.in, m.c);
  if (l.kind == "conv") {
    require(l.stride >= 1 && l.stride <= most_side && l.padding >= 0 && l.padding < l.kernel,
            "{}: stride {} and padding {}, expected 1 or more and less than the kernel's {}", where, l.stride,
            l.padding, l.kernel);
    const std::int64_t high = m.h + 2 * l.padding - l.kernel, wide = m.w + 2 * l.padding - l.kernel;
    require(high >= 0 && wide >= 0, "{}: a kernel of {} does not fit into {}", where, l.kernel, m.describe());
    m = {high / l.stride + 1, wide / l.stride + 1, l.out, false};
  } else if (l.kind == "linear") {
    require(m.flat && l.in == m.c, "{}: it takes {} values, found {}{}", where, l.in, m.describe(),
            m.flat ? "" : "; a flatten is missing");
    m.c = l.out;
  } else if (l.kind.ends_with("pool")) {
    require(l.size >= 1 && l.size <= std::min(m.h, m.w), "{}: windows of {}, expected 1 to {}", where, l.size,
            std::min(m.h, m.w));
    m = {m.h / l.size, m.w / l.size, m.c, false};
  } else if (l.kind == "flatten") {
    m = {1, 1, m.size(), true};
  }
  require(m.c >= 1 && m.c <= most_values && m.size() <= most_values, "{}: its result {} has more than {} values", where,
          m.describe(), most_values);
  return m;
}

Tensor flattened(const Tensor& x, bool channels_first) {
  const Tensor y = channels_first ? permute(x, {0, 3, 1, 2}) : x;
  return reshape(y, {y.dim(0), y.size() / y.dim(0)});
}

Act act_of(const NetLayer& l) { return l.kind == "relu" ? Act::relu : l.kind == "tanh" ? Act::tanh : Act::leaky_relu; }

void add_to(Net& net, const NetLayer& l, Act act) {
  if (l.kind == "conv")
    net.conv(l.in, l.out, l.kernel, l.stride, l.padding, act, l.bias);
  else if (l.kind == "linear")
    net.linear(l.in, l.out, act, l.bias);
  else if (l.kind == "batch norm")
    net.batch_norm(l.in, act);
  else if (l.kind == "relu")
    net.apply(l.kind, [](const Tensor& x) { return relu(x); });
  else if (l.kind == "tanh")
    net.apply(l.kind, [](const Tensor& x) { return tanh(x); });
  else if (l.kind == "leaky relu")
    net.apply(l.kind, [s = l.slope](const Tensor& x) { return leaky_relu(x, s); });
  else if (l.kind == "max pool")
    net.apply(l.kind, [n = l.size](const Tensor& x) { return max_pool(x, n); });
  else if (l.kind == "avg pool")
    net.apply(l.kind, [n = l.size](const Tensor& x) { return avg_pool(x, n); });
  else
    net.apply(l.kind, [first = l.channels_first](const Tensor& x) { return flattened(x, first); });
}

}  // namespace

ChainNet::ChainNet(const NetInput& input, const std::vector<NetLayer>& layers, std::size_t features,
                   std::int64_t classes)
    : input_(input), layers_(layers), features_(features), classes_(classes), net_(init_default, DType::f32) {
  require(features >= 1 && features <= layers.size(), "features: found {}, expected 1 to {}: the layers", features,
          layers.size());
  Map m{input.height, input.width, input.channels, false};
  std::size_t results = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const NetLayer& l = layers_[i];
    m = through(l, m, fmt::format("layer {} ({})", i + 1, l.kind));
    if (!fused(i)) {
      add_to(net_, l, i + 1 < layers.size() && fused(i + 1) ? act_of(layers_[i + 1]) : Act::none);
      ++results;
    }
    if (i + 1 != features) continue;
    width_ = m.size();
    feature_result_ = results - 1;
  }
  require(classes >= 0 && (classes == 0 || (m.flat && m.c == classes)),
          "classes: found {}, expected {}: the last result", classes, m.describe());
  std::vector<double> scale, shift;  // of values in [-1, 1]
  for (std::size_t c = 0; c < input.scale.size(); ++c) {
    scale.push_back(input.scale[c] / 2);
    shift.push_back(input.scale[c] / 2 + input.shift[c]);
  }
  scale_ = from_vector({1, 1, 1, input.channels}, scale, DType::f32);
  shift_ = from_vector({1, 1, 1, input.channels}, shift, DType::f32);
}

bool ChainNet::fused(std::size_t i) const {
  const NetLayer& l = layers_[i];
  const bool activation = l.kind == "relu" || l.kind == "tanh" || (l.kind == "leaky relu" && l.slope == 0.2);
  return activation && i > 0 && i != features_ && layers_[i - 1].has_tensors();
}

ChainNet::Answer ChainNet::operator()(const Tensor& images) const {
  const bool repeat = images.dim(3) == 1 && input_.channels > 1;
  const Shape expected{images.dim(0), input_.height, input_.width, repeat ? 1 : input_.channels};
  require(images.shape() == expected, "features: images are {}, expected {}", images, to_string(expected));
  const std::vector<Tensor> results = net_.activations(images * scale_ + shift_);
  const Tensor& f = results[feature_result_];
  return {reshape(f, {f.dim(0), width_}), classes_ > 0 ? results.back() : Tensor()};
}

}  // namespace duel
