// The op table on another device than the CPU, against the CPU in f64.
#pragma once
#include <string>
#include <vector>

#include "engine/device.h"
#include "tests/op_table.h"

namespace duel::test {

// The build that checks every access for races, and is twenty times slower.
#ifdef DUEL_RACE
inline constexpr bool watches_races = true;
#else
inline constexpr bool watches_races = false;
#endif

// A row's inputs as numbers, and what it makes of them: the result, its gradients, and the gradients of
//   S = sum over i of <(dL/dx_i)^2, u_i>,  L = <f(x), v>
// with respect to all x_i and v. An empty vector stands for "no dependence".
struct Numbers {
  std::vector<std::vector<double>> x, u;
  std::vector<double> v;
};
struct Derivatives {
  std::vector<double> y;
  std::vector<std::vector<double>> first, second;
};
// Draws inputs that `dtype` can hold exactly. Leaves v empty for rows without derivatives.
Numbers draw(const OpCase& c, DType dtype, std::uint64_t seed);
Derivatives evaluate(const OpCase& c, const Numbers& n, Device device, DType dtype);

// The largest |a - b| / (1 + max |b|) over everything; infinity where a value is missing or not a number.
double worst_error(const Derivatives& a, const Derivatives& b);
std::string title(const OpCase& c);

}  // namespace duel::test
