// Losses over answers and codes, and what the models with labels promise.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "engine/error.h"
#include "losses/classification.h"
#include "losses/information.h"
#include "tests/finite_differences.h"
#include "tests/small_models.h"
#include "tests/support.h"
#include "tools/answers.h"
#include "tools/codes.h"
#include "tools/sampler.h"

namespace duel::test {
namespace {

Tensor drawn(const Shape& shape) { return detach(normal(shape, DType::f64)); }

void check_orders(const Scalar& loss, const std::vector<Tensor>& xs) {
  CHECK(directional_error(loss, xs) < 1e-7);
  std::vector<Tensor> weights;
  for (const Tensor& x : xs) weights.push_back(drawn(x.shape()));
  CHECK(directional_error(gradients_of(loss, weights), xs) < 1e-6);
}

ImageSet noise_images(std::int64_t count, std::int64_t classes) {
  ImageSet set = make_glyphs(count, 17);
  set.classes = classes;
  for (std::int32_t& label : set.labels) label %= static_cast<std::int32_t>(classes);
  return set;
}

// Answers by the brightness of an image, as clusters or as classes.
class ByBrightness : public Model {
 public:
  ByBrightness(std::int64_t answers, bool clusters) : answers_(answers), clusters_(clusters) {}
  Metrics step(std::span<const Batch>) override { return {}; }
  Tensor noise(std::int64_t n) const override { return normal({n, 1}); }
  Tensor sample(const Tensor& z) override { return z; }
  State state() const override { return {}; }
  std::vector<Part> parts() const override { return {}; }
  std::int64_t answers() const override { return answers_; }
  bool clusters() const override { return clusters_; }
  Tensor classify(const Tensor& images) override {
    const Tensor level = mean(images, {1, 2, 3}, keep_axes);  // -1 .. 1
    std::vector<Tensor> scores;
    for (std::int64_t k = 0; k < answers_; ++k)
      scores.push_back(-abs(reshape(level, {images.dim(0), 1}) -
                            (-1 + (2.0 * static_cast<double>(k) + 1) / static_cast<double>(answers_))));
    return concat(scores, 1);
  }

 private:
  std::int64_t answers_;
  bool clusters_;
};

// One-pixel images of evenly spaced brightness.
ImageSet ramp(std::int64_t count, std::int64_t levels, const std::vector<std::int32_t>& label_of_level) {
  ImageSet set{.name = "ramp", .count = count, .height = 1, .width = 1, .channels = 1, .pixels = {}, .labels = {}};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto level = static_cast<std::size_t>(i % levels);
    set.pixels.push_back(static_cast<std::uint8_t>((2 * level + 1) * 255 / (2 * static_cast<std::size_t>(levels))));
    set.labels.push_back(label_of_level[level]);
  }
  set.classes = *std::max_element(set.labels.begin(), set.labels.end()) + 1;
  return set;
}

}  // namespace

TEST_CASE("labels: losses over answers have their closed forms") {
  const Tensor even = zeros({3, 4}, DType::f64);
  const Tensor labels = from_vector<std::int32_t>({3}, {0, 3, 1}, DType::i32);
  CHECK(cross_entropy(even, labels).item() == doctest::Approx(std::log(4)));
  CHECK(conditional_entropy(even).item() == doctest::Approx(std::log(4)));
  CHECK(marginal_entropy(even).item() == doctest::Approx(std::log(4)));
  // Sure answers, each another one: no entropy each, all of it on the average.
  const Tensor sure = 200.0 * one_hot(labels, 4, DType::f64);
  CHECK(cross_entropy(sure, labels).item() < 1e-12);
  CHECK(conditional_entropy(sure).item() < 1e-12);
  CHECK(marginal_entropy(sure).item() == doctest::Approx(std::log(3)));
  // Labels as indices and as one-hot rows are the same.
  set_seed(3);
  const Tensor a = drawn({3, 4});
  CHECK(cross_entropy(a, labels).item() == cross_entropy(a, one_hot(labels, 4, DType::f64)).item());
  // (0.5, 0.5) and (1, 0): H of the average (0.75, 0.25).
  const Tensor p = from_vector<double>({2, 2}, {0, 0, 100, -100}, DType::f64);
  CHECK(marginal_entropy(p).item() == doctest::Approx(-0.75 * std::log(0.75) - 0.25 * std::log(0.25)));
  CHECK(conditional_entropy(p).item() == doctest::Approx(std::log(2) / 2));
  const Tensor f = from_vector<double>({2, 2}, {1, 2, 3, 4}, DType::f64), g = zeros({3, 2}, DType::f64);
  CHECK(feature_matching(f, g).item() == doctest::Approx(4 + 9));
}

TEST_CASE("labels: the information of a code") {
  const Tensor c = one_hot(from_vector<std::int32_t>({3}, {0, 2, 1}, DType::i32), 4, DType::f64);
  CHECK(category_information(c, zeros({3, 4}, DType::f64)).item() == doctest::Approx(0).epsilon(1e-12));  // no idea
  CHECK(category_information(c, 100.0 * c).item() == doctest::Approx(std::log(4)));                       // all of it
  const Tensor x = from_vector<double>({2, 2}, {0.5, -1, 0, 1}, DType::f64);
  const double constant = 2 * (std::log(2) - 0.5 * std::log(2 * std::numbers::pi));
  CHECK(number_information(x, x, -1, 1).item() == doctest::Approx(constant));
  CHECK(number_information(x, x + 2.0, -1, 1).item() == doctest::Approx(constant - 4));
}

TEST_CASE("labels: whole losses on a small net, first and second order") {
  set_seed(5);
  const Tensor x = drawn({5, 6}), labels = from_vector<std::int32_t>({5}, {0, 2, 1, 1, 0}, DType::i32);
  const Tensor w1 = drawn({4, 6}), w2 = drawn({3, 4}), other = drawn({7, 6}), c = one_hot(labels, 3, DType::f64);
  const auto hidden = [](const Tensor& in, const std::vector<Tensor>& w) { return tanh(linear(in, w[0])); };
  const auto net = [&](const Tensor& in, const std::vector<Tensor>& w) { return linear(hidden(in, w), w[1]); };
  const std::vector<std::pair<const char*, Scalar>> losses{
      {"cross-entropy", [&](const auto& w) { return cross_entropy(net(x, w), labels); }},
      {"conditional entropy", [&](const auto& w) { return conditional_entropy(net(x, w)); }},
      {"marginal entropy", [&](const auto& w) { return marginal_entropy(net(x, w)); }},
      {"feature matching", [&](const auto& w) { return feature_matching(hidden(x, w), hidden(other, w)); }},
      {"information of a category", [&](const auto& w) { return category_information(c, net(x, w)); }},
      {"information of numbers", [&](const auto& w) { return number_information(c, net(x, w), -1, 1); }},
      {"semi-supervised D",
       [&](const auto& w) {
         return cross_entropy(net(x, w), labels) +
                0.5 * (mean(softplus(-logsumexp(net(x, w)))) + mean(softplus(logsumexp(net(other, w)))));
       }},
      {"categorical D", [&](const auto& w) {
         return conditional_entropy(net(x, w)) - marginal_entropy(net(x, w)) - conditional_entropy(net(other, w));
       }}};
  for (const auto& [name, loss] : losses) {
    INFO(name);
    check_orders(loss, {w1, w2});
  }
}

TEST_CASE("labels: codes of the noise") {
  for (const char* name : {"cgan", "infogan"}) {
    Trainer t(name, small().at(name), 6);
    const std::vector<Model::Code> codes = t.model->codes();
    REQUIRE(!codes.empty());
    const Model::Code& category = codes[0];
    const Tensor z = draw_noise(*t.model, 3, 40);
    const std::int64_t columns = z.dim(1);
    CHECK(columns == codes.back().first + codes.back().count);
    const auto rows = z.to_vector<double>();
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < 40; ++i) {
      double total = 0;
      for (std::int64_t k = 0; k < category.count; ++k) {
        const double v = rows[static_cast<std::size_t>(i * columns + category.first + k)];
        CHECK((v == 0 || v == 1));
        total += v;
        if (v == 1) seen.insert(k);
      }
      CHECK(total == 1);
      for (std::size_t k = 1; k < codes.size(); ++k)
        CHECK(std::abs(rows[static_cast<std::size_t>(i * columns + codes[k].first)]) <= 1);
    }
    CHECK(seen.size() >= 8);
    const auto turn = with_categories_in_turn(*t.model, z).to_vector<double>();
    for (std::int64_t i = 0; i < 40; ++i)
      CHECK(turn[static_cast<std::size_t>(i * columns + category.first + i % category.count)] == 1);
    // All else stays.
    for (std::int64_t i = 0; i < 40; ++i)
      for (std::int64_t k = 0; k < category.first; ++k)
        CHECK(turn[static_cast<std::size_t>(i * columns + k)] == rows[static_cast<std::size_t>(i * columns + k)]);
    const Picture p = sweep_codes(*t.model, {28, 28, 1}, 1, 2, 5);
    CHECK(p.width == 5 * 58 - 2);
  }
  Trainer info("infogan", small().at("infogan"), 6);
  const auto asked = parse_codes(*info.model, "code", "c1=3,c3=-0.5");
  REQUIRE(asked.size() == 2);
  Tensor z = draw_noise(*info.model, 3, 4);
  for (const CodeValue& v : asked) z = with_code(z, v);
  const auto rows = z.to_vector<double>();
  const std::int64_t columns = z.dim(1);
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(rows[static_cast<std::size_t>(i * columns + 10 + 3)] == 1);
    CHECK(rows[static_cast<std::size_t>((i + 1) * columns - 1)] == -0.5);
  }
  for (const char* bad : {"c4=1", "c1=10", "c1=1.5", "c1", "c1=1,c1=2", "c2=9", "c2=x", ""})
    CHECK_THROWS_AS(parse_codes(*info.model, "code", bad), Error);
}

TEST_CASE("labels: how right a model is") {
  // Four levels, four classes, one of them wrong.
  ByBrightness classes(4, false), clusters(4, true), many(8, true);
  CHECK(error_rate(classes, ramp(40, 4, {0, 1, 2, 3})) == 0);
  CHECK(error_rate(classes, ramp(40, 4, {0, 1, 3, 3})) == doctest::Approx(0.25));
  CHECK(error_rate(classes, ramp(40, 4, {3, 2, 1, 0})) == 1);
  CHECK(error_rate(clusters, ramp(40, 4, {3, 2, 1, 0})) == 0);
  CHECK(error_rate(clusters, ramp(40, 4, {3, 2, 1, 0}), ramp(40, 4, {3, 2, 1, 1})) == doctest::Approx(0.25));
  CHECK(error_rate(many, ramp(80, 8, {0, 1, 0, 1, 2, 2, 2, 2})) == 0);
  // A cluster that names saw nothing of is wrong.
  CHECK(error_rate(many, ramp(80, 4, {0, 0, 1, 1}), ramp(80, 8, {0, 0, 0, 0, 1, 1, 1, 1})) > 0.3);
  ImageSet unlabelled = ramp(8, 4, {0, 1, 2, 3});
  unlabelled.labels.clear();
  CHECK_THROWS_AS(error_rate(classes, unlabelled), Error);
  Trainer plain("gan", small().at("gan"), 6);
  CHECK_THROWS_AS(error_rate(*plain.model, noise_images(20, 4)), Error);
}

TEST_CASE("labels: a classifying model answers by what it learned, and answering changes nothing") {
  for (const char* name : {"acgan", "sgan", "catgan", "infogan"}) {
    INFO(name);
    Trainer t(name, small().at(name), 16);
    for (int i = 0; i < 3; ++i) t.iterate();
    const std::vector<double> before = whole_state(*t.model);
    const ImageSet images = make_glyphs(50, 8);
    const double first = error_rate(*t.model, images);
    CHECK(error_rate(*t.model, images) == first);
    CHECK(whole_state(*t.model) == before);
    t.iterate();  // and it goes on in training
    CHECK(whole_state(*t.model) != before);
  }
}

}  // namespace duel::test
