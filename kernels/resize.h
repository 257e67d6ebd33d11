// Linear maps of image planes that are not convolutions, each with its transpose (which is its gradient).
#pragma once
#include "kernels/view.h"

namespace duel::kernels {

// Reflection padding (the edge is not repeated): y[n,i,j,c] = x[n, m(i-p, H), m(j-p, W), c],
// m(i, H) = i < 0 ? -i : i >= H ? 2*(H-1)-i : i;  x (N,H,W,C), y (N,H+2p,W+2p,C), p < min(H, W).
// transpose: x = sum of the y that read it; then y is the operand and x the result.
DUEL_KERNEL(reflection_pad, std::int64_t p, bool transpose, View x, View y);

// Bilinear resampling with half-pixel centres: y[n,i,j,c] = sum over the 2x2 neighbours of
// x[n, u, v, c] at u = (i+0.5)*H/H' - 0.5, v = (j+0.5)*W/W' - 0.5, both clamped to the image from below at 0.
// transpose as above.
DUEL_KERNEL(bilinear, bool transpose, View x, View y);

}  // namespace duel::kernels
