#include "engine/weight_form.h"

#include "engine/context.h"
#include "engine/ops.h"
#include "engine/optim.h"
#include "engine/tape.h"

namespace duel {
namespace {

Tensor unit(const Tensor& row) { return row * inverse_or_zero(norm_per_sample(row)); }

class SpectralForm : public WeightForm {
 public:
  // Where the outputs come last the matrix is transposed, which has the same singular values.
  SpectralForm(const Tensor& w, int out_axis)
      : rows_(out_axis == 0 ? w.dim(0) : w.size() / w.dim(out_axis)), columns_(w.size() / rows_) {
    NoGrad off;
    u_ = unit(normal({1, rows_}, w.dtype()));
    for (int i = 0; i < 10; ++i) {
      v_ = unit(matmul(u_, reshape(w, {rows_, columns_})));
      u_ = unit(linear(v_, reshape(w, {rows_, columns_})));
    }
  }
  Tensor operator()(const Tensor& w, bool training) override {
    const Tensor matrix = reshape(w, {rows_, columns_});
    if (!training) return w / sum(u_ * linear(v_, matrix));
    const Tensor v = detach(unit(matmul(u_, detach(matrix))));  // (1,columns)
    const Tensor wv = linear(v, matrix);                        // (1,rows)
    const Tensor u = unit(detach(wv));
    // The gradient keeps u and v, and the next call writes the buffers: these get copies.
    ema_update({u_, v_}, {u, v}, 0);
    return w / sum(u * wv);
  }
  void collect(const std::string& prefix, State& state) const override {
    state.push_back({prefix + "u", u_});
    state.push_back({prefix + "v", v_});
  }
  std::string describe() const override { return "spectral norm"; }

 private:
  std::int64_t rows_, columns_;
  Tensor u_, v_;  // (1,rows), (1,columns)
};

class NormalisedForm : public WeightForm {
 public:
  NormalisedForm(const Tensor& w, int out_axis) {
    for (int axis = 0; axis < w.rank(); ++axis)
      if (axis != out_axis) rest_.push_back(axis);
    NoGrad off;
    g_ = reshape(norm(w), {w.dim(out_axis)});
  }
  Tensor operator()(const Tensor& v, bool /*training*/) override {
    const Tensor n = norm(v);
    return v * (reshape(g_, n.shape()) / n);
  }
  void collect(const std::string& prefix, State& state) const override {
    state.push_back({prefix + "g", g_, Kind::parameter});
  }
  std::string describe() const override { return "weight norm"; }

 private:
  Tensor norm(const Tensor& v) const { return sqrt(sum(square(v), rest_, keep_axes)); }

  Axes rest_;
  Tensor g_;
};

}  // namespace

std::unique_ptr<WeightForm> spectral_form(const Tensor& w, int out_axis) {
  return std::make_unique<SpectralForm>(w, out_axis);
}
std::unique_ptr<WeightForm> normalised_form(const Tensor& w, int out_axis) {
  return std::make_unique<NormalisedForm>(w, out_axis);
}

}  // namespace duel
