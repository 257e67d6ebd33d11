// Semi-supervised GAN (Salimans et al. 2016, section 5; Odena 2016): D answers with K classes of real images, and class
// K+1 is "generated". Softmax has one answer too many, so the last logit is fixed to 0, and with Z(x) = sum_k exp
// a_k(x)
//   D(x) = Z(x) / (Z(x) + 1) = sigmoid(log Z(x)).
// With feature matching G aims at the mean features of real images (section 3.1), not at D's score. The nets are the
// authors' for MNIST: fully connected, with weight normalisation, noise on D's inputs and hidden layers, and batch norm
// in G.
#include "engine/error.h"
#include "engine/tape.h"
#include "losses/classification.h"
#include "models/adversarial.h"
#include "models/nets.h"

namespace duel {
namespace {

// The authors' hidden layers of D, for --width 1000; the last one has the features.
std::vector<std::int64_t> hidden_layers(std::int64_t width) {
  return {width, width / 2, width / 4, width / 4, width / 4};
}

class Sgan : public AdversarialModel {
 public:
  Sgan(const DataShape& data, const Settings& s)
      : AdversarialModel(data, s, nets(data, s)),
        penalty_(s),
        smoothing_(s.number("smoothing")),
        feature_matching_(s.word("generator") == "feature-matching"),
        unlabelled_weight_(s.number("unlabelled-weight")),
        answers_(heads_[0].net) {}

  Metrics step(std::span<const Batch> batches) override {
    const Batch& labelled = batches.back();
    Tensor loss_d, loss_class, loss_penalty, d_real, d_fake;
    const Critic log_z = [this](const Tensor& at) { return logsumexp(answers_(d_(at))); };
    for (const Batch& batch : batches.first(static_cast<std::size_t>(batches_per_step()))) {
      const Tensor x = show(batch.images), x_fake = show(detach(g_(noise(batch.size()))));
      d_real = log_z(x);
      d_fake = log_z(x_fake);
      loss_class = cross_entropy(answers_(d_(show(labelled.images))), labelled.labels);
      // Section 5's loss without labels, halved as in the authors' code.
      loss_d = loss_class + unlabelled_weight_ * 0.5 * smoothed_discriminator(d_real, d_fake, smoothing_);
      loss_penalty = penalty_(log_z, x, x_fake);
      if (loss_penalty) loss_d = loss_d + loss_penalty;
      step_d(loss_d);
    }
    const Tensor f_fake = d_(show(g_(noise(batches[0].size()))));
    const Tensor loss_g = feature_matching_ ? feature_matching(features_of(show(batches[0].images)), f_fake)
                                            : non_saturating_generator(logsumexp(answers_(f_fake)));
    step_g(loss_g);

    NoGrad off;
    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}, {"loss_class", loss_class}};
    if (loss_penalty) m.push_back({"loss_penalty", loss_penalty});
    m.push_back({"d_real", mean(sigmoid(d_real))});
    m.push_back({"d_fake", mean(sigmoid(d_fake))});
    return m;
  }

  std::int64_t answers() const override { return data_.classes; }
  Tensor classify(const Tensor& images) override {
    const Inference off({d_, answers_});
    return answers_(d_(images));
  }

 private:
  // Only G moves: what does not depend on it needs no gradient.
  Tensor features_of(const Tensor& x) const {
    NoGrad off;
    return d_(x);
  }

  static Nets nets(const DataShape& data, const Settings& s) {
    const std::int64_t pixels = data.height * data.width * data.channels;
    const CriticOptions o = critic_options(s);
    const Init init{Init::Law::kaiming_normal, 0};  // before ReLU
    Net d(init), head(init);
    for (Net* net : {&d, &head}) o.spectral_norm ? net->spectral_norm() : net->weight_norm();
    d.flatten().gaussian_noise(0.6);  // of pixels in [-1, 1]; the authors' are in [0, 1]
    std::int64_t in = pixels;
    for (const std::int64_t out : hidden_layers(s.integer("width"))) {
      if (in != pixels) d.gaussian_noise(0.5);
      d.linear(in, out, Act::relu);
      in = out;
    }
    const std::int64_t features = add_stddev(d, in, o);
    head.gaussian_noise(0.5).linear(features, data.classes);
    return {generator(data, s), generator(data, s), d, {{"D_class", head, {features}}}};
  }
  static Net generator(const DataShape& data, const Settings& s) {
    const std::int64_t width = s.integer("width") / 2;
    Net g;
    g.linear(s.integer("z-dim"), width, Act::none, false).batch_norm(width, Act::relu);
    g.linear(width, width, Act::none, false).batch_norm(width, Act::relu);
    return g.linear(width, data.height * data.width * data.channels, Act::tanh)
        .reshape({data.height, data.width, data.channels});
  }

  Penalty penalty_;
  double smoothing_;
  bool feature_matching_;
  double unlabelled_weight_;
  Net answers_;
};

}  // namespace

ModelInfo sgan_model() {
  const AdversarialRecipe r{.lr = "0.003", .z_dim = "100"};
  const std::vector<Setting> own{
      {"generator", "what G aims at", "feature-matching", 0, 0, false, {"feature-matching", "score"}},
      {"width", "features of D's first layer; deeper ones and G's have parts of it", "1000", 4, 65536, true, {}},
      {"unlabelled-weight",
       "weight of the loss of real against generated; 0: D learns from labels alone",
       "1",
       0,
       1e3,
       false,
       {}}};
  return {"sgan",
          "semi-supervised GAN: a classifier from few labels",
          "Salimans et al. 2016",
          100,
          join_settings({smoothing_settings(), penalty_settings(r), training_settings(r), critic_settings(),
                         shown_settings(r), own}),
          [](const DataShape& data, const Settings& s) {
            check_bounds("sgan", s);
            require(data.classes > 0, "sgan: there are no labels to learn from; catgan does without");
            return std::make_unique<Sgan>(data, s);
          },
          Labels::few};
}

}  // namespace duel
