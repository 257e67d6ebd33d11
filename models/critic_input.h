// What a discriminator is shown in the place of images, real and generated alike. Every call draws anew, for each image
// by itself, and is differentiable in the images to any order.
#pragma once
#include <string>

#include "models/model.h"

namespace duel {

// In this order, each with options of its own (of a model without any, D is shown the images):
//   --augment         differentiable augmentation (Zhao et al. 2020, section 3.2), a word or several joined by "+":
//       colour        brightness, x + b with b ~ U(-0.5, 0.5); of RGB saturation, g + s (x - g) with g the mean of the
//                     pixel's channels and s ~ U(0, 2); contrast, m + c (x - m) with m the image's mean, c ~
//                     U(0.5, 1.5)
//       shift         by whole pixels, in both directions by at most an eighth of the side; zeros come in
//       cutout        zeros in a rectangle of half the sides, whose centre lies anywhere in the image
//   --instance-noise  x + S max(0, 1 - t/T) n with n ~ N(0, 1) in iteration t and T from --instance-noise-steps, or
//                     x + S n without it (Sonderby et al. 2017, section 3.1.1)
//   --pac             m images as one, joined along the channels: (N,H,W,C) -> (N/m,H,W,m*C) (Lin et al. 2018)
class CriticInput {
 public:
  CriticInput(const DataShape& data, const Settings& s);
  Tensor operator()(const Tensor& images) const;
  Shape shape() const;                          // of one sample
  std::int64_t packed() const { return pac_; }  // images in it

 private:
  Tensor shift(const Tensor& x) const;
  Tensor cutout(const Tensor& x) const;
  Tensor noisy(const Tensor& x) const;
  Tensor pack(const Tensor& x) const;

  DataShape data_;
  bool colour_, shift_, cutout_;
  double noise_;
  std::int64_t noise_steps_, pac_;
  Tensor rows_, columns_;  // (H) and (W): 0, 1, 2, ...
};

}  // namespace duel
