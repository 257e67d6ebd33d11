// How long work takes on a device, and how fast the device is at best.
#pragma once
#include <functional>

#include "engine/device.h"

namespace duel {

struct Timing {
  double median = 0, low = 0, high = 0;  // seconds
};
// What `work` queues, alone on the device, seven times; each is the mean of as many repetitions as fit into a seventh
// of `budget` seconds (1 to 1000).
Timing time_work(Device device, const std::function<void()>& work, double budget);

// What a device reaches: bytes/s, read and written, of a large copy; flop/s of a large matrix product.
struct Ceiling {
  double bytes = 0, flops = 0;
  // The part of the ceiling that this much in so many seconds is: of the bytes or of the arithmetic, whichever is more.
  double fraction(double moved_bytes, double done_flops, double seconds) const;
};
// Measured now, in about two seconds. Tensors are of `type`.
Ceiling measure_ceiling(Device device, DType type);

}  // namespace duel
