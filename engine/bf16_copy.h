// A parameter in two types: the f32 master, which is the leaf of the tape and what is trained and saved, and a bf16
// copy beside it in the same storage, which is what a net in bf16 multiplies with. Whoever writes the master (assign,
// the optimizers, averages, clipping) rounds the copy anew, so that a forward pass converts no weights.
#pragma once
#include "engine/tensor.h"

namespace duel {

// Gives w its copy, which lives as long as w's memory. Errors: w is not f32; while a Step records.
void keep_bf16_copy(const Tensor& w);
// w as a net computes with it: its copy as a result of the op "bf16_copy", one for each call, whose gradients are f32
// before they are added up. w itself where it keeps no copy, also where it is empty.
Tensor bf16_copy(const Tensor& w);

// For those who write parameters. The copy off the tape, or empty; and rounding it anew, a launch.
Tensor stored_bf16_copy(const Tensor& w);
void refresh_bf16_copy(const Tensor& w);

}  // namespace duel
