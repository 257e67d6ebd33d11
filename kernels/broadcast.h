// How operands of an elementwise map lie beside its result.
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// The shape of y with axes joined wherever every operand allows it, and for each operand its strides (0: broadcast).
struct BroadcastPlan {
  int rank = 0;
  std::int64_t dim[max_rank] = {};
  std::int64_t stride[3][max_rank] = {};
};

inline bool broadcasts(const View& v, const View& y, int axis) { return v.dim[axis] == 1 && y.dim[axis] != 1; }

inline BroadcastPlan plan_broadcast(const View* operand, int arity, const View& y) {
  BroadcastPlan plan;
  for (int k = 0; k < y.rank; ++k) {
    if (y.dim[k] == 1) continue;
    bool joins = plan.rank > 0;
    for (int i = 0; i < arity && joins; ++i)
      joins = broadcasts(operand[i], y, k) == (plan.stride[i][plan.rank - 1] == 0);
    if (joins) {
      plan.dim[plan.rank - 1] *= y.dim[k];
    } else {
      for (int i = 0; i < arity; ++i) plan.stride[i][plan.rank] = broadcasts(operand[i], y, k) ? 0 : 1;
      plan.dim[plan.rank++] = y.dim[k];
    }
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.dim[0] = 1;
  }
  for (int i = 0; i < arity; ++i) {  // the marks 0 and 1 become strides
    std::int64_t step = 1;
    for (int k = plan.rank - 1; k >= 0; --k) {
      if (plan.stride[i][k] == 0) continue;
      plan.stride[i][k] = step;
      step *= plan.dim[k];
    }
  }
  return plan;
}

}  // namespace duel::kernels
