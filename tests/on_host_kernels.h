// Kernels that are right, and kernels with one bug each: what the executor must accept and what it must report.
#pragma once
#include <string>
#include <vector>

namespace duel::test {

// Who finds the bug. `always` by an error, in every build; `result` by wrong numbers, at least in a shuffled or unfair
// order; `asan`, `race`: an error in those builds (and perhaps nothing elsewhere).
enum class Finder { nobody, always, result, asan, race };

struct HostKernel {
  std::string name;
  Finder finder = Finder::nobody;
  std::string says;          // part of the message, where there is one
  void (*run)(float* out);   // 256 floats of device memory
  float (*expected)(int i);  // null: the result is not looked at
  bool race = false;         // the race build must report it too
};
std::vector<HostKernel> host_kernels();

}  // namespace duel::test
