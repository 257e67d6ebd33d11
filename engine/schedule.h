// Numbers that change with the iteration, as device data: a Step that is replayed follows them.
#pragma once
#include "engine/context.h"

namespace duel {

// Part of the first `over` iterations that is past, smoothed: s = (1 - cos(pi min(t / over, 1))) / 2, from 0 to 1, for
// the iteration t (Loshchilov and Hutter 2017, eq. 5, turned round). (1), off the tape. over 0: 1.
Tensor cosine_progress(std::int64_t over);
// d = decay^(1/s), so that the average's half-life is s times that of `decay`; s in [0, 1]. 0 at s = 0.
Tensor decay_of_part(double decay, const Tensor& s);

}  // namespace duel
