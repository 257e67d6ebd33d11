// How many threads the program computes with.
#pragma once

namespace duel {

// The processors this process may use: its affinity, and a container's quota where that is less. At least 1.
int available_threads();
// Before any kernel runs. libgomp reads OMP_WAIT_POLICY and GOMP_SPINCOUNT when the program is loaded; a policy of our
// own belongs here, as a restart of the program with those variables set.
void configure_threads(int count);

}  // namespace duel
