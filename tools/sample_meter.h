// Samples beside real images: how far away they are, and how different from each other.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/data/images.h"
#include "engine/swd.h"

namespace duel {

struct Quality {
  double swd = 0;        // sliced Wasserstein distance to held-out images, the mean over the levels (engine/swd.h)
  double diversity = 0;  // root mean square distance of two samples, divided by that of two held-out images
};

class SampleMeter {
 public:
  // `held_out` as load_held_out answers it. Without any (or with images of another shape) training images take their
  // place; nothing is taken away from the training.
  SampleMeter(const ImageSet& train, const std::optional<ImageSet>& held_out);

  std::int64_t images() const { return count_; }  // how many samples measure() takes: at most 1024
  // The first images() of them.
  Quality measure(const ImageSet& samples) const;
  // The same of real training images: what a perfect model would attain.
  const Quality& attainable() const { return attainable_; }
  // "1024 held-out images", "1024 training images (the data hold no others out)"
  const std::string& reference() const { return reference_; }

 private:
  SampleMeter(const ImageSet& train, const ImageSet& reference);

  std::int64_t count_;
  SlicedWasserstein distance_;
  double real_spread_ = 0;
  Quality attainable_;
  std::string reference_;
};

}  // namespace duel
