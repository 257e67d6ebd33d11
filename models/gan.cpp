// Generative adversarial nets of fully connected layers (Goodfellow et al. 2014): algorithm 1 with one step of D for
// each of G (models/unconditional.cpp), Adam in the place of the paper's momentum.
#include "models/nets.h"
#include "models/unconditional.h"

namespace duel {
namespace {

Net generator(const DataShape& data, std::int64_t z_dim) {
  Net g;
  g.linear(z_dim, 256, Act::leaky_relu).linear(256, 512, Act::leaky_relu).linear(512, 1024, Act::leaky_relu);
  g.linear(1024, data.height * data.width * data.channels, Act::tanh);
  return g.reshape({data.height, data.width, data.channels});
}

Net discriminator(const DataShape& data, const CriticOptions& o) {
  Net d;
  d.spectral_norm(o.spectral_norm).flatten();
  d.linear(data.height * data.width * data.channels * o.pac, 512, Act::leaky_relu).linear(512, 256, Act::leaky_relu);
  const std::int64_t features = add_stddev(d, 256, o);
  return d.linear(features, 1);
}

}  // namespace

ModelInfo gan_model() {
  return unconditional_gan(
      "gan", "fully connected GAN with the minimax or the non-saturating loss", "Goodfellow et al. 2014",
      {.z_dim = "100"}, critic_settings(), [](const DataShape& data, const Settings& s) -> GanNets {
        const std::int64_t z_dim = s.integer("z-dim");
        return {generator(data, z_dim), generator(data, z_dim), discriminator(data, critic_options(s))};
      });
}

}  // namespace duel
