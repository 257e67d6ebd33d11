// Whole training iterations to be timed; bench/torch_steps.py has the same nets and losses under the same names.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/step.h"

namespace duel {

struct StepCase {
  std::int64_t batch, n_critic;
  Shape image;      // (H,W,C)
  Step::Body body;  // owns its nets and optimizers
};

const std::vector<std::string>& step_cases();
// On the default device, from seed 0. Error: an unknown name.
StepCase step_case(const std::string& name);

}  // namespace duel
