// GANs that draw images from noise alone: one iteration for any nets, put together from a loss, a penalty and an
// optimizer. A paper's file says which, and these options can be mixed.
#pragma once
#include <string>

#include "models/adversarial.h"
#include "models/progressive.h"

namespace duel {

// On DCGAN's nets.
ModelInfo convolutional_gan(const std::string& name, const std::string& summary, const std::string& paper,
                            const AdversarialRecipe& recipe);

// On nets of its own, with their options besides those of objective, penalty and training. No batch norm in D.
struct GanNets {
  Net g, g_ema, d;
  Growth growth = {};
};
using MakeNets = std::function<GanNets(const DataShape&, const Settings&)>;
ModelInfo unconditional_gan(const std::string& name, const std::string& summary, const std::string& paper,
                            const AdversarialRecipe& recipe, const std::vector<Setting>& of_nets, MakeNets make);

}  // namespace duel
