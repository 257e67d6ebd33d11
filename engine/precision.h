// How finely nets compute.
//
// f32   everything in f32.
// tf32  as f32, but the tensor cores of a GPU round the operands of products and convolutions to 10 bits of mantissa.
// bf16  activations, and the copies of the weights that meet them, have 7 bits of mantissa and are summed in f32. The
//       weights themselves and their gradients are f32, as are statistics, losses and whatever else is outside a net.
//       On a CPU all tensors stay f32; with AMX, oneDNN rounds the operands of its products to bf16.
#pragma once
#include <string>
#include <vector>

#include "kernels/view.h"

namespace duel {

enum class Precision : std::uint8_t { f32, tf32, bf16 };

// The words that choose_precision knows: f32, tf32, bf16.
const std::vector<std::string>& precision_words();
// Errors: an unknown word; what the device cannot do.
Precision choose_precision(const std::string& word, Device device);

// Nets that are made from now on compute so, on the default device; set it after the device. Products on this device
// follow the last word, also those of nets made before. Default: f32.
void set_precision(Precision precision);
Precision precision();
class PrecisionScope {
 public:
  explicit PrecisionScope(Precision p) : before_(precision()) { set_precision(p); }
  ~PrecisionScope() { set_precision(before_); }
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision before_;
};
// What the activations of an f32 net are stored as.
DType activation_type();

}  // namespace duel
