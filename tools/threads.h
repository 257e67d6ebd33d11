// How many threads the program computes with, on what device, and how finely.
#pragma once
#include <string>

#include "models/model.h"

namespace duel {

// The processors this process may use: its affinity, and a container's quota where that is less. At least 1.
int available_threads();
// Bounds how long idle threads of the pool spin, which libgomp reads from the environment when the program is loaded:
// so the first call in main() starts the program once more, with the bound set. Does nothing where the user chose a
// policy (OMP_WAIT_POLICY, GOMP_SPINCOUNT).
void bound_spinning(char** argv);
// Before any kernel runs.
void configure_threads(int count);
// Before any tensor is made. Errors as for choose_device.
void use_device(const std::string& word);
// After it, before any net is made. Errors as for choose_precision.
void use_precision(const std::string& word);

Setting threads_option();
Setting device_option();
Setting conv_option();
Setting precision_option();
// Of commands that draw from a run: the run's own, or another.
Setting drawing_precision_option();

}  // namespace duel
