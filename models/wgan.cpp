// Wasserstein GAN (Arjovsky et al. 2017, algorithm 1): the critic's weights are clipped to [-c, c], both nets move by
// RMSprop, five critic steps for each of the generator's. The paper's critic keeps DCGAN's batch norm.
#include "models/unconditional.h"

namespace duel {

ModelInfo wgan_model() {
  return convolutional_gan(
      "wgan", "Wasserstein GAN with clipped weights", "Arjovsky et al. 2017",
      {.loss = "wasserstein", .clip = "0.01", .optimizer = "rmsprop", .lr = "5e-05", .n_critic = "5"});
}

}  // namespace duel
