// Categorical GAN (Springenberg 2016): D answers with K classes and no source. With the conditional entropy
// E_n H(p(.|x_n)), how unsure it is of an image, and the marginal entropy H(E_n p(.|x_n)), how evenly it uses the
// classes,
//   D  is sure of real images and uses all classes evenly, and is unsure of generated ones (eq. 7 and 9),
//   G  makes images of which D is sure, evenly of all classes (eq. 8).
// Without labels the classes are clusters; labels add a cross-entropy (eq. 9). The nets are DCGAN's, with noise on what
// D sees: the less there is, the more its classes follow details (bench/results/quality.md).
#include "engine/error.h"
#include "engine/tape.h"
#include "losses/classification.h"
#include "models/adversarial.h"
#include "models/nets.h"

namespace duel {
namespace {

constexpr const char* usual_clusters = "20";

class Catgan : public AdversarialModel {
 public:
  Catgan(const DataShape& data, const Settings& s)
      : AdversarialModel(data, s, nets(data, s)),
        answers_(answers_of(data, s)),
        lambda_(s.number("class-weight")),
        penalty_(s) {}

  Metrics step(std::span<const Batch> batches) override {
    const Batch& labelled = batches.back();
    // What D trains to be high at real images and low at generated ones, image by image.
    const Critic sureness = [this](const Tensor& at) { return -entropy(d_(at)); };
    Tensor loss_d, loss_class, loss_penalty, sure, even, unsure;
    for (const Batch& batch : batches.first(static_cast<std::size_t>(batches_per_step()))) {
      const Tensor x = show(batch.images), x_fake = show(detach(g_(noise(batch.size()))));
      const Tensor a = d_(x), a_fake = d_of_fake(x_fake);
      sure = conditional_entropy(a);
      even = marginal_entropy(a);
      unsure = conditional_entropy(a_fake);
      loss_d = sure - even - unsure;
      if (labelled.labels) {
        loss_class = cross_entropy(d_(show(labelled.images)), labelled.labels);
        loss_d = loss_d + lambda_ * loss_class;
      }
      loss_penalty = penalty_(sureness, x, x_fake);
      if (loss_penalty) loss_d = loss_d + loss_penalty;
      step_d(loss_d);
    }

    const Tensor a = d_of_fake(show(g_(noise(batches[0].size()))));
    const Tensor loss_g = conditional_entropy(a) - marginal_entropy(a);
    step_g(loss_g);

    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}};
    if (loss_class) m.push_back({"loss_class", loss_class});
    if (loss_penalty) m.push_back({"loss_penalty", loss_penalty});
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
    const DcganOptions of_g = dcgan_options(s, true);
    DcganOptions of_d = dcgan_options(s, s.word("norm") == "batch");
    of_d.outputs = answers_of(data, s);
    return {dcgan_generator(data.height, data.channels, of_g), dcgan_generator(data.height, data.channels, of_g),
            dcgan_critic(data.height, data.channels, of_d)};
  }

  std::int64_t answers_;
  double lambda_;
  Penalty penalty_;
};

}  // namespace

ModelInfo catgan_model() {
  const AdversarialRecipe r{.instance_noise = "0.5"};
  const std::vector<Setting> own{
      {"clusters", "K, where there are no labels", usual_clusters, 2, 1000, true, {}},
      {"class-weight", "lambda of the cross-entropy with the labels", "1", 0, 1e3, false, {}}};
  return {"catgan",
          "GAN that clusters images, or classifies them with few labels",
          "Springenberg 2016",
          64,
          join_settings({penalty_settings(r), training_settings(r), dcgan_settings(r), shown_settings(r), own}),
          [](const DataShape& data, const Settings& s) {
            check_square("catgan", data);
            check_bounds("catgan", s);
            require(data.classes == 0 || s.word("clusters") == usual_clusters,
                    "catgan: --clusters {} with labels of {} classes, which take the clusters' place; leave it out, or "
                    "hide the labels: --labels 0",
                    s.word("clusters"), data.classes);
            return std::make_unique<Catgan>(data, s);
          },
          Labels::few};
}

}  // namespace duel
