// Least-squares GAN (Mao et al. 2017): D regresses to codes, so fake images that are already on the right side but far
// from the boundary still have a gradient. Nets as DCGAN's.
#include "models/unconditional.h"

namespace duel {

ModelInfo lsgan_model() {
  return convolutional_gan("lsgan", "least-squares GAN with codes a, b, c", "Mao et al. 2017",
                           {.loss = "least-squares"});
}

}  // namespace duel
