// What the convolutional GANs have in common: DCGAN's nets, and an iteration put together from a loss, a penalty and an
// optimizer. A paper's file says which, and these options can be mixed.
#pragma once
#include <string>

#include "models/model.h"

namespace duel {

// A paper's choices: the defaults of its options.
struct ConvGanRecipe {
  std::string loss = "non-saturating";  // minimax, non-saturating, wasserstein, least-squares, hinge
  std::string codes = "0-1-1";          // of the least-squares loss
  std::string penalty = "none";         // gp (1-centred), gp0 (0-centred), r1
  std::string lambda = "10";            // weight of the penalty
  std::string clip = "0";               // critic's weights are clipped to [-clip, clip]; 0: not
  std::string norm = "batch";           // in the critic: batch, none
  std::string optimizer = "adam";       // adam, rmsprop
  std::string lr = "0.0002", beta1 = "0.5", beta2 = "0.999";
  std::string n_critic = "1";
};

ModelInfo conv_gan(const std::string& name, const std::string& summary, const std::string& paper,
                   const ConvGanRecipe& recipe);

}  // namespace duel
