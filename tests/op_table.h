// The table of op cases: one row for each op and shape. The gradient checks, the parity checks and the
// microbenchmarks run over these rows; an op without a row fails the suite.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/ops.h"

namespace duel {

enum class Domain : std::uint8_t { normal, positive, unit };  // N(0,1); 0.5 .. 2.5; 0.1 .. 0.9

struct OpCase {
  std::string op, note;  // the op's registered name, and what is special here
  std::vector<Shape> shapes;
  std::function<Tensor(const std::vector<Tensor>&)> f;
  Domain domain = Domain::normal;
  bool differentiable = true;
};

std::vector<OpCase> op_cases();

}  // namespace duel
