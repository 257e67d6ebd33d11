#include "engine/bf16_copy.h"

#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/copy.h"

namespace duel {
namespace {
const Op bf16_copy_op{"bf16_copy", "y = w rounded to bf16, as its storage keeps it"};
}

void keep_bf16_copy(const Tensor& w) {
  require(w.dtype() == DType::f32, "bf16_copy: only f32 tensors keep one, found {}", w);
  require(current_recording() == nullptr, "bf16_copy: parameters are made outside a Step, found {} within one", w);
  Storage& master = *w.storage();
  if (!master.bf16) master.bf16 = std::make_shared<Storage>(master.pool, master.bytes / 2);
  refresh_bf16_copy(w);
}

Tensor stored_bf16_copy(const Tensor& w) {
  if (!w || !w.storage()->bf16) return {};
  return {std::make_shared<Node>(w.shape(), DType::bf16, w.device()), w.storage()->bf16};
}

void refresh_bf16_copy(const Tensor& w) {
  if (const Tensor copy = stored_bf16_copy(w))
    launch(bf16_copy_op.name, 0, kernels::convert, w.device(), w.view(), copy.view(), 1.0, 0.0);
}

Tensor bf16_copy(const Tensor& w) {
  Tensor copy = stored_bf16_copy(w);
  if (!copy) return w;
  return record(bf16_copy_op, copy, {w}, [t = w.dtype()](const Call& c) { return Grads{convert(c.dy, t)}; });
}

}  // namespace duel
