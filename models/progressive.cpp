#include "models/progressive.h"

#include <algorithm>

#include "engine/context.h"
#include "engine/tape.h"

namespace duel {
namespace {

// Variant 3k of a Step is level k, 3k - 2 its first iteration, 3k - 1 the others in which it fades in.
struct Stage {
  int level;
  Tensor alpha;  // (1), of what is new; empty: all of it
};
Stage stage(const Growth& g) {
  const int variant = current_context().variant, level = (variant + 2) / 3;
  const std::int64_t fading = g.phase / 2;
  if (variant % 3 == 0 || fading == 0) return {level, {}};
  NoGrad off;
  return {level,
          clamp((iteration_number() - static_cast<double>(level * g.phase)) / static_cast<double>(fading), 0, 1)};
}
Tensor mix(const Tensor& old, const Tensor& young, const Tensor& alpha) {
  return lerp(old, young, convert(alpha, young.dtype()));
}
Tensor enlarged(const Tensor& x, std::int64_t side) { return upsample_nearest(x, side / x.dim(1)); }
Tensor reduced(const Tensor& x, std::int64_t side) { return avg_pool(x, x.dim(1) / side); }

// The common part of both nets: layers for each level, of which forward() uses those up to the current one.
struct Growing : Layer {
  Growth growth;
  std::int64_t base = 4, size = 0;
  std::vector<Net> hidden;  // [0]: the smallest map, from noise or to the score; [k]: between maps k - 1 and k
  std::vector<Net> image;   // [k]: level k's layer to or from images

  std::int64_t side(int level) const { return base << level; }
  void collect(const std::string& prefix, State& state) const override {
    const auto add = [&](const char* name, const std::vector<Net>& nets) {
      for (std::size_t k = 0; k < nets.size(); ++k) {
        const State s = nets[k].state(fmt::format("{}{}{}.", prefix, name, k));
        state.insert(state.end(), s.begin(), s.end());
      }
    };
    add("hidden", hidden);
    add("image", image);
  }
  void set_training(bool on) override {
    for (auto* nets : {&hidden, &image})
      for (Net& net : *nets) net.set_training(on);
  }
};

struct GrowingGenerator : Growing {
  Tensor forward(const Tensor& z) override {
    const auto [level, alpha] = stage(growth);
    Tensor map = hidden[0](z), below;  // the map that the image of this level is made of; and that of the level below
    for (int k = 1; k < level; ++k) {
      below = map;
      map = hidden[static_cast<std::size_t>(k)](map);
    }
    Tensor x = image[static_cast<std::size_t>(level)](map);
    if (alpha) {
      const Tensor old = image[static_cast<std::size_t>(level - 1)](level > 1 ? below : map);
      x = mix(upsample_nearest(old, 2), x, alpha);
    }
    return enlarged(x, size);
  }
  std::string describe() const override { return fmt::format("growing from {0}x{0} to {1}x{1}", base, size); }
};

struct GrowingCritic : Growing {
  Tensor forward(const Tensor& images) override {
    const auto [level, alpha] = stage(growth);
    const Tensor x = reduced(images, side(level));
    Tensor map = image[static_cast<std::size_t>(level)](x);
    if (level > 1) map = hidden[static_cast<std::size_t>(level - 1)](map);
    if (alpha) map = mix(image[static_cast<std::size_t>(level - 1)](avg_pool(x, 2)), map, alpha);
    for (int k = level - 2; k > 0; --k) map = hidden[static_cast<std::size_t>(k)](map);
    return hidden[0](map);
  }
  std::string describe() const override { return fmt::format("growing from {0}x{0} to {1}x{1}", base, size); }
};

}  // namespace

int Growth::variant(std::int64_t iteration) const {
  const auto level = static_cast<int>(std::min<std::int64_t>(iteration / phase, levels));
  const std::int64_t since = iteration - level * phase;
  return level == 0 ? 0 : 3 * level - (since == 0 ? 2 : since < phase / 2 ? 1 : 0);
}
std::int64_t Growth::busiest() const { return levels * phase + phase / 4; }

bool level_begins() { return current_context().variant % 3 == 1; }

Growth growth(std::int64_t size, std::int64_t phase) {
  Growth g{phase, 0};
  for (std::int64_t side = dcgan_pyramid(size, 1).base; side < size; side *= 2) ++g.levels;
  return g;
}

Net growing_generator(std::int64_t size, std::int64_t channels, const DcganOptions& o, const Growth& growth) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  const auto layer = std::make_shared<GrowingGenerator>();
  layer->growth = growth;
  layer->base = p.base;
  layer->size = size;
  const Act act = o.norm ? Act::none : Act::relu;
  const auto normed = [&](Net& net, std::int64_t c) -> Net& { return o.norm ? net.batch_norm(c, Act::relu) : net; };
  for (std::size_t k = 0; k < p.channels.size(); ++k) {
    Net net(init_dcgan);
    if (k == 0)
      net.reshape({1, 1, o.z_dim}).conv_transpose(o.z_dim, p.channels[0], p.base, 1, 0, act, !o.norm);
    else
      net.conv_transpose(p.channels[k - 1], p.channels[k], 4, 2, 1, act, !o.norm);
    layer->hidden.push_back(normed(net, p.channels[k]));
  }
  layer->image.push_back(Net(init_dcgan).conv(p.channels[0], channels, 3, 1, 1, Act::tanh, !o.norm));
  for (const std::int64_t c : p.channels)
    layer->image.push_back(Net(init_dcgan).conv_transpose(c, channels, 4, 2, 1, Act::tanh, !o.norm));
  return Net().add(layer);
}

Net growing_critic(std::int64_t size, std::int64_t channels, const DcganOptions& o, const Growth& growth) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  const auto layer = std::make_shared<GrowingCritic>();
  layer->growth = growth;
  layer->base = p.base;
  layer->size = size;
  const bool norm = o.norm && !o.critic.spectral_norm;
  const auto part = [&] { return Net(norm ? init_dcgan : init_kaiming).spectral_norm(o.critic.spectral_norm); };
  for (std::size_t k = 0; k < p.channels.size(); ++k) {
    Net net = part();
    if (k == 0) {
      const std::int64_t seen = add_stddev(net, p.channels[0], o.critic);
      net.conv(seen, o.outputs, p.base, 1, 0, Act::none, !norm).flatten();
    } else {
      net.conv(p.channels[k], p.channels[k - 1], 4, 2, 1, norm ? Act::none : Act::leaky_relu, !norm);
      if (norm) net.batch_norm(p.channels[k - 1], Act::leaky_relu);
    }
    layer->hidden.push_back(net);
  }
  const std::int64_t seen = o.critic.pac * channels;
  layer->image.push_back(part().conv(seen, p.channels[0], 3, 1, 1, Act::leaky_relu, !norm));
  for (const std::int64_t c : p.channels) layer->image.push_back(part().conv(seen, c, 4, 2, 1, Act::leaky_relu, !norm));
  return Net().add(layer);
}

Tensor at_level(const Tensor& images, const Growth& growth) {
  const auto [level, alpha] = stage(growth);
  const std::int64_t size = images.dim(1), side = size >> (growth.levels - level);
  Tensor x = reduced(images, side);
  if (alpha) x = mix(upsample_nearest(avg_pool(x, 2), 2), x, alpha);
  return enlarged(x, size);
}

}  // namespace duel
