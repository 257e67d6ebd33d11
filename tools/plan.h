// The plan before a training: what would be computed, with how much memory and time. Nothing is written.
#pragma once
#include <string>

#include "engine/data/dataset.h"
#include "engine/step.h"
#include "models/model.h"
#include "tools/checkpoint.h"

namespace duel {

// Prints layers, arithmetic, memory and data, and tries the iteration for a few seconds. `steps` 0: no limit.
int show_plan(Model& model, Dataset& data, const RunIdentity& identity, std::int64_t steps);

// "12.3 MiB at its peak": what the memory plan of the Step's last iteration reached.
std::string peak_memory(const Step& step);

}  // namespace duel
