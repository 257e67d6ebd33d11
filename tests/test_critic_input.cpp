// What a discriminator is shown (models/critic_input.h), and the parts of nets and losses that bound it.
#include <doctest/doctest.h>

#include <set>

#include "engine/error.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "models/adversarial.h"
#include "models/nets.h"
#include "tests/finite_differences.h"
#include "tests/support.h"

namespace duel::test {
namespace {

using Texts = std::map<std::string, std::string>;

CriticInput shown(const DataShape& data, const Texts& given) {
  return {data, Settings(join_settings({shown_settings({}), packing_settings()}), given)};
}
Tensor drawn(const Shape& shape) { return detach(normal(shape, DType::f64)); }

// Images whose pixels are all different: 1, 2, 3, ... over height and width.
std::vector<double> counting(std::int64_t n, std::int64_t size) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < size; ++k) v.push_back(static_cast<double>(k + 1));
  return v;
}

// A discriminator of two layers with weights of its own: (N,3,2,1) -> (N).
Critic small_critic(const std::vector<Tensor>& w) {
  return [w](const Tensor& x) { return linear(tanh(linear(reshape(x, {x.dim(0), 6}), w[0], w[1])), w[2]); };
}
const std::vector<Shape> small_weights{{4, 6}, {4}, {1, 4}};

}  // namespace

TEST_CASE("regularisers: shifts move whole images by at most an eighth, each by itself") {
  set_seed(41);
  const std::int64_t n = 400, h = 16, w = 9;
  const FloatScope in_f64(DType::f64);
  const std::vector<double> before = counting(n, h * w);
  const Tensor y = shown({h, w, 1}, {{"augment", "shift"}})(from_vector({n, h, w, 1}, before));
  const std::vector<double> after = y.to_vector<double>();
  std::map<std::pair<std::int64_t, std::int64_t>, int> moves;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = [&](std::int64_t r, std::int64_t c) {
      return after[static_cast<std::size_t>((i * h + r) * w + c)];
    };
    // Where the pixel of the middle went says where all others have to be.
    std::int64_t dr = 99, dc = 99;
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c)
        if (at(r, c) == static_cast<double>(8 * w + 4 + 1)) dr = r - 8, dc = c - 4;
    REQUIRE(std::abs(dr) <= h / 8);
    REQUIRE(std::abs(dc) <= w / 8);
    ++moves[{dr, dc}];
    bool right = true;
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c) {
        const std::int64_t r0 = r - dr, c0 = c - dc;
        const bool inside = r0 >= 0 && r0 < h && c0 >= 0 && c0 < w;
        right = right && at(r, c) == (inside ? static_cast<double>(r0 * w + c0 + 1) : 0);
      }
    CHECK(right);
  }
  CHECK(moves.size() == 15);  // 5 by 3, each about as often
  for (const auto& [move, count] : moves) CHECK(count > 8);
}

TEST_CASE("regularisers: cutout takes half the sides around a point of the image") {
  set_seed(42);
  const std::int64_t n = 500, h = 12, w = 8;
  const Tensor y = shown({h, w, 1}, {{"augment", "cutout"}})(ones({n, h, w, 1}));
  const std::vector<double> after = y.to_vector<double>();
  std::set<double> areas;
  double kept = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::set<std::int64_t> rows, columns;
    double area = 0;
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c) {
        const double v = after[static_cast<std::size_t>((i * h + r) * w + c)];
        CHECK((v == 0 || v == 1));
        kept += v;
        if (v == 0) rows.insert(r), columns.insert(c), ++area;
      }
    CHECK(area == static_cast<double>(rows.size() * columns.size()));
    CHECK(*rows.rbegin() - *rows.begin() + 1 == static_cast<std::int64_t>(rows.size()));
    areas.insert(area);
  }
  CHECK(*areas.rbegin() == h * w / 4);
  CHECK(*areas.begin() >= 6);  // at a corner a quarter of it is left
  CHECK(areas.size() > 5);
  CHECK(kept < static_cast<double>(n * h * w));
}

TEST_CASE("regularisers: colours stay within their ranges") {
  set_seed(43);
  const std::int64_t n = 300;
  // A flat image has no contrast and no saturation: only its brightness moves.
  const std::vector<double> flat = shown({2, 2, 3}, {{"augment", "colour"}})(zeros({n, 2, 2, 3})).to_vector<double>();
  double low = 1, high = -1;
  for (std::size_t i = 0; i < flat.size(); ++i) {
    CHECK(flat[i] == doctest::Approx(flat[i / 12 * 12]).epsilon(1e-5));
    low = std::min(low, flat[i]);
    high = std::max(high, flat[i]);
  }
  CHECK((low >= -0.5 && low < -0.45 && high <= 0.5 && high > 0.45));
  // Grey images keep their order and their mean but for the brightness; distances grow by 0.5 to 1.5.
  const std::vector<double> v =
      shown({1, 2, 1}, {{"augment", "colour"}})(from_vector({n, 1, 2, 1},
                                                            [&] {
                                                              std::vector<double> both;
                                                              for (std::int64_t i = 0; i < n; ++i)
                                                                both.insert(both.end(), {-0.5, 0.5});
                                                              return both;
                                                            }()))
          .to_vector<double>();
  double least = 9, most = 0;
  for (std::size_t i = 0; i < v.size(); i += 2) {
    least = std::min(least, v[i + 1] - v[i]);
    most = std::max(most, v[i + 1] - v[i]);
    CHECK(std::abs(v[i] + v[i + 1]) <= 1.0001);
  }
  CHECK((least >= 0.4999 && least < 0.55 && most <= 1.5001 && most > 1.45));
  // Between the channels of a pixel by 0 to 2 besides.
  std::vector<double> rgb;
  for (std::int64_t i = 0; i < n; ++i) rgb.insert(rgb.end(), {-0.5, 0, 0.5});
  const std::vector<double> s =
      shown({1, 1, 3}, {{"augment", "colour"}})(from_vector({n, 1, 1, 3}, rgb)).to_vector<double>();
  most = 0;
  for (std::size_t i = 0; i < s.size(); i += 3) {
    CHECK((s[i] <= s[i + 1] + 1e-6 && s[i + 1] <= s[i + 2] + 1e-6));
    most = std::max(most, s[i + 2] - s[i]);
  }
  CHECK((most > 2 && most <= 3.0001));
}

TEST_CASE("regularisers: the gradients through what D is shown, first and second order") {
  set_seed(44);
  const FloatScope in_f64(DType::f64);
  for (const std::int64_t channels : {1, 3}) {
    const CriticInput input = shown({9, 8, channels}, {{"augment", "all"}, {"instance-noise", "0.3"}, {"pac", "2"}});
    const Tensor x = drawn({4, 9, 8, channels}), r = drawn({2, 9, 8, 2 * channels}), u = drawn(x.shape());
    const Scalar f = [&](const std::vector<Tensor>& at) {
      return sum(square(drawn_alike([&] { return input(at[0]); })) * r);
    };
    CHECK(directional_error(f, {x}) < 1e-7);
    CHECK(directional_error(gradients_of(f, {u}), {x}) < 1e-6);
    CHECK(max_abs(grad(f({x}), {x})[0].to_vector<double>()) > 0.1);
  }
}

TEST_CASE("regularisers: packing lays images side by side in the channels") {
  const CriticInput pack = shown({2, 1, 2}, {{"pac", "3"}});
  CHECK(pack.shape() == Shape{2, 1, 6});
  std::vector<double> v;
  for (int i = 0; i < 6 * 4; ++i) v.push_back(i);  // image i holds 4i .. 4i + 3
  const Tensor y = pack(from_vector({6, 2, 1, 2}, v));
  CHECK(y.shape() == Shape{2, 2, 1, 6});
  CHECK(y.to_vector<double>() ==
        std::vector<double>{0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11, 12, 13, 16, 17, 20, 21, 14, 15, 18, 19, 22, 23});
  CHECK_THROWS_WITH_AS(pack(zeros({4, 2, 1, 2})), "[pac] 4 images, expected a multiple of 3", Error);
  const Tensor x = ones({4, 2, 1, 2});
  CHECK(shown({2, 1, 2}, {})(x).node() == x.node());
}

TEST_CASE("regularisers: instance noise falls with the iterations") {
  set_seed(45);
  const Tensor step = current_context().step, x = zeros({4, 30, 30, 1});
  const auto deviation = [&](const Texts& given, std::int64_t iteration) {
    assign(step, &iteration, sizeof iteration);
    return std::sqrt(mean(square(shown({30, 30, 1}, given)(x))).item());
  };
  const Texts falling{{"instance-noise", "0.4"}, {"instance-noise-steps", "10"}}, steady{{"instance-noise", "0.4"}};
  CHECK(deviation(falling, 0) == doctest::Approx(0.4).epsilon(0.05));
  CHECK(deviation(falling, 5) == doctest::Approx(0.2).epsilon(0.05));
  CHECK(deviation(falling, 10) == 0);
  CHECK(deviation(falling, 1000) == 0);
  CHECK(deviation(steady, 1000) == doctest::Approx(0.4).epsilon(0.05));
  const std::int64_t start = 0;
  assign(step, &start, sizeof start);
}

TEST_CASE("regularisers: minibatch standard deviation") {
  set_seed(46);
  for (const Shape& s : {Shape{6, 2, 3, 2}, Shape{6, 5}, Shape{3, 5}}) {
    const Tensor x = drawn(s);
    const std::vector<double> v = x.to_vector<double>();
    const Tensor y = minibatch_stddev(x, 3);
    const std::int64_t n = s[0], groups = n / 3, size = x.size() / n, channels = s.last();
    CHECK(y.dim(-1) == channels + 1);
    CHECK(slice(y, -1, 0, channels).to_vector<double>() == v);
    const std::vector<double> added = slice(y, -1, channels, channels + 1).to_vector<double>();
    for (std::int64_t i = 0; i < n; ++i) {
      double expected = 0;
      for (std::int64_t k = 0; k < size; ++k) {
        double mean = 0, squares = 0;
        for (std::int64_t j = i % groups; j < n; j += groups) {
          const double value = v[static_cast<std::size_t>(j * size + k)];
          mean += value / 3;
          squares += value * value / 3;
        }
        expected += std::sqrt(squares - mean * mean + 1e-8) / static_cast<double>(size);
      }
      const auto positions = static_cast<std::size_t>(size / channels);
      for (std::size_t p = 0; p < positions; ++p)
        CHECK(added[static_cast<std::size_t>(i) * positions + p] == doctest::Approx(expected).epsilon(1e-9));
    }
    const Tensor r = drawn(y.shape()), u = drawn(s);
    const Scalar f = [&](const std::vector<Tensor>& at) { return sum(square(minibatch_stddev(at[0], 3)) * r); };
    CHECK(directional_error(f, {x}) < 1e-7);
    CHECK(directional_error(gradients_of(f, {u}), {x}) < 1e-6);
  }
  CHECK(minibatch_stddev(ones({2, 3}), 8).shape() == Shape{2, 4});
  CHECK_THROWS_WITH_AS(minibatch_stddev(ones({5, 3}), 2), "[minibatch_stddev] 5 samples, expected a multiple of 2",
                       Error);
}

TEST_CASE("regularisers: smoothed targets") {
  const Tensor d_real = from_vector<double>({3}, {0.3, -1.2, 2.0}, DType::f64),
               d_fake = from_vector<double>({2}, {-0.7, 0.4}, DType::f64);
  const auto log_sigmoid = [](double d) { return -std::log1p(std::exp(-d)); };
  double expected = 0;
  for (double d : {0.3, -1.2, 2.0}) expected -= (0.9 * log_sigmoid(d) + 0.1 * log_sigmoid(-d)) / 3;
  for (double d : {-0.7, 0.4}) expected -= log_sigmoid(-d) / 2;
  CHECK(smoothed_discriminator(d_real, d_fake, 0.1).item() == doctest::Approx(expected).epsilon(1e-12));
  CHECK(smoothed_discriminator(d_real, d_fake, 0).item() == logistic_discriminator(d_real, d_fake).item());
  // Least where D answers 0.9.
  const Tensor at = full({1}, std::log(9.0), DType::f64);
  CHECK(std::abs(grad(smoothed_discriminator(at, d_fake, 0.1), {at})[0].item()) < 1e-12);
}

TEST_CASE("regularisers: the whole loss of D with every loss and penalty, first and second order") {
  set_seed(47);
  const AdversarialRecipe recipe;
  const auto settings = join_settings({objective_settings(recipe), penalty_settings(recipe)});
  std::vector<Tensor> w, u;
  for (const Shape& s : small_weights) w.push_back(drawn(s)), u.push_back(drawn(s));
  const Tensor x = drawn({5, 3, 2, 1}), x_fake = drawn({5, 3, 2, 1});
  const auto check = [&](const Texts& given) {
    INFO(given.begin()->second);
    const Settings s(settings, given);
    const Objective objective(s);
    const Penalty penalty(s);
    const Scalar loss = [&](const std::vector<Tensor>& at) {
      const Critic d = small_critic(at);
      const Tensor l = objective.discriminator(d(x), d(x_fake)), p = drawn_alike([&] { return penalty(d, x, x_fake); });
      return p ? l + p : l;
    };
    const Scalar of_g = [&](const std::vector<Tensor>& at) { return objective.generator(small_critic(w)(at[0])); };
    CHECK(directional_error(loss, w) < 1e-7);
    CHECK(directional_error(gradients_of(loss, u), w) < 1e-6);
    CHECK(directional_error(of_g, {x_fake}) < 1e-7);
  };
  for (const Setting& s : settings)
    if (s.name == "loss" || s.name == "penalty")
      for (const std::string& choice : s.choices) check({{s.name, choice}});
  check({{"smoothing", "0.2"}});
}

TEST_CASE("regularisers: where penalties are taken") {
  set_seed(48);
  const AdversarialRecipe recipe;
  const auto all = penalty_settings(recipe);
  // Slope of D at x: 2x. So R1 tells the points by itself.
  const Critic d = [](const Tensor& x) { return sum(square(reshape(x, {x.dim(0), 4})), {1}); };
  const Tensor x = drawn({3, 2, 2, 1}), x_fake = drawn({3, 2, 2, 1}) * 2.0;
  const auto value = [&](const char* word) {
    return Penalty(Settings(all, {{"penalty", word}, {"lambda", "6"}}))(d, x, x_fake).item();
  };
  const double r1 = 6.0 / 2 * 4 * sum(square(x)).item() / 3, r2 = 6.0 / 2 * 4 * sum(square(x_fake)).item() / 3;
  CHECK(value("r1") == doctest::Approx(r1));
  CHECK(value("r2") == doctest::Approx(r2));
  CHECK(value("r1+r2") == doctest::Approx(r1 + r2));

  Tensor at;
  const Tensor many = detach(normal({50, 8, 8, 1}, 3, 1.6, DType::f64));
  const Critic seen = [&](const Tensor& points) {
    at = points;
    return sum(points * 0.25, {1, 2, 3});
  };
  CHECK(dragan_penalty(seen, many, 10).item() == doctest::Approx(10.0));  // (||(0.25, ...)|| - 1)^2 = (8 / 4 - 1)^2
  const Tensor delta = at - many;
  CHECK(std::abs(mean(delta).item()) < 0.05);
  CHECK(std::sqrt(mean(square(delta)).item()) == doctest::Approx(0.8).epsilon(0.05));
}

}  // namespace duel::test
