// An iteration of each model against its paper's losses, summed up plainly from what the nets answer: signs, arguments,
// which of D's and G's weights each loss meets.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "engine/tape.h"
#include "models/adversarial.h"
#include "tests/small_models.h"

namespace duel::test {
namespace {

using Texts = std::map<std::string, std::string>;
using Rows = std::vector<std::vector<double>>;

constexpr std::int64_t images = 4;

double softplus(double x) { return std::log1p(std::exp(x)); }
Rows rows_of(const Tensor& t) {
  const std::vector<double> v = t.to_vector<double>();
  const auto width = static_cast<std::size_t>(t.dim(-1));
  Rows rows;
  for (std::size_t i = 0; i < v.size(); i += width)
    rows.emplace_back(v.begin() + static_cast<std::ptrdiff_t>(i), v.begin() + static_cast<std::ptrdiff_t>(i + width));
  return rows;
}
double mean_of(const Rows& rows, const std::function<double(const std::vector<double>&)>& f) {
  double s = 0;
  for (const auto& r : rows) s += f(r) / static_cast<double>(rows.size());
  return s;
}
double log_sum(const std::vector<double>& a) {
  double s = 0;
  for (const double v : a) s += std::exp(v);
  return std::log(s);
}
double entropy_of(const std::vector<double>& p) {
  double h = 0;
  for (const double v : p) h -= v * std::log(v);
  return h;
}
std::vector<double> softmax_of(const std::vector<double>& a) {
  std::vector<double> p;
  for (const double v : a) p.push_back(std::exp(v - log_sum(a)));
  return p;
}
double conditional(const Rows& a) {
  return mean_of(a, [](const auto& r) { return entropy_of(softmax_of(r)); });
}
double marginal(const Rows& a) {
  std::vector<double> average(a[0].size());
  for (const auto& r : a)
    for (std::size_t k = 0; k < r.size(); ++k) average[k] += softmax_of(r)[k] / static_cast<double>(a.size());
  return entropy_of(average);
}
double cross(const Rows& a, const std::vector<std::int32_t>& labels) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    s += (log_sum(a[i]) - a[i][static_cast<std::size_t>(labels[i])]) / static_cast<double>(a.size());
  return s;
}
std::vector<std::int32_t> largest(const Tensor& rows) { return argmax(rows, 1).to_vector<std::int32_t>(); }
// Goodfellow et al. 2014, with non-saturating G.
double logistic_d(const Rows& real, const Rows& fake) {
  return mean_of(real, [](const auto& r) { return softplus(-r[0]); }) +
         mean_of(fake, [](const auto& r) { return softplus(r[0]); });
}
double logistic_g(const Rows& fake) {
  return mean_of(fake, [](const auto& r) { return softplus(-r[0]); });
}

// A model that made one iteration, and the nets that its losses met: all as they were, but D after its step in G's.
struct Iteration {
  std::unique_ptr<Model> model, same;
  Batch batch, labelled;
  Metrics found;

  // classes 0: the images have no labels. With few labels there is a batch of labelled images beside the other.
  Iteration(const std::string& name, Texts given, std::int64_t classes, bool few = false) {
    const ModelInfo& info = find_model(name);
    // Steps so large that a loss of other weights is another number.
    for (const auto& [option, value] : Texts{{"width", "4"}, {"z-dim", "5"}, {"lr", "0.01"}, {"instance-noise", "0"}})
      for (const Setting& s : info.settings)
        if (s.name == option) given.emplace(option, value);
    const auto made = [&] {
      set_seed(3);
      return info.make({28, 28, 1, classes}, Settings(info.settings, given));
    };
    model = made();
    same = made();
    const auto some = [&](const std::vector<std::int32_t>& labels) {
      return Batch{detach(uniform({images, 28, 28, 1}, -1, 1)),
                   classes > 0 ? from_vector<std::int32_t>({images}, labels, DType::i32) : Tensor()};
    };
    batch = some({3, 0, 7, 3});
    std::vector<Batch> batches{batch};
    if (few) batches = {{batch.images, {}}, labelled = some({1, 9, 2, 5})};
    Context c(5);
    const ContextScope scope(c);
    found = model->step(batches);
  }
  Tensor g(const Tensor& z) const { return detach(net_of(*same, "G")(z)); }
  Tensor before(const char* name, const Tensor& x) const { return detach(net_of(*same, name)(x)); }
  Tensor after(const char* name, const Tensor& x) const { return detach(net_of(*model, name)(x)); }

  void check(const std::string& name, double expected) const {
    INFO(name);
    double value = std::nan("");
    for (const auto& [n, v] : found)
      if (n == name) value = v.item();
    CHECK(value == doctest::Approx(expected).epsilon(1e-9));
  }
};

}  // namespace

TEST_CASE("iterations: every loss has its closed form") {
  const Tensor d_real = from_vector<double>({3}, {0.3, -1.2, 2.0}, DType::f64),
               d_fake = from_vector<double>({2}, {-0.7, 1.4}, DType::f64);
  const Rows real{{0.3}, {-1.2}, {2.0}}, fake{{-0.7}, {1.4}};
  const auto over = [&](const Rows& rows, double (*f)(double)) {
    return mean_of(rows, [f](const auto& r) { return f(r[0]); });
  };
  const auto check = [&](const Texts& given, double of_d, double of_g) {
    INFO(given.begin()->second);
    const Objective o(Settings(objective_settings({}), given));
    CHECK(o.discriminator(d_real, d_fake).item() == doctest::Approx(of_d));
    CHECK(o.generator(d_fake).item() == doctest::Approx(of_g));
  };
  const double high = over(fake, [](double d) { return -d; });
  check({{"loss", "non-saturating"}}, logistic_d(real, fake), logistic_g(fake));
  check({{"loss", "minimax"}}, logistic_d(real, fake), over(fake, [](double d) { return -softplus(d); }));
  check({{"loss", "wasserstein"}}, over(real, [](double d) { return -d; }) - high, high);
  check({{"loss", "hinge"}},
        over(real, [](double d) { return std::max(0.0, 1 - d); }) +
            over(fake, [](double d) { return std::max(0.0, 1 + d); }),
        high);
  check({{"loss", "least-squares"}},
        over(real, [](double d) { return (d - 1) * (d - 1) / 2; }) + over(fake, [](double d) { return d * d / 2; }),
        over(fake, [](double d) { return (d - 1) * (d - 1) / 2; }));
  check({{"loss", "least-squares"}, {"codes", "-1-1-0"}},
        over(real, [](double d) { return (d - 1) * (d - 1) / 2; }) +
            over(fake, [](double d) { return (d + 1) * (d + 1) / 2; }),
        over(fake, [](double d) { return d * d / 2; }));

  // Where D is linear its slope is known wherever it is taken: 3 here.
  const Critic d = [](const Tensor& x) { return sum(x * 1.5, {1, 2, 3}); };
  const Tensor x = detach(normal({3, 2, 2, 1}, DType::f64)), x_fake = detach(normal({3, 2, 2, 1}, DType::f64));
  for (const auto& [word, expected] : std::map<std::string, double>{
           {"gp", 6.0 * 2 * 2}, {"gp0", 6.0 * 9}, {"dragan", 6.0 * 2 * 2}, {"r1", 27}, {"r2", 27}, {"r1+r2", 54}}) {
    INFO(word);
    const Penalty p(Settings(penalty_settings({}), {{"penalty", word}, {"lambda", "6"}}));
    CHECK(p(d, x, x_fake).item() == doctest::Approx(expected));
  }
}

TEST_CASE("iterations: gan, dcgan and cgan") {
  const FloatScope in_f64(DType::f64);
  for (const char* name : {"gan", "dcgan", "cgan"}) {
    INFO(name);
    const bool told = std::string(name) == "cgan";
    const Iteration i(name, {}, told ? 10 : 0);
    Context c(5);
    const ContextScope scope(c);
    // What D sees: the image and, as maps, its class.
    const auto seen = [&](const Tensor& x, const Tensor& classes) {
      return told ? concat({x, broadcast_to(reshape(classes, {images, 1, 1, 10}), {images, 28, 28, 10})}, 3) : x;
    };
    const Tensor asked = told ? one_hot(i.batch.labels, 10) : Tensor();
    Tensor z = normal({images, 5});
    if (told) z = concat({z, asked}, 1);
    i.check("loss_d", logistic_d(rows_of(i.before("D", seen(i.batch.images, asked))),
                                 rows_of(i.before("D", seen(i.g(z), asked)))));
    z = i.same->noise(images);
    i.check("loss_g", logistic_g(rows_of(i.after("D", seen(i.g(z), told ? slice(z, 1, 5, 15) : Tensor())))));
  }
}

TEST_CASE("iterations: acgan") {
  const FloatScope in_f64(DType::f64);
  const Iteration i("acgan", {{"class-weight", "0.5"}}, 10);
  Context c(5);
  const ContextScope scope(c);
  const auto classes = [](const Tensor& a) { return rows_of(slice(a, 1, 1, 11)); };
  const auto asked = [](const Tensor& z) { return largest(slice(z, 1, 5, 15)); };
  Tensor z = i.same->noise(images);
  const Tensor real = i.before("D", i.batch.images), fake = i.before("D", i.g(z));
  const double of_classes = cross(classes(real), {3, 0, 7, 3}) + cross(classes(fake), asked(z));
  i.check("loss_class", of_classes);
  i.check("loss_d", logistic_d(rows_of(real), rows_of(fake)) + 0.5 * of_classes);
  z = i.same->noise(images);
  const Tensor made = i.after("D", i.g(z));
  i.check("loss_g", logistic_g(rows_of(made)) + 0.5 * cross(classes(made), asked(z)));
}

TEST_CASE("iterations: infogan") {
  const FloatScope in_f64(DType::f64);
  const Iteration i("infogan", {{"info-weight", "0.5"}, {"number-weight", "0.3"}, {"lr-g", "0"}}, 0);
  Context c(5);
  const ContextScope scope(c);
  // Eq. 5: entropies of the code plus E log Q(c|x), a softmax and a Gaussian of variance 1.
  const auto category = [](const Tensor& z, const Tensor& q) {
    return std::log(10.0) - cross(rows_of(slice(q, 1, 0, 10)), largest(slice(z, 1, 5, 15)));
  };
  const auto numbers = [](const Tensor& z, const Tensor& q) {
    const double constant = 2 * (std::log(2.0) - 0.5 * std::log(2 * std::numbers::pi));
    return constant - mean_of(rows_of(slice(z, 1, 15, 17) - slice(q, 1, 10, 12)),
                              [](const auto& r) { return (r[0] * r[0] + r[1] * r[1]) / 2; });
  };
  Tensor z = i.same->noise(images);
  const Tensor f_real = i.before("D", i.batch.images), f_fake = i.before("D", i.g(z)), q = i.before("Q", f_fake);
  i.check("loss_d", logistic_d(rows_of(i.before("D_score", f_real)), rows_of(i.before("D_score", f_fake))) -
                        0.5 * category(z, q) - 0.3 * numbers(z, q));
  z = i.same->noise(images);
  const Tensor f = i.after("D", i.g(z)), q_made = i.after("Q", f);
  i.check("info_category", category(z, q_made));
  i.check("info_numbers", numbers(z, q_made));
  i.check("loss_g", logistic_g(rows_of(i.after("D_score", f))) - 0.5 * category(z, q_made) - 0.3 * numbers(z, q_made));
}

TEST_CASE("iterations: sgan") {
  const FloatScope in_f64(DType::f64);
  for (const char* aim : {"feature-matching", "score"}) {
    INFO(aim);
    const Iteration i("sgan", {{"generator", aim}, {"unlabelled-weight", "0.6"}}, 10, true);
    Context c(5);
    const ContextScope scope(c);
    // D(x) = Z / (Z + 1), so its logit is log Z. D draws noise: the calls come in the order of the iteration.
    const auto log_z = [](const Tensor& answers) {
      Rows all;
      for (const auto& r : rows_of(answers)) all.push_back({log_sum(r)});
      return all;
    };
    const auto answers = [&](const Tensor& x) { return i.before("D_class", i.before("D", x)); };
    const Tensor x_fake = i.g(i.same->noise(images));
    const Rows real = log_z(answers(i.batch.images)), fake = log_z(answers(x_fake));
    const double of_classes = cross(rows_of(answers(i.labelled.images)), {1, 9, 2, 5});
    i.check("loss_class", of_classes);
    i.check("loss_d", of_classes + 0.6 * 0.5 * logistic_d(real, fake));
    const Tensor f_fake = i.after("D", i.g(i.same->noise(images)));
    if (std::string(aim) == "score") {
      i.check("loss_g", logistic_g(log_z(i.after("D_class", f_fake))));
      continue;
    }
    const Rows of_fake = rows_of(f_fake), of_real = rows_of(i.after("D", i.batch.images));
    double distance = 0;
    for (std::size_t k = 0; k < of_fake[0].size(); ++k) {
      const auto average = [k](const Rows& rows) { return mean_of(rows, [k](const auto& r) { return r[k]; }); };
      distance += std::pow(average(of_real) - average(of_fake), 2);
    }
    i.check("loss_g", distance);
  }
}

TEST_CASE("iterations: catgan") {
  const FloatScope in_f64(DType::f64);
  for (const bool few : {true, false}) {
    INFO(few);
    const Iteration i("catgan", few ? Texts{{"class-weight", "0.5"}} : Texts{{"clusters", "7"}}, few ? 10 : 0, few);
    Context c(5);
    const ContextScope scope(c);
    const Tensor x_fake = i.g(i.same->noise(images));
    const Rows real = rows_of(i.before("D", i.batch.images)), fake = rows_of(i.before("D", x_fake));
    CHECK(real[0].size() == (few ? 10 : 7));
    // Eq. 7 and 9: sure of real images, all classes alike, unsure of generated ones.
    double of_d = conditional(real) - marginal(real) - conditional(fake);
    if (few) of_d += 0.5 * cross(rows_of(i.before("D", i.labelled.images)), {1, 9, 2, 5});
    i.check("loss_d", of_d);
    const Rows made = rows_of(i.after("D", i.g(i.same->noise(images))));
    i.check("loss_g", conditional(made) - marginal(made));  // eq. 8
  }
}

}  // namespace duel::test
