// The figures of duel evaluate against closed forms and plain loops.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/context.h"
#include "engine/data/glyphs.h"
#include "engine/error.h"
#include "tests/support.h"
#include "tools/evaluation/classes.h"
#include "tools/evaluation/linear_classifier.h"
#include "tools/evaluation/metrics.h"
#include "tools/evaluation/naive.h"
#include "tools/evaluation/probe.h"

using namespace duel;
using namespace duel::test;

namespace {

Features points(std::int64_t width, const std::vector<float>& values) {
  return {static_cast<std::int64_t>(values.size()) / width, width, values};
}
Features random_points(std::int64_t count, std::int64_t width, std::uint64_t seed, float scale = 1, float shift = 0) {
  SplitMix64 random{seed};
  Features out{count, width, {}};
  for (std::int64_t i = 0; i < count * width; ++i) out.values.push_back(shift + scale * random.uniform(-1, 1));
  return out;
}
double squared(const Features& a, std::int64_t i, const Features& b, std::int64_t j) {
  double sum = 0;
  for (std::size_t c = 0; c < static_cast<std::size_t>(a.width); ++c) sum += std::pow(a.row(i)[c] - b.row(j)[c], 2);
  return sum;
}
double kernel(const Features& a, std::int64_t i, const Features& b, std::int64_t j) {
  double sum = 0;
  for (std::size_t c = 0; c < static_cast<std::size_t>(a.width); ++c)
    sum += static_cast<double>(a.row(i)[c]) * b.row(j)[c];
  return std::pow(sum / static_cast<double>(a.width) + 1, 3);
}
double radius(const Features& x, std::int64_t i, int k) {
  std::vector<double> d;
  for (std::int64_t j = 0; j < x.count; ++j)
    if (j != i) d.push_back(squared(x, i, x, j));
  std::sort(d.begin(), d.end());
  return d[static_cast<std::size_t>(k - 1)];
}

// Four classes or values: row k of a 4x4 image is white. Noise: two numbers, then the category.
class Rows : public Model {
 public:
  Rows(std::string code, std::vector<int> row_of) : code_(std::move(code)), row_of_(std::move(row_of)) {}
  Metrics step(std::span<const Batch>) override { return {}; }
  Tensor noise(std::int64_t n) const override {
    return concat({normal({n, 2}), one_hot(argmax(uniform({n, 4}), 1), 4)}, 1);
  }
  Tensor sample(const Tensor& z) override {
    const std::vector<float> v = z.to_vector<float>();
    std::vector<float> x(static_cast<std::size_t>(16 * z.dim(0)), -1);
    for (std::size_t i = 0; i < static_cast<std::size_t>(z.dim(0)); ++i)
      for (std::size_t k = 0; k < 4; ++k)
        if (v[i * 6 + 2 + k] == 1)
          for (std::size_t c = 0; c < 4; ++c) x[i * 16 + static_cast<std::size_t>(row_of_[k]) * 4 + c] = 1;
    return from_vector({z.dim(0), 4, 4, 1}, x);
  }
  std::vector<Code> codes() const override { return {{code_, 2, 4, true}}; }
  std::int64_t answers() const override { return 4; }
  bool clusters() const override { return code_ != "class"; }
  Tensor classify(const Tensor& x) override {  // cluster k is row row_of_[k]
    const Tensor rows = mean(x, {2, 3});
    std::vector<Tensor> columns;
    for (const int r : row_of_) columns.push_back(slice(rows, 1, r, r + 1));
    return concat(columns, 1);
  }
  State state() const override { return {}; }
  std::vector<Part> parts() const override { return {}; }

 private:
  std::string code_;
  std::vector<int> row_of_;
};

ChainNet rows_judge() {
  ChainNet net({4, 4, 1, {2}, {-1}}, {{.kind = "flatten"}, {.kind = "linear", .in = 16, .out = 4}}, 1, 4);
  std::vector<float> w(64);
  for (std::size_t k = 0; k < 4; ++k) std::fill_n(w.begin() + static_cast<std::ptrdiff_t>(k * 16 + k * 4), 4, 1.0f);
  assign(net.net().state()[0].value, w.data(), w.size() * sizeof(float));
  return net;
}

ImageSet row_images(std::int64_t count) {
  ImageSet set{.name = "rows", .count = count, .height = 4, .width = 4, .channels = 1, .pixels = {}, .labels = {}};
  set.classes = 4;
  for (std::int64_t i = 0; i < count; ++i) {
    set.labels.push_back(static_cast<std::int32_t>(i % 4));
    for (std::int64_t p = 0; p < 16; ++p) set.pixels.push_back(p / 4 == i % 4 ? 255 : 0);
  }
  return set;
}

}  // namespace

TEST_CASE("evaluation: the Frechet distance of known Gaussians") {
  // Mean m, covariance C + C/(n-1) n ...: the corners of a box have the variance 4 s^2 / 3 each, without correlation.
  const Features a = points(2, {1, 2, 1, -2, -1, 2, -1, -2}), b = points(2, {4, 1, 4, -3, 2, 1, 2, -3});
  const double f = 4.0 / 3;
  CHECK(frechet_distance(a, b) == doctest::Approx(9 + 1 + 0.0).epsilon(1e-9));
  const Features c = points(2, {3, 1, 3, -1, -3, 1, -3, -1});
  CHECK(frechet_distance(a, c) == doctest::Approx(f * ((1 - 3) * (1 - 3) + (2 - 1) * (2 - 1))).epsilon(1e-9));
  CHECK(std::abs(frechet_distance(a, a)) < 1e-9);
  // Turned by 45 degrees the covariances do not commute; for 2x2, tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)), M = C_a C_d.
  const Features d = points(2, {3, 3, 2, 2, -3, -3, -2, -2, 1, -1, -1, 1});
  const double on = 28.0 / 5, off = 24.0 / 5;
  const double trace = f * (on + 4 * on), det = f * f * 4 * (on * on - off * off);
  CHECK(frechet_distance(a, d) ==
        doctest::Approx(f * 5 + 2 * on - 2 * std::sqrt(trace + 2 * std::sqrt(det))).epsilon(1e-9));
  CHECK_THROWS_AS(frechet_distance(a, points(1, {1, 2, 3})), Error);
}

TEST_CASE("evaluation: the kernel distance is the mean over blocks of plain sums") {
  const Features a = random_points(30, 5, 1), b = random_points(30, 5, 2, 1.5f, 0.3f);
  std::vector<double> blocks;
  for (std::int64_t begin = 0; begin < 30; begin += 10) {
    double same = 0, cross = 0;
    for (std::int64_t i = begin; i < begin + 10; ++i)
      for (std::int64_t j = begin; j < begin + 10; ++j) {
        if (i != j) same += kernel(a, i, a, j) + kernel(b, i, b, j);
        cross += kernel(a, i, b, j);
      }
    blocks.push_back(same / 90 - 2 * cross / 100);
  }
  const double mean = (blocks[0] + blocks[1] + blocks[2]) / 3;
  double spread = 0;
  for (const double v : blocks) spread += (v - mean) * (v - mean);
  const Estimate e = kernel_distance(a, b);
  CHECK(e.value == doctest::Approx(mean).epsilon(1e-5));
  CHECK(e.error == doctest::Approx(std::sqrt(spread / 2 / 3)).epsilon(1e-4));
  CHECK(e.value > 0.1);
}

TEST_CASE("evaluation: precision, recall, density and coverage against plain loops") {
  const Features real = random_points(40, 3, 3), samples = random_points(50, 3, 4, 0.7f, 0.2f);
  const auto reach = radii(real, {precision_k, density_k});
  for (std::int64_t i = 0; i < real.count; ++i)
    CHECK(reach[1][static_cast<std::size_t>(i)] == doctest::Approx(radius(real, i, 5)).epsilon(1e-4));
  double precise = 0, recalled = 0, within = 0, covered = 0;
  for (std::int64_t j = 0; j < samples.count; ++j) {
    bool in = false;
    for (std::int64_t i = 0; i < real.count; ++i) {
      in = in || squared(real, i, samples, j) < radius(real, i, 3);
      within += squared(real, i, samples, j) < radius(real, i, 5);
    }
    precise += in;
  }
  for (std::int64_t i = 0; i < real.count; ++i) {
    bool in = false, holds = false;
    for (std::int64_t j = 0; j < samples.count; ++j) {
      in = in || squared(real, i, samples, j) < radius(samples, j, 3);
      holds = holds || squared(real, i, samples, j) < radius(real, i, 5);
    }
    recalled += in, covered += holds;
  }
  const Overlap o = overlap(real, reach, samples);
  CHECK(o.precision == doctest::Approx(precise / 50));
  CHECK(o.recall == doctest::Approx(recalled / 40));
  CHECK(o.density == doctest::Approx(within / 250));
  CHECK(o.coverage == doctest::Approx(covered / 40));
  CHECK(o.precision > o.recall);

  const Overlap same = overlap(real, reach, real);
  CHECK(same.precision == 1);
  CHECK(same.recall == 1);
  CHECK(same.coverage == 1);
  CHECK(same.density == doctest::Approx(1));  // itself and four neighbours inside each ball
  const Overlap far = overlap(real, reach, random_points(40, 3, 5, 1, 100));
  CHECK(far.precision + far.recall + far.density + far.coverage == 0);
  // One real image drawn again and again: precise, and without recall.
  Features one{40, 3, {}};
  for (int i = 0; i < 40; ++i) one.values.insert(one.values.end(), real.values.begin(), real.values.begin() + 3);
  CHECK(overlap(real, reach, one).precision == 1);
  CHECK(overlap(real, reach, one).coverage < 0.5);
  CHECK_THROWS_AS(radii(random_points(5, 3, 1), {5}), Error);
}

TEST_CASE("evaluation: nearest rows, the nearest first") {
  const Features a = points(1, {0, 10}), b = points(1, {9, 1, -3, 10});
  const auto near = nearest(a, b, 2);
  CHECK(near[0][0].row == 1);
  CHECK(near[0][0].distance == 1);
  CHECK(near[0][1].row == 2);
  CHECK(near[1][0].row == 3);
  CHECK(near[1][0].distance == 0);
}

TEST_CASE("evaluation: classes that are covered, and their divergence") {
  std::vector<std::int32_t> labels, answers;
  for (int i = 0; i < 100; ++i) labels.push_back(i % 2), answers.push_back(i < 5 ? 1 : 0);
  const ClassShares s = class_shares(answers, labels, 3);
  CHECK(s.samples[1] == 0.05);
  CHECK(s.covered == 2);  // 0.05 is a tenth of 0.5; the third class is in no real image
  const double p[] = {95.5 / 101.5, 5.5 / 101.5, 0.5 / 101.5}, q[] = {50.5 / 101.5, 50.5 / 101.5, 0.5 / 101.5};
  double kl = 0;
  for (int c = 0; c < 3; ++c) kl += p[c] * std::log(p[c] / q[c]);
  CHECK(s.divergence == doctest::Approx(kl));
  answers[4] = 0;
  CHECK(class_shares(answers, labels, 3).covered == 1);
  CHECK(class_shares(labels, labels, 3).divergence == doctest::Approx(0));
}

TEST_CASE("evaluation: the best assignment is the best of all permutations") {
  SplitMix64 random{7};
  for (int trial = 0; trial < 40; ++trial) {
    const std::size_t rows = 1 + random.below(5), columns = 1 + random.below(5), n = std::max(rows, columns);
    std::vector<std::vector<double>> gain(rows, std::vector<double>(columns));
    for (auto& row : gain)
      for (double& g : row) g = static_cast<double>(random.below(20));
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    double best = 0;
    do {
      double total = 0;
      for (std::size_t i = 0; i < rows; ++i) total += order[i] < columns ? gain[i][order[i]] : 0;
      best = std::max(best, total);
    } while (std::next_permutation(order.begin(), order.end()));
    const std::vector<int> found = best_assignment(gain);
    double total = 0;
    std::vector<int> used;
    for (std::size_t i = 0; i < rows; ++i)
      if (found[i] >= 0) total += gain[i][static_cast<std::size_t>(found[i])], used.push_back(found[i]);
    std::sort(used.begin(), used.end());
    CHECK(std::adjacent_find(used.begin(), used.end()) == used.end());
    CHECK(used.size() == std::min(rows, columns));
    CHECK(total == best);
  }
}

TEST_CASE("evaluation: samples of a class that was asked for, and values that are paired with classes") {
  const ChainNet judge = rows_judge();
  const DataShape image{4, 4, 1, 4};
  Rows right("class", {0, 1, 2, 3}), wrong("class", {0, 1, 3, 3}), code("digit", {2, 0, 3, 1}),
      twice("digit", {2, 2, 3, 1});
  const CodeAgreement a = code_agreements(right, image, judge, 1, 100).at(0);
  CHECK(a.is_class);
  CHECK(a.each == 25);
  CHECK(a.accuracy == 1);
  CHECK(code_agreements(wrong, image, judge, 1, 100).at(0).accuracy == 0.75);
  CHECK(code_agreements(wrong, image, judge, 1, 100).at(0).by_value[2] == 0);
  const CodeAgreement c = code_agreements(code, image, judge, 1, 100).at(0);
  CHECK(!c.is_class);
  CHECK(c.accuracy == 1);
  CHECK((c.meant == std::vector<int>{2, 0, 3, 1}));
  CHECK(code_agreements(twice, image, judge, 1, 100).at(0).accuracy == 0.75);
}

TEST_CASE("evaluation: a model's own answers, and clusters that get their names from labels") {
  const ImageSet train = row_images(40), test = row_images(12);
  Rows named("class", {0, 1, 2, 3}), misnamed("class", {2, 0, 3, 1}), clusters("digit", {2, 0, 3, 1});
  CHECK(own_error(named, train, test)->error == 0);
  CHECK(own_error(misnamed, train, test)->error == 1);
  const OwnError own = *own_error(clusters, train, test);
  CHECK(own.error == 0);
  CHECK(own.named_by == 40);
}

TEST_CASE("evaluation: naive images lie in the span of the principal components") {
  ImageSet set{.name = "two", .count = 200, .height = 4, .width = 4, .channels = 1, .pixels = {}, .labels = {}};
  SplitMix64 random{3};
  for (std::int64_t i = 0; i < set.count; ++i) {
    const float a = random.uniform(-40, 40), b = random.uniform(-10, 10);
    for (std::int64_t p = 0; p < 16; ++p)
      set.pixels.push_back(static_cast<std::uint8_t>(128 + std::lround(p < 8 ? a : b)));
  }
  const ImageSet out = naive_images(set, 2000, 5);
  CHECK(out.pixels.size() == 2000 * 16);
  CHECK(out.pixels == naive_images(set, 2000, 5).pixels);
  CHECK(out.pixels != naive_images(set, 2000, 6).pixels);
  double sum = 0, square = 0;
  int apart = 0;
  for (std::size_t i = 0; i < 2000; ++i) {
    const std::uint8_t* x = out.pixels.data() + i * 16;
    sum += x[0], square += x[0] * x[0];
    for (std::size_t p = 1; p < 8; ++p) apart = std::max(apart, std::abs(x[p] - x[0]));
  }
  CHECK(apart <= 1);
  const double mean = sum / 2000, deviation = std::sqrt(square / 2000 - mean * mean);
  CHECK(mean == doctest::Approx(128).epsilon(0.03));
  CHECK(deviation == doctest::Approx(40 / std::sqrt(3.0)).epsilon(0.1));
}

TEST_CASE("evaluation: the linear classifier is at the minimum of its objective") {
  const Features x = random_points(60, 4, 9);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < x.count; ++i)
    labels.push_back(x.row(i)[0] + 0.4f * x.row(i)[1] > 0.3f ? 2 : x.row(i)[2] > 0 ? 1 : 0);
  constexpr double lambda = 0.7;
  const LinearClassifier machine(x, labels, 3, lambda);
  for (std::int64_t c = 0; c < 3; ++c) {
    std::vector<double> slope;
    for (const double w : machine.weights(c)) slope.push_back(2 * lambda * w);
    for (std::int64_t i = 0; i < x.count; ++i) {
      std::vector<double> z;
      double score = machine.weights(c)[4];
      for (std::size_t k = 0; k < 4; ++k) {
        double mean = 0, square = 0;
        for (std::int64_t j = 0; j < x.count; ++j)
          mean += x.row(j)[k] / 60.0, square += x.row(j)[k] * x.row(j)[k] / 60.0;
        z.push_back((x.row(i)[k] - mean) / std::sqrt(square - mean * mean));
        score += machine.weights(c)[k] * z.back();
      }
      z.push_back(1);
      const double y = labels[static_cast<std::size_t>(i)] == c ? 1 : -1, short_of = std::max(0.0, 1 - y * score);
      for (std::size_t k = 0; k < 5; ++k) slope[k] -= 2 * y * short_of * z[k];
    }
    CHECK(max_abs(slope) < 1e-4);
  }
  CHECK(agreement(machine.answers(x), labels) > 0.85);
  CHECK(agreement(LinearClassifier::chosen(x, labels, 3).answers(x), labels) > 0.85);
}

TEST_CASE("evaluation: D's features are the largest values of each part of its maps") {
  const ModelInfo& info = find_model("dcgan");
  set_seed(1);
  const auto model = info.make({28, 28, 1, 0}, Settings(info.settings, {{"width", "4"}}));
  const ImageSet images = make_glyphs(5, 1);
  const Features f = DiscriminatorFeatures("dcgan", *model, {28, 28, 1, 0})(images);
  CHECK(f.width == 16 * (4 + 8));
  const Net d = model->parts()[1].net;
  const std::vector<Tensor> results = d.activations(to_tensor(images, 0, 5));
  const auto map = results[0].to_vector<float>();  // (5,14,14,4)
  float most = -1e9f;
  for (std::size_t y = 3; y < 7; ++y)  // floor(14/4) .. ceil(2*14/4)
    for (std::size_t x = 7; x < 11; ++x) most = std::max(most, map[((2 * 14 + y) * 14 + x) * 4 + 1]);
  CHECK(f.row(2)[(1 * 4 + 2) * 4 + 1] == doctest::Approx(most));
  const ModelInfo& gan = find_model("gan");
  const auto flat = gan.make({28, 28, 1, 0}, Settings(gan.settings, {}));
  CHECK_THROWS_WITH_AS(DiscriminatorFeatures("gan", *flat, {28, 28, 1, 0}),
                       "--probe: D of gan has no convolution with a result of 4x4 or more", Error);
}
