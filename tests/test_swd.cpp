// The sliced Wasserstein distance against a naive one, and what it must order.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/context.h"
#include "engine/data/glyphs.h"
#include "engine/error.h"
#include "engine/swd.h"
#include "tests/support.h"

using namespace duel;

namespace {

using Map = std::vector<std::vector<double>>;  // one channel of one image

std::size_t mirror(std::ptrdiff_t i, std::size_t n) {
  const auto last = static_cast<std::ptrdiff_t>(n) - 1;
  if (i < 0) i = -i;
  return static_cast<std::size_t>(i > last ? 2 * last - i : i);
}

// The filter (1 4 6 4 1)/16 in both directions at once.
Map blurred(const Map& x, double gain) {
  const double f[] = {1, 4, 6, 4, 1};
  Map y(x.size(), std::vector<double>(x[0].size()));
  for (std::size_t i = 0; i < y.size(); ++i)
    for (std::size_t j = 0; j < y[0].size(); ++j)
      for (std::ptrdiff_t a = -2; a <= 2; ++a)
        for (std::ptrdiff_t b = -2; b <= 2; ++b)
          y[i][j] += gain * f[a + 2] * f[b + 2] / 256 *
                     x[mirror(static_cast<std::ptrdiff_t>(i) + a, x.size())]
                      [mirror(static_cast<std::ptrdiff_t>(j) + b, x[0].size())];
  return y;
}

std::vector<Map> laplacian(Map x, std::size_t levels) {
  std::vector<Map> out;
  for (; out.size() + 1 < levels;) {
    const Map low = blurred(x, 1);
    Map small((x.size() + 1) / 2, std::vector<double>((x[0].size() + 1) / 2)), stuffed = x;
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[0].size(); ++j) {
        stuffed[i][j] = (i % 2 || j % 2) ? 0 : low[i][j];
        if (i % 2 == 0 && j % 2 == 0) small[i / 2][j / 2] = low[i][j];
      }
    const Map up = blurred(stuffed, 4);
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[0].size(); ++j) x[i][j] -= up[i][j];
    out.push_back(x);
    x = small;
  }
  out.push_back(x);
  return out;
}

// <u_p, d> of all descriptors, sorted, for every level and direction; grey images.
std::vector<std::vector<std::vector<double>>> naive_projections(const SlicedWasserstein& swd, const ImageSet& set,
                                                                const SwdOptions& o) {
  const std::size_t n_levels = swd.levels().size();
  std::vector<std::vector<std::vector<double>>> patches(n_levels);
  for (std::int64_t n = 0; n < set.count; ++n) {
    Map x(static_cast<std::size_t>(set.height), std::vector<double>(static_cast<std::size_t>(set.width)));
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[0].size(); ++j)
        x[i][j] = set.pixels[(static_cast<std::size_t>(n) * x.size() + i) * x[0].size() + j];
    const std::vector<Map> pyramid = laplacian(x, n_levels);
    for (std::size_t l = 0; l < n_levels; ++l) {
      SplitMix64 random = SplitMix64::stream(o.seed + 1 + l, static_cast<std::uint64_t>(n));
      for (std::int64_t k = 0; k < o.patches; ++k) {
        const std::size_t top = random.below(pyramid[l].size() - 6), left = random.below(pyramid[l][0].size() - 6);
        std::vector<double> d;
        for (std::size_t i = 0; i < 49; ++i) d.push_back(pyramid[l][top + i / 7][left + i % 7]);
        patches[l].push_back(d);
      }
    }
  }
  std::vector<std::vector<std::vector<double>>> out(n_levels);
  for (std::size_t l = 0; l < n_levels; ++l) {
    double mean = 0, variance = 0;
    const double n = static_cast<double>(49 * patches[l].size());
    for (const auto& d : patches[l])
      for (const double v : d) mean += v / n;
    for (const auto& d : patches[l])
      for (const double v : d) variance += (v - mean) * (v - mean) / n;
    for (std::int64_t p = 0; p < o.projections; ++p) {
      std::vector<double> row;
      for (const auto& d : patches[l]) {
        double s = 0;
        for (std::size_t i = 0; i < 49; ++i)
          s += (d[i] - mean) / std::sqrt(variance) * swd.levels()[l].directions[static_cast<std::size_t>(p) * 49 + i];
        row.push_back(s);
      }
      std::sort(row.begin(), row.end());
      out[l].push_back(row);
    }
  }
  return out;
}

ImageSet with_noise(ImageSet set, float amount) {
  SplitMix64 random{9};
  for (std::uint8_t& v : set.pixels)
    v = static_cast<std::uint8_t>(std::clamp(static_cast<float>(v) + random.uniform(-amount, amount), 0.0f, 255.0f));
  return set;
}

}  // namespace

TEST_CASE("swd: the definition, number by number") {
  const SwdOptions options{.patches = 5, .projections = 7, .seed = 4};
  const ImageSet a = make_glyphs(12, 1), b = with_noise(make_glyphs(12, 2), 30);
  const SlicedWasserstein swd(a, options);
  const auto real = naive_projections(swd, a, options), other = naive_projections(swd, b, options);
  const std::vector<double> found = swd.distances(b);
  REQUIRE(found.size() == 2);
  for (std::size_t l = 0; l < 2; ++l) {
    double sum = 0, n = 0;
    for (std::size_t p = 0; p < 7; ++p)
      for (std::size_t i = 0; i < real[l][p].size(); ++i, ++n) sum += std::abs(real[l][p][i] - other[l][p][i]);
    CHECK(found[l] == doctest::Approx(1000 * sum / n).epsilon(1e-4));
  }
  CHECK(swd.distance(b) == doctest::Approx((found[0] + found[1]) / 2));
}

TEST_CASE("swd: levels, directions and odd sizes") {
  auto sizes = [](std::int64_t h, std::int64_t w, std::int64_t c) {
    const ImageSet set{.name = "x",
                       .count = 2,
                       .height = h,
                       .width = w,
                       .channels = c,
                       .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(2 * h * w * c), 7),
                       .labels = {}};
    const SlicedWasserstein swd(set, {.patches = 2, .projections = 3});
    CHECK(swd.distance(set) == 0);
    std::vector<std::int64_t> out;
    for (const auto& level : swd.levels()) {
      out.push_back(level.height);
      double norm = 0;
      for (std::size_t i = 0; i < level.directions.size() / 3; ++i) norm += std::pow(level.directions[i], 2);
      CHECK(norm == doctest::Approx(1).epsilon(1e-5));
    }
    return out;
  };
  using Sizes = std::vector<std::int64_t>;
  CHECK(sizes(28, 28, 1) == Sizes{28, 14});
  CHECK(sizes(64, 64, 3) == Sizes{64, 32, 16});
  CHECK(sizes(33, 57, 3) == Sizes{33, 17});
  CHECK(sizes(5, 9, 1) == Sizes{5});
  CHECK(sizes(1, 1, 1) == Sizes{1});
}

TEST_CASE("swd: it orders what is worse, and repeats itself") {
  const ImageSet held_out = make_glyphs(256, 1), train = make_glyphs(256, 2);
  const SlicedWasserstein swd(held_out);
  const double same = swd.distance(held_out), real = swd.distance(train), noisy = swd.distance(with_noise(train, 20)),
               noisier = swd.distance(with_noise(train, 80));
  ImageSet collapsed = train, blank = train;
  for (std::size_t i = 784; i < collapsed.pixels.size(); ++i) collapsed.pixels[i] = collapsed.pixels[i % 784];
  std::fill(blank.pixels.begin(), blank.pixels.end(), 0);
  INFO("same ", same, " real ", real, " noisy ", noisy, " noisier ", noisier, " one image ", swd.distance(collapsed));
  CHECK(same == 0);
  CHECK(real > 0);
  CHECK(real < noisy);
  CHECK(noisy < noisier);
  CHECK(swd.distance(collapsed) > 3 * real);
  CHECK(std::isfinite(swd.distance(blank)));
  CHECK(swd.distance(train) == real);
  CHECK(SlicedWasserstein(held_out).distance(train) == real);
}

TEST_CASE("swd: random numbers outside are not touched; sizes must agree") {
  const ImageSet set = make_glyphs(8, 1);
  set_seed(3);
  const std::vector<double> before = normal({5}).to_vector<double>(), after_it = normal({5}).to_vector<double>();
  set_seed(3);
  CHECK(normal({5}).to_vector<double>() == before);
  SlicedWasserstein(set).distance(set);
  CHECK(normal({5}).to_vector<double>() == after_it);
  CHECK_THROWS_AS(SlicedWasserstein(set).distance(make_glyphs(9, 1)), Error);
  CHECK_THROWS_AS(SlicedWasserstein(ImageSet{}), Error);
  CHECK_THROWS_AS(SlicedWasserstein(set, {.patches = 0}), Error);
}
