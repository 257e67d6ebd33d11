// What a layer multiplies with in the place of its weight: a function of the weight and of tensors of its own.
#pragma once
#include <memory>
#include <string>

#include "engine/state.h"

namespace duel {

class WeightForm {
 public:
  virtual ~WeightForm() = default;
  virtual Tensor operator()(const Tensor& w, bool training) = 0;  // of w's shape and type, differentiable
  virtual void collect(const std::string& prefix, State& state) const = 0;
  virtual std::string describe() const = 0;
};

// Spectral normalisation (Miyato et al. 2018, eq. 8 and algorithm 1): W / sigma(W), W as the matrix (out,rest), sigma
// its largest singular value, by one step of the power iteration for each call in training:
//   v = W^T u / ||W^T u||,  u = W v / ||W v||,  sigma = u^T W v
// u and v are constants of the gradient (section 2.1). They are buffers, "u" and "v", which begin after ten steps, and
// stay as they are once a gradient was not finite (Context::finite). Out of training they are taken as they are.
std::unique_ptr<WeightForm> spectral_form(const Tensor& w, int out_axis);

// Weight normalisation (Salimans and Kingma 2016, eq. 2): g v / ||v||, the norm of each output's weights for itself.
// v is the layer's weight, g (out) a parameter, "g", which begins as ||v||: the layer begins as it would without.
std::unique_ptr<WeightForm> normalised_form(const Tensor& w, int out_axis);

}  // namespace duel
