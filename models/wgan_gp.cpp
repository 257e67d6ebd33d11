// Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, algorithm 1). The critic has no batch norm: the penalty
// is on the gradient at each image alone (section 4).
#include "models/unconditional.h"

namespace duel {

ModelInfo wgan_gp_model() {
  return convolutional_gan("wgan-gp", "Wasserstein GAN with gradient penalty", "Gulrajani et al. 2017",
                           {.loss = "wasserstein",
                            .penalty = "gp",
                            .norm = "none",
                            .lr = "0.0002",
                            .beta1 = "0",
                            .beta2 = "0.9",
                            .n_critic = "5"});
}

}  // namespace duel
