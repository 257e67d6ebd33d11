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

DcganOptions dcgan_options(const Settings& s, bool norm) {
  return {.width = s.integer("width"), .z_dim = s.integer("z-dim"), .norm = norm};
}

Net dcgan_generator(std::int64_t size, std::int64_t channels, const DcganOptions& o) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  const Act hidden = o.norm ? Act::none : Act::relu;  // under batch norm the activation follows the norm
  Net g(init_dcgan);
  g.reshape({1, 1, o.z_dim}).conv_transpose(o.z_dim, p.channels[0], p.base, 1, 0, hidden, !o.norm);
  if (o.norm) g.batch_norm(p.channels[0], Act::relu);
  for (std::size_t i = 1; i < p.channels.size(); ++i) {
    g.conv_transpose(p.channels[i - 1], p.channels[i], 4, 2, 1, hidden, !o.norm);
    if (o.norm) g.batch_norm(p.channels[i], Act::relu);
  }
  return g.conv_transpose(p.channels.back(), channels, 4, 2, 1, Act::tanh, !o.norm);
}

Net dcgan_critic(std::int64_t size, std::int64_t channels, const DcganOptions& o) {
  const Pyramid p = dcgan_pyramid(size, o.width);
  Net d(o.norm ? init_dcgan : init_kaiming);
  d.conv(channels, p.channels.back(), 4, 2, 1, Act::leaky_relu, !o.norm);
  for (std::size_t i = p.channels.size() - 1; i > 0; --i) {
    d.conv(p.channels[i], p.channels[i - 1], 4, 2, 1, o.norm ? Act::none : Act::leaky_relu, !o.norm);
    if (o.norm) d.batch_norm(p.channels[i - 1], Act::leaky_relu);
  }
  return d.conv(p.channels[0], o.outputs, p.base, 1, 0, Act::none, !o.norm).flatten();
}

}  // namespace duel
