// InfoGAN (Chen et al. 2016): G takes noise z and a code c, and Q, which shares all but its last layers with D, guesses
// the code from the image: a lower bound on the mutual information I(c; G(z, c)) (losses/information.h). So the code
// comes to mean what images differ by, without labels. The nets are the paper's for MNIST (appendix C.1) on DCGAN's
// convolutions: one more hidden layer of 1024 features in G and under D and Q, and one of 128 in Q (for --width 64).
#include "engine/error.h"
#include "engine/tape.h"
#include "losses/information.h"
#include "models/adversarial.h"
#include "models/nets.h"

namespace duel {
namespace {

class Infogan : public AdversarialModel {
 public:
  Infogan(const DataShape& data, const Settings& s)
      : AdversarialModel(data, s, nets(data, s)),
        categories_(s.integer("categories")),
        numbers_(s.integer("numbers")),
        lambda_(s.number("info-weight")),
        lambda_numbers_(s.number("number-weight")),
        loss_(s),
        score_(heads_[0].net),
        q_(heads_[1].net) {}

  Metrics step(std::span<const Batch> batches) override {
    AdversarialLoss::OfD of_d;
    for (const Batch& batch : batches) {
      const Tensor z = noise(batch.size()), x = show(batch.images), x_fake = show(detach(g_(z))),
                   f_fake = d_of_fake(x_fake);
      const Critic d = [this](const Tensor& at) { return score_(d_(at)); };
      of_d = loss_.discriminator(d(x), score_(f_fake), d, x, x_fake);
      of_d.loss = of_d.loss - information(z, f_fake).weighted;  // Q moves with D
      step_d(of_d.loss);
    }
    const Tensor z = noise(batches[0].size()), f = d_of_fake(show(g_(z)));
    const Information l_i = information(z, f);
    const Tensor loss_g = loss_.generator(score_(f)) - l_i.weighted;  // eq. 6
    step_g(loss_g);

    Metrics own;
    if (l_i.category) own.push_back({"info_category", l_i.category});
    if (l_i.numbers) own.push_back({"info_numbers", l_i.numbers});
    return loss_.metrics(of_d, loss_g, own);
  }

  std::vector<Code> codes() const override {
    std::vector<Code> all;
    if (categories_ > 0) all.push_back({"c1", z_dim_, categories_, true});
    for (std::int64_t i = 0; i < numbers_; ++i)
      all.push_back({"c" + std::to_string(all.size() + 1), z_dim_ + categories_ + i, 1, false, -1, 1});
    return all;
  }
  // Q's answer: which category an image would come from.
  std::int64_t answers() const override { return categories_; }
  bool clusters() const override { return true; }
  Tensor classify(const Tensor& images) override {
    const Inference off({d_, q_});
    return slice(q_(d_(images)), 1, 0, categories_);
  }

 private:
  struct Information {
    Tensor category, numbers, weighted;
  };
  // z and c in one row, features of the image that G made of it.
  Information information(const Tensor& z, const Tensor& f) const {
    const Tensor q = q_(f);
    const std::int64_t at = z_dim_ + categories_;
    Information l;
    if (categories_ > 0) {
      l.category = category_information(slice(z, 1, z_dim_, at), slice(q, 1, 0, categories_));
      l.weighted = lambda_ * l.category;
    }
    if (numbers_ > 0) {
      l.numbers =
          number_information(slice(z, 1, at, at + numbers_), slice(q, 1, categories_, categories_ + numbers_), -1, 1);
      const Tensor weighted = lambda_numbers_ * l.numbers;
      l.weighted = l.weighted ? l.weighted + weighted : weighted;
    }
    return l;
  }

  static Nets nets(const DataShape& data, const Settings& s) {
    const std::int64_t codes = s.integer("categories") + s.integer("numbers");
    const std::int64_t features = 16 * s.integer("width"), q_features = 2 * s.integer("width");
    DcganOptions of_g = dcgan_options(s, true), of_d = dcgan_options(s, s.word("norm") == "batch");
    of_g.z_dim += codes;
    of_g.hidden = features;
    of_d.outputs = features;
    Net d = dcgan_critic(data.height, data.channels, of_d), score(init_dcgan), q(init_dcgan);
    score.spectral_norm(of_d.critic.spectral_norm);
    q.spectral_norm(of_d.critic.spectral_norm);
    if (of_d.norm && !of_d.critic.spectral_norm)
      d.batch_norm(features, Act::leaky_relu);
    else
      d.apply("leaky ReLU", [](const Tensor& x) { return leaky_relu(x); });
    score.linear(features, 1);
    q.linear(features, q_features, Act::none, false).batch_norm(q_features, Act::leaky_relu).linear(q_features, codes);
    return {dcgan_generator(data.height, data.channels, of_g),
            dcgan_generator(data.height, data.channels, of_g),
            d,
            {{"D_score", score, {features}}, {"Q", q, {features}}}};
  }

  std::int64_t categories_, numbers_;
  double lambda_, lambda_numbers_;
  AdversarialLoss loss_;
  Net score_, q_;
};

}  // namespace

ModelInfo infogan_model() {
  // The paper's numbers: 62 of noise, one code of ten categories and two uniform ones; G learns faster than D. Both
  // lambdas are the authors' code's: with Q's variance fixed at 1, the numbers' information needs no smaller one. Noise
  // on what D and Q see keeps a category from being a detail that nobody notices.
  const AdversarialRecipe r{.lr_g = "0.001", .z_dim = "62", .instance_noise = "0.4"};
  const std::vector<Setting> own{{"categories", "of the category code c1; 0: none", "10", 0, 1000, true, {}},
                                 {"numbers", "codes that are numbers in [-1, 1]", "2", 0, 100, true, {}},
                                 {"info-weight", "lambda of the category code's information", "1", 0, 1e3, false, {}},
                                 {"number-weight", "lambda of the numbers' information", "1", 0, 1e3, false, {}}};
  return {"infogan",
          "GAN whose codes come to mean something, without labels",
          "Chen et al. 2016",
          64,
          join_settings({objective_settings(r), penalty_settings(r), training_settings(r), dcgan_settings(r),
                         shown_settings(r), own}),
          [](const DataShape& data, const Settings& s) {
            check_square("infogan", data);
            check_bounds("infogan", s);
            require(s.integer("categories") + s.integer("numbers") > 0,
                    "infogan: --categories 0 with --numbers 0: there is no code; dcgan does without");
            return std::make_unique<Infogan>(data, s);
          }};
}

}  // namespace duel
