// Deep convolutional GAN (Radford et al. 2016): the logistic loss on nets that obey five rules (models/nets.h), Adam
// with beta1 0.5 (section 4).
#include "models/unconditional.h"

namespace duel {

ModelInfo dcgan_model() {
  return convolutional_gan("dcgan", "deep convolutional GAN", "Radford et al. 2016", {.loss = "non-saturating"});
}

}  // namespace duel
