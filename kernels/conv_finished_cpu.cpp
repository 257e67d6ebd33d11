// CPU path of conv_finished: one kernel after the other.
#include "kernels/conv_finish.h"
#include "kernels/norm.h"

namespace duel::kernels::cpu {

void conv_finished(ConvSlot slot, ConvGeometry g, ConvFinish finish, View a, View b, View bias, View out, View mean,
                   View rstd, View workspace) {
  conv(slot, g, a, b, out, workspace);
  finish_in_place(&map, finish, bias, out);
  if (mean) norm_statistics({1, out.rows(), out.last(), 1}, finish.eps, out, mean, rstd, {});
}

}  // namespace duel::kernels::cpu
