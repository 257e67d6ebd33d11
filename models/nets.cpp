#include "models/nets.h"

#include <algorithm>
#include <cstdlib>

#include "engine/error.h"

namespace duel {
Pyramid dcgan_pyramid(std::int64_t size, std::int64_t width) {
  std::int64_t nearest = 28;
  for (std::int64_t legal : {32, 64, 128})
    if (std::abs(legal - size) <= std::abs(nearest - size)) nearest = legal;
  require(size == nearest, "images are {0}x{0}, expected 28, 32, 64 or 128 pixels a side; the nearest is --size {1}",
          size, nearest);
  Pyramid p{size == 28 ? 7 : 4, {}};
  for (std::int64_t side = size / 2, c = width; side >= p.base; side /= 2, c = std::min(2 * c, 8 * width))
    p.channels.insert(p.channels.begin(), c);
  return p;
}

CriticOptions critic_options(const Settings& s) {
  const auto whole = [&](const char* name, std::int64_t otherwise) {
    return s.has(name) ? s.integer(name) : otherwise;
  };
  return {.spectral_norm = s.has("spectral-norm") && s.word("spectral-norm") == "yes",
          .stddev_group = whole("minibatch-stddev", 0),
          .pac = whole("pac", 1)};
}
DcganOptions dcgan_options(const Settings& s, bool norm) {
  return {.width = s.integer("width"), .z_dim = s.integer("z-dim"), .norm = norm, .critic = critic_options(s)};
}

Net dcgan_generator(std::int64_t size, std::int64_t channels, const DcganOptions& o) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  const Act hidden = o.norm ? Act::none : Act::relu;  // under batch norm the activation follows the norm
  Net g(init_dcgan);
  if (o.hidden > 0) g.linear(o.z_dim, o.hidden, hidden, !o.norm);
  if (o.hidden > 0 && o.norm) g.batch_norm(o.hidden, Act::relu);
  const std::int64_t features = o.hidden > 0 ? o.hidden : o.z_dim;
  g.reshape({1, 1, features}).conv_transpose(features, p.channels[0], p.base, 1, 0, hidden, !o.norm);
  if (o.norm) g.batch_norm(p.channels[0], Act::relu);
  for (std::size_t i = 1; i < p.channels.size(); ++i) {
    g.conv_transpose(p.channels[i - 1], p.channels[i], 4, 2, 1, hidden, !o.norm);
    if (o.norm) g.batch_norm(p.channels[i], Act::relu);
  }
  return g.conv_transpose(p.channels.back(), channels, 4, 2, 1, Act::tanh, !o.norm);
}

Net dcgan_critic(std::int64_t size, std::int64_t channels, const DcganOptions& o) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  const bool norm = o.norm && !o.critic.spectral_norm;
  Net d(norm ? init_dcgan : init_kaiming);
  d.spectral_norm(o.critic.spectral_norm);
  d.conv(o.critic.pac * channels, p.channels.back(), 4, 2, 1, Act::leaky_relu, !norm);
  for (std::size_t i = p.channels.size() - 1; i > 0; --i) {
    d.conv(p.channels[i], p.channels[i - 1], 4, 2, 1, norm ? Act::none : Act::leaky_relu, !norm);
    if (norm) d.batch_norm(p.channels[i - 1], Act::leaky_relu);
  }
  const std::int64_t seen = add_stddev(d, p.channels[0], o.critic);
  return d.conv(seen, o.outputs, p.base, 1, 0, Act::none, !norm).flatten();
}

std::int64_t add_stddev(Net& d, std::int64_t channels, const CriticOptions& o) {
  if (o.stddev_group == 0) return channels;
  d.apply(fmt::format("minibatch stddev of {}", o.stddev_group),
          [group = o.stddev_group](const Tensor& x) { return minibatch_stddev(x, group); });
  return channels + 1;
}
Tensor minibatch_stddev(const Tensor& x, std::int64_t most) {
  const std::int64_t n = x.dim(0), group = std::min(most, n), groups = n / group;
  require(n == group * groups, "[minibatch_stddev] {} samples, expected a multiple of {}", n, group);
  const Tensor wide = widen(reshape(x, {group, groups, x.size() / n}));
  const Tensor deviation = mean(sqrt(variance(wide, {0}) + 1e-8), {1});  // (M); the root has a slope at 0
  Shape channel = x.shape();
  channel[x.rank() - 1] = 1;
  const std::int64_t positions = channel.size() / n;
  const Tensor y = broadcast_to(reshape(deviation, {1, groups, 1}), {group, groups, positions});
  return concat({x, convert(reshape(y, channel), x.dtype())}, -1);
}

}  // namespace duel
