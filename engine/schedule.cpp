#include "engine/schedule.h"

#include <cmath>
#include <numbers>

#include "engine/error.h"
#include "engine/ops.h"
#include "engine/tape.h"

namespace duel {

Tensor cosine_progress(std::int64_t over) {
  require(over >= 0, "cosine_progress: over {} iterations, expected 0 or more", over);
  NoGrad off;
  if (over == 0) return ones({1});
  const Tensor t = clamp(iteration_number() / static_cast<double>(over), 0, 1);
  return 0.5 - 0.5 * cos(std::numbers::pi * t);
}

Tensor decay_of_part(double decay, const Tensor& s) {
  require(decay > 0 && decay < 1, "decay_of_part: found {}, expected a decay between 0 and 1", decay);
  NoGrad off;
  return exp(std::log(decay) * reciprocal(clamp(s, 1e-9, 1)));
}

}  // namespace duel
