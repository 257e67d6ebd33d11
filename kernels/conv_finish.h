// What conv_finished does where no kernel of its own does it on the way.
#pragma once
#include "kernels/conv.h"
#include "kernels/elementwise.h"

namespace duel::kernels {

// out = act(out + bias), by a device's map.
inline void finish_in_place(decltype(map.cpu) map_of_device, const ConvFinish& f, View bias, View out) {
  View along_channels = bias;
  along_channels.rank = out.rank;
  for (int i = 0; i < out.rank; ++i) along_channels.dim[i] = i + 1 < out.rank ? 1 : bias.size();
  if (bias)
    map_of_device(f.tanh ? Map::bias_tanh : Map::bias_leaky_relu, f.slope, 0, out, along_channels, {}, out);
  else if (f.tanh || f.slope != 1)
    map_of_device(f.tanh ? Map::tanh : Map::leaky_relu, f.slope, 0, out, {}, {}, out);
}

}  // namespace duel::kernels
