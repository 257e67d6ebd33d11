// Geometric GAN (Lim and Ye 2017): the hinge loss of a support vector machine.
#include "models/unconditional.h"

namespace duel {

ModelInfo hinge_model() {
  return convolutional_gan("hinge", "GAN with the hinge loss", "Lim and Ye 2017",
                           {.loss = "hinge", .beta1 = "0", .beta2 = "0.9"});
}

}  // namespace duel
