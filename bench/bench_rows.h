// The op table's rows at the sizes of GANs, for timing.
#pragma once
#include <vector>

#include "tests/op_table.h"

namespace duel {

std::vector<OpCase> bench_rows();

}  // namespace duel
