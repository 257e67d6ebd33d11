// Categorical GAN (Springenberg 2016): D answers with K classes and no source. With the conditional entropy
// E_n H(p(.|x_n)), how unsure it is of an image, and the marginal entropy H(E_n p(.|x_n)), how evenly it uses the
// classes,
//   D  is sure of real images and uses all classes evenly, and is unsure of generated ones (eq. 7 and 9),
//   G  makes images of which D is sure, evenly of all classes (eq. 8).
// Without labels the classes are clusters; labels add a cross-entropy (eq. 9).
#include "engine/error.h"
#include "engine/tape.h"
#include "losses/classification.h"
#include "models/adversarial.h"

namespace duel {
namespace {

class Catgan : public AdversarialModel {
 public:
  Catgan(const DataShape& data, const Settings& s)
      : AdversarialModel(data, s, nets(data, s)), answers_(answers_of(data, s)), lambda_(s.number("class-weight")) {}

  Metrics step(std::span<const Batch> batches) override {
    const Batch& labelled = batches.back();
    Tensor loss_d, loss_class, sure, even, unsure;
    for (const Batch& batch : batches.first(static_cast<std::size_t>(batches_per_step()))) {
      const Tensor a = d_(show(batch.images)), a_fake = d_(show(detach(g_(noise(batch.size())))));
      sure = conditional_entropy(a);
      even = marginal_entropy(a);
      unsure = conditional_entropy(a_fake);
      loss_d = sure - even - unsure;
      if (labelled.labels) {
        loss_class = cross_entropy(d_(show(labelled.images)), labelled.labels);
        loss_d = loss_d + lambda_ * loss_class;
      }
      step_d(loss_d);
    }

    const Tensor a = d_(show(g_(noise(batches[0].size()))));
    const Tensor loss_g = conditional_entropy(a) - marginal_entropy(a);
    step_g(loss_g);

    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}};
    if (loss_class) m.push_back({"loss_class", loss_class});
    m.insert(m.end(), {{"entropy_real", sure}, {"entropy_fake", unsure}, {"entropy_marginal", even}});
    return m;
  }

  std::int64_t answers() const override { return answers_; }
  bool clusters() const override { return data_.classes == 0; }
  Tensor classify(const Tensor& images) override {
    const Inference off({d_});
    return d_(images);
  }

 private:
  static std::int64_t answers_of(const DataShape& data, const Settings& s) {
    return data.classes > 0 ? data.classes : s.integer("clusters");
  }
  static Nets nets(const DataShape& data, const Settings& s) {
    const std::int64_t pixels = data.height * data.width * data.channels;
    const std::int64_t width = s.integer("width");
    Net d;
    d.flatten().gaussian_noise(0.6);
    std::int64_t in = pixels;
    for (const std::int64_t out : {width, width / 2, width / 4, width / 4, width / 4}) {
      d.linear(in, out, Act::none, false).batch_norm(out, Act::leaky_relu).gaussian_noise(0.5);
      in = out;
    }
    d.linear(in, answers_of(data, s));
    return {generator(data, s), generator(data, s), d};
  }
  static Net generator(const DataShape& data, const Settings& s) {
    const std::int64_t width = s.integer("width"), half = width / 2;
    Net g;
    g.linear(s.integer("z-dim"), half, Act::none, false).batch_norm(half, Act::leaky_relu);
    g.linear(half, half, Act::none, false).batch_norm(half, Act::leaky_relu);
    g.linear(half, width, Act::none, false).batch_norm(width, Act::leaky_relu);
    return g.linear(width, data.height * data.width * data.channels, Act::tanh)
        .reshape({data.height, data.width, data.channels});
  }

  std::int64_t answers_;
  double lambda_;
};

}  // namespace

ModelInfo catgan_model() {
  const AdversarialRecipe r{.lr = "0.0002", .z_dim = "128"};
  const std::vector<Setting> own{
      {"clusters", "K, where there are no labels", "20", 2, 1000, true, {}},
      {"width", "features of D's first layer; deeper ones and G's have parts of it", "1000", 4, 65536, true, {}},
      {"class-weight", "lambda of the cross-entropy with the labels", "1", 0, 1e3, false, {}}};
  return {"catgan",
          "GAN that clusters images, or classifies them with few labels",
          "Springenberg 2016",
          100,
          join_settings({training_settings(r), shown_settings(), own}),
          [](const DataShape& data, const Settings& s) { return std::make_unique<Catgan>(data, s); },
          Labels::few};
}

}  // namespace duel
