// Which op made the first value that is not finite: a whole iteration looked through, for the message that ends a run.
#pragma once
#include <span>
#include <string>

#include "engine/state.h"
#include "engine/step.h"

namespace duel {

// Runs the iteration that `step` ended with (finite() is false) once more, op by op, and looks at every result. It has
// to be handed the batches of that iteration, and the model's state. The flag stays false, so nothing is written
// meanwhile. The state is then where the update that failed found it: all before it in the iteration were done, that
// one and all after it were not, so its own part is repeated to the bit. Answers a part of a sentence: "op matmul
// (kernel matmul) made inf in 3 of 4096 values (8,512) f32 from ...". The step runs eagerly from now on.
std::string find_bad_value(Step& step, std::span<const HostBatch> batches, const State& state, int variant = 0);

}  // namespace duel
