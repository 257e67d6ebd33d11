// Progressive growing (Karras et al. 2018, section 2 and figure 2) of DCGAN's nets. Level k computes images of base *
// 2^k pixels a side, base being the smallest map's side; a level more is a hidden layer more in either net, and each
// level has a layer of its own to and from images. The last level is DCGAN's net to the layer.
//
// G and D deal in images of full size at every level: G enlarges what it makes, D sees averages of pixels. So losses,
// penalties and pictures know nothing of levels. Which level it is, is the Step's variant; how far a new one is faded
// in follows the iteration on the device.
#pragma once
#include "models/nets.h"

namespace duel {

// Each level is trained for `phase` iterations, the last one for ever. In the first half of a phase what is new is
// faded in, alpha = 0 ... 1. phase 0: no growing, the last level at once.
struct Growth {
  std::int64_t phase = 0;
  int levels = 0;  // besides level 0
  bool on() const { return phase > 0; }
  int variant(std::int64_t iteration) const;  // of the Step: the level, and whether it begins, fades in or stays
  std::int64_t busiest() const;               // an iteration in which the last level fades in
};
// Whether the iteration that is being computed is a level's first, not counting level 0. The optimizers then begin
// anew, as the authors' do: layers without moments would make steps many times too long under an old t.
bool level_begins();
Growth growth(std::int64_t size, std::int64_t phase);

// As dcgan_generator() and dcgan_critic(); every level's layers are there from the beginning.
Net growing_generator(std::int64_t size, std::int64_t channels, const DcganOptions& options, const Growth& growth);
Net growing_critic(std::int64_t size, std::int64_t channels, const DcganOptions& options, const Growth& growth);
// Real images (N,size,size,C) as the level shows them: at its resolution and, while it fades in, mixed with the one
// below; enlarged to full size.
Tensor at_level(const Tensor& images, const Growth& growth);

}  // namespace duel
