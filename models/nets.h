// The nets that several papers share: DCGAN's (Radford et al. 2016), by its five rules.
//   strided convolutions instead of pooling; batch norm except at G's output and D's input; no hidden fully connected
//   layers; ReLU in G and tanh at its output; leaky ReLU in D.
#pragma once
#include "engine/net.h"
#include "models/model.h"

namespace duel {

// Of any discriminator.
struct CriticOptions {
  bool spectral_norm = false;     // in the place of batch norm, which would undo it
  std::int64_t stddev_group = 0;  // of minibatch_stddev before the last layer; 0: without
  std::int64_t pac = 1;           // images at once, joined along the channels
};
// With the options "spectral-norm", "minibatch-stddev" and "pac", as far as the model has them.
CriticOptions critic_options(const Settings& s);

// The side of the smallest map, and the channels of every map below the image, from the smallest map to the largest.
struct Pyramid {
  std::int64_t base;
  std::vector<std::int64_t> channels;
};
// Error: a size other than 28, 32, 64 and 128.
Pyramid dcgan_pyramid(std::int64_t size, std::int64_t width);

struct DcganOptions {
  std::int64_t width = 64;  // channels next to the image; they double with every halving of the map, up to 8 * width
  std::int64_t z_dim = 128;
  std::int64_t hidden = 0;   // features of a fully connected layer in G, between noise and maps; 0: none
  bool norm = true;          // batch norm
  std::int64_t outputs = 1;  // of the critic, for an image
  CriticOptions critic = {};
};
// With the options "width" and "z-dim", and those of critic_options().
DcganOptions dcgan_options(const Settings& s, bool norm);

// With batch norm no layer has a bias, as in the authors' code; without, every layer has one.
// z (N,z_dim) -> 4x4 (28 pixels: 7x7) -> ... -> (N,size,size,channels) in (-1, 1), doubling the map with every layer.
// Error: a size other than 28, 32, 64 and 128.
Net dcgan_generator(std::int64_t size, std::int64_t channels, const DcganOptions& options = {});
// (N,size,size,pac*channels) -> (N,outputs), the same in reverse. Without batch norm it is WGAN-GP's critic.
Net dcgan_critic(std::int64_t size, std::int64_t channels, const DcganOptions& options = {.norm = false});
// What a critic's last layer follows: minibatch_stddev where the options ask for it. Answers the channels after it.
std::int64_t add_stddev(Net& d, std::int64_t channels, const CriticOptions& options);
// Minibatch standard deviation (Karras et al. 2018, section 3): one more channel. Of N samples in M = N/group groups,
// sample n is in group n mod M, and
//   y[n,...,C] = mean over positions and channels of the standard deviation within the group of n;  y = x elsewhere
// On maps (N,H,W,C) and on features (N,C). Fewer samples than `group` are one group. Error: the groups are uneven.
Tensor minibatch_stddev(const Tensor& x, std::int64_t group);

}  // namespace duel
