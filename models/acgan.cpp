// Auxiliary classifier GAN (Odena, Olah and Shlens 2017): D answers with the source S, real or generated, and with the
// class C; G makes images of an asked class that D classifies right. Nets as DCGAN's.
#include "engine/tape.h"
#include "losses/classification.h"
#include "models/adversarial.h"
#include "models/nets.h"

namespace duel {
namespace {

class Acgan : public AdversarialModel {
 public:
  Acgan(const DataShape& data, const Settings& s)
      : AdversarialModel(data, s, nets(data, s)), weight_(s.number("class-weight")), loss_(s) {}

  Metrics step(std::span<const Batch> batches) override {
    Tensor loss_class;
    AdversarialLoss::OfD of_d;
    for (const Batch& batch : batches) {
      const Tensor x = show(batch.images), c = batch.labels;
      const Tensor z = noise(batch.size()), x_fake = show(detach(g_(z)));
      const Answer real = split(d_(x)), fake = split(d_of_fake(x_fake));
      // Eq. 2 and 3. The images of G count for the class, too: D is trained to maximise L_S + L_C over both.
      of_d = loss_.discriminator(
          real.source, fake.source, [this](const Tensor& at) { return split(d_(at)).source; }, x, x_fake);
      loss_class = cross_entropy(real.classes, c) + cross_entropy(fake.classes, class_of(z));
      of_d.loss = of_d.loss + weight_ * loss_class;
      step_d(of_d.loss);
    }
    const Tensor z = noise(batches[0].size());
    const Answer made = split(d_of_fake(show(g_(z))));
    const Tensor loss_g = loss_.generator(made.source) + weight_ * cross_entropy(made.classes, class_of(z));
    step_g(loss_g);
    return loss_.metrics(of_d, loss_g, {{"loss_class", loss_class}});
  }

  std::vector<Code> codes() const override { return {class_code()}; }
  std::int64_t answers() const override { return data_.classes; }
  Tensor classify(const Tensor& images) override {
    const Inference off({d_});
    return split(d_(images)).classes;
  }

 private:
  struct Answer {
    Tensor source, classes;  // (N,1), (N,K)
  };
  Answer split(const Tensor& a) const { return {slice(a, 1, 0, 1), slice(a, 1, 1, 1 + data_.classes)}; }
  Tensor class_of(const Tensor& z) const { return slice(z, 1, z_dim_, z_dim_ + data_.classes); }

  static Nets nets(const DataShape& data, const Settings& s) {
    DcganOptions of_g = dcgan_options(s, true), of_d = dcgan_options(s, s.word("norm") == "batch");
    of_g.z_dim += data.classes;
    of_d.outputs = 1 + data.classes;
    return {dcgan_generator(data.height, data.channels, of_g), dcgan_generator(data.height, data.channels, of_g),
            dcgan_critic(data.height, data.channels, of_d)};
  }

  double weight_;
  AdversarialLoss loss_;
};

}  // namespace

ModelInfo acgan_model() {
  const AdversarialRecipe r;
  const std::vector<Setting> own{{"class-weight", "weight of the class's cross-entropy", "1", 0, 1e3, false, {}}};
  return {"acgan",
          "GAN with an auxiliary classifier: images of an asked class",
          "Odena et al. 2017",
          64,
          join_settings({objective_settings(r), penalty_settings(r), training_settings(r), dcgan_settings(r),
                         shown_settings(r), own}),
          [](const DataShape& data, const Settings& s) {
            check_square("acgan", data);
            check_bounds("acgan", s);
            return std::make_unique<Acgan>(data, s);
          },
          Labels::needed};
}

}  // namespace duel
