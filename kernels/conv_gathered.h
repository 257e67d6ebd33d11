// Convolutions in f32 by gathered pixels: own code for the two cases in which oneDNN leaves most of the CPU idle. A
// workspace need not be cleared.
#pragma once
#include "kernels/conv.h"

namespace duel::kernels::cpu {

// Few channels in the result, or in an image of a weight gradient: any slot.
// Up to 12 channels it is faster than oneDNN (at 12: slot y 213 GFLOP/s against 188, slot w 190 / 130, slot x 230 /
// 196), at 16 the two are even.
bool is_few(ConvSlot slot, const ConvGeometry& g);
std::int64_t few_floats(ConvSlot slot, const ConvGeometry& g, int threads);  // the workspace's size
void run_few(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, float* workspace, int threads);

// Slot y on a map at most 4 wide: the pixels under each y pixel are copied side by side, and the rest is a matrix
// product. oneDNN's forward convolution multiplies one row of y at a time, too short a tile there (512->1024, 8x8 ->
// 4x4, k4 s2, N128: 252 GFLOP/s against 487; on a 5x5 map it wins).
bool is_columns(ConvSlot slot, const ConvGeometry& g);
std::int64_t columns_floats(const ConvGeometry& g);
void run_columns(const ConvGeometry& g, View a, View b, View out, float* workspace);

}  // namespace duel::kernels::cpu
