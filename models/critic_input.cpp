#include "models/critic_input.h"

#include <numeric>

#include "engine/context.h"
#include "engine/error.h"

namespace duel {
namespace {

Tensor positions(std::int64_t n) {
  std::vector<double> at(static_cast<std::size_t>(n));
  std::iota(at.begin(), at.end(), 0);
  return from_vector({n}, at);
}
// 1 where -radius <= x < radius: so many whole numbers in a row, wherever the middle lies.
Tensor within(const Tensor& x, double radius) {
  return less(x, full({1}, radius, x.dtype())) - less(x, full({1}, -radius, x.dtype()));
}
Tensor one_each(const Tensor& x, double low, double high) { return uniform({x.dim(0), 1, 1, 1}, low, high, x.dtype()); }

Tensor colour(const Tensor& image) {
  Tensor x = image + one_each(image, -0.5, 0.5);
  if (x.dim(3) == 3) x = lerp(mean(x, {3}, keep_axes), x, one_each(x, 0, 2));
  return lerp(mean(x, {1, 2, 3}, keep_axes), x, one_each(x, 0.5, 1.5));
}

// y[n,i,...] = x[n,i-d,...], d a whole number within an eighth of the length L, as a product with the matrices
// (N,L,L) that have a 1 where column = row - d. `at` (L) counts from 0.
Tensor shift_along(const Tensor& x, const Tensor& at) {
  const std::int64_t n = x.dim(0), length = x.dim(1), most = length / 8;
  const Tensor d = uniform({n, 1, 1}, -static_cast<double>(most) - 0.5, static_cast<double>(most) + 0.5, x.dtype());
  const Tensor moves = within(reshape(at, {1, length, 1}) - reshape(at, {1, 1, length}) - d, 0.5);
  return reshape(matmul(moves, reshape(x, {n, length, x.size() / (n * length)})), x.shape());
}

// (N,L): 1 in half of the length, around a point anywhere in it.
Tensor half(const Tensor& x, const Tensor& at) {
  const auto length = static_cast<double>(at.size());
  return within(at - uniform({x.dim(0), 1}, -0.5, length - 0.5, x.dtype()), length / 4);
}

}  // namespace

CriticInput::CriticInput(const DataShape& data, const Settings& s)
    : data_(data),
      noise_(s.has("instance-noise") ? s.number("instance-noise") : 0),
      noise_steps_(s.has("instance-noise-steps") ? s.integer("instance-noise-steps") : 0),
      pac_(s.has("pac") ? s.integer("pac") : 1),
      rows_(positions(data.height)),
      columns_(positions(data.width)) {
  const std::string word = s.has("augment") ? s.word("augment") : "none";
  const auto named = [&](const char* kind) { return word == "all" || word.find(kind) != std::string::npos; };
  colour_ = named("colour");
  shift_ = named("shift");
  cutout_ = named("cutout");
  require(noise_ > 0 || noise_steps_ == 0, "--instance-noise-steps {}: there is no noise to fall; add --instance-noise",
          noise_steps_);
}

Shape CriticInput::shape() const { return {data_.height, data_.width, pac_ * data_.channels}; }

Tensor CriticInput::operator()(const Tensor& images) const {
  Tensor x = images;
  if (colour_) x = colour(x);
  if (shift_) x = shift(x);
  if (cutout_) x = cutout(x);
  if (noise_ > 0) x = noisy(x);
  return pac_ > 1 ? pack(x) : x;
}

Tensor CriticInput::shift(const Tensor& x) const {
  const std::vector<int> turn{0, 2, 1, 3};
  return permute(shift_along(permute(shift_along(x, rows_), turn), columns_), turn);
}
Tensor CriticInput::cutout(const Tensor& x) const {
  const std::int64_t n = x.dim(0);
  return x *
         (1.0 - reshape(half(x, rows_), {n, data_.height, 1, 1}) * reshape(half(x, columns_), {n, 1, data_.width, 1}));
}
Tensor CriticInput::noisy(const Tensor& x) const {
  const Tensor n = normal(x.shape(), 0, noise_, x.dtype());
  if (noise_steps_ == 0) return x + n;
  return x + relu(1.0 - iteration_number() / static_cast<double>(noise_steps_)) * n;
}
Tensor CriticInput::pack(const Tensor& x) const {
  const std::int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3);
  require(n % pac_ == 0, "[pac] {} images, expected a multiple of {}", n, pac_);
  return reshape(permute(reshape(x, {n / pac_, pac_, h, w, c}), {0, 2, 3, 1, 4}), {n / pac_, h, w, pac_ * c});
}

}  // namespace duel
