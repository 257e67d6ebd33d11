#include "models/conv_gan.h"

#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "models/nets.h"

namespace duel {
namespace {

struct Objective {
  std::string loss;
  LeastSquaresCodes codes;

  Tensor discriminator(const Tensor& d_real, const Tensor& d_fake) const {
    if (loss == "wasserstein") return wasserstein_critic(d_real, d_fake);
    if (loss == "least-squares") return least_squares_discriminator(d_real, d_fake, codes);
    if (loss == "hinge") return hinge_discriminator(d_real, d_fake);
    return logistic_discriminator(d_real, d_fake);
  }
  Tensor generator(const Tensor& d_fake) const {
    if (loss == "minimax") return minimax_generator(d_fake);
    if (loss == "non-saturating") return non_saturating_generator(d_fake);
    if (loss == "least-squares") return least_squares_generator(d_fake, codes);
    return wasserstein_generator(d_fake);  // of the hinge loss too
  }
  // What D is asked for: a probability where the loss is logistic, a score otherwise.
  Tensor shown(const Tensor& d) const { return mean(loss == "minimax" || loss == "non-saturating" ? sigmoid(d) : d); }
};

struct Penalty {
  std::string kind;
  double lambda;

  Tensor operator()(const Critic& d, const Tensor& x, const Tensor& x_fake) const {
    if (kind == "gp") return gradient_penalty(d, x, x_fake, lambda);
    if (kind == "gp0") return gradient_penalty(d, x, x_fake, lambda, 0);
    if (kind == "r1") return r1_penalty(d, x, lambda);
    return {};
  }
};

std::unique_ptr<Optimizer> optimizer(const State& state, const Settings& s) {
  if (s.word("optimizer") == "rmsprop") return std::make_unique<Rmsprop>(state, RmspropOptions{.lr = s.number("lr")});
  return std::make_unique<Adam>(
      state, AdamOptions{.lr = s.number("lr"), .beta1 = s.number("beta1"), .beta2 = s.number("beta2")});
}

DcganOptions net_options(const Settings& s, bool norm) {
  return {.width = s.integer("width"), .z_dim = s.integer("z-dim"), .norm = norm};
}

class ConvGan : public Model {
 public:
  ConvGan(const ImageShape& image, const Settings& s)
      : image_(image),
        z_dim_(s.integer("z-dim")),
        n_critic_(s.integer("n-critic")),
        clip_(s.number("clip")),
        ema_decay_(s.number("ema")),
        objective_{s.word("loss"),
                   s.word("codes") == "0-1-1" ? LeastSquaresCodes{0, 1, 1} : LeastSquaresCodes{-1, 1, 0}},
        penalty_{s.word("penalty"), s.number("lambda")},
        g_(dcgan_generator(image.height, image.channels, net_options(s, true))),
        g_ema_(dcgan_generator(image.height, image.channels, net_options(s, true))),
        d_(dcgan_critic(image.height, image.channels, net_options(s, s.word("norm") == "batch"))),
        opt_g_(optimizer(g_.state("G."), s)),
        opt_d_(optimizer(d_.state("D."), s)) {
    copy_state(g_ema_.state(), g_.state());
    g_ema_.set_training(false);
  }

  Metrics step(std::span<const Batch> batches) override {
    Tensor loss_d, loss_penalty, d_real, d_fake;
    for (const Batch& batch : batches) {
      const Tensor& x = batch.images;
      Tensor x_fake = detach(g_(noise(x.dim(0))));
      d_real = d_(x);
      d_fake = d_(x_fake);
      loss_d = objective_.discriminator(d_real, d_fake);
      loss_penalty = penalty_(d_, x, x_fake);
      if (loss_penalty) loss_d = loss_d + loss_penalty;
      opt_d_->step(grad(loss_d, d_.parameters()));
      if (clip_ > 0) clip_values(d_.parameters(), -clip_, clip_);
    }
    Tensor loss_g = objective_.generator(d_(g_(noise(batches[0].size()))));
    opt_g_->step(grad(loss_g, g_.parameters()));
    ema_update(tensors(g_ema_.state()), tensors(g_.state()), ema_decay_);

    NoGrad off;
    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}};
    if (objective_.loss == "wasserstein") m.push_back({"loss_wasserstein", mean(d_real) - mean(d_fake)});
    if (loss_penalty) m.push_back({"loss_penalty", loss_penalty});
    m.push_back({"d_real", objective_.shown(d_real)});
    m.push_back({"d_fake", objective_.shown(d_fake)});
    return m;
  }

  std::int64_t batches_per_step() const override { return n_critic_; }
  Tensor noise(std::int64_t n) const override { return normal({n, z_dim_}); }
  Tensor sample(const Tensor& z) override {
    NoGrad off;
    return g_ema_(z);
  }
  State state() const override {
    State s = g_.state("G.");
    for (const State& part : {g_ema_.state("G_ema."), d_.state("D.")}) s.insert(s.end(), part.begin(), part.end());
    opt_g_->collect("opt_G.", s);
    opt_d_->collect("opt_D.", s);
    return s;
  }
  std::vector<Part> parts() const override {
    return {{"G", g_, {z_dim_}}, {"D", d_, {image_.height, image_.width, image_.channels}}};
  }

 private:
  ImageShape image_;
  std::int64_t z_dim_, n_critic_;
  double clip_, ema_decay_;
  Objective objective_;
  Penalty penalty_;
  Net g_, g_ema_, d_;
  std::unique_ptr<Optimizer> opt_g_, opt_d_;
};

std::vector<Setting> settings(const ConvGanRecipe& r) {
  const auto word = [](const char* name, const char* help, const std::string& standard,
                       std::vector<std::string> choices) {
    return Setting{name, help, standard, 0, 0, false, std::move(choices)};
  };
  const auto number = [](const char* name, const char* help, const std::string& standard, double low, double high) {
    return Setting{name, help, standard, low, high, false, {}};
  };
  const auto whole = [](const char* name, const char* help, const std::string& standard, double low, double high) {
    return Setting{name, help, standard, low, high, true, {}};
  };
  return {
      word("loss", "the adversarial loss", r.loss,
           {"non-saturating", "minimax", "wasserstein", "least-squares", "hinge"}),
      word("codes", "a-b-c of the least-squares loss: fake, real, what G wants", r.codes, {"0-1-1", "-1-1-0"}),
      word("penalty", "on D's gradient: gp and gp0 between real and fake, r1 at real", r.penalty,
           {"none", "gp", "gp0", "r1"}),
      number("lambda", "weight of the penalty", r.lambda, 0, 1e6),
      number("clip", "D's weights are clipped to [-clip, clip]; 0: not", r.clip, 0, 100),
      word("norm", "normalisation in D", r.norm, {"batch", "none"}),
      whole("n-critic", "steps of D for each of G", r.n_critic, 1, 100),
      word("optimizer", "of both nets", r.optimizer, {"adam", "rmsprop"}),
      number("lr", "learning rate", r.lr, 1e-8, 1),
      number("beta1", "Adam's beta1", r.beta1, 0, 0.9999),
      number("beta2", "Adam's beta2", r.beta2, 0, 0.999999),
      whole("z-dim", "numbers of noise for an image", "128", 1, 4096),
      whole("width", "channels next to the image; deeper layers have multiples", "64", 1, 1024),
      number("ema", "decay of the average of G's weights that samples are drawn with; 0: none", "0.999", 0, 0.999999)};
}

// Combinations that cannot work, each with the reason and the way out.
void check(const std::string& model, const ImageShape& image, const Settings& s) {
  const bool penalised = s.word("penalty") != "none", clipped = s.number("clip") > 0;
  require(image.height == image.width, "{}: images are {}x{}, expected square ones; --size S crops and scales them",
          model, image.height, image.width);
  require(!(penalised && s.word("norm") == "batch"),
          "{}: --penalty {} with --norm batch: batch norm mixes the images of a batch, so there is no gradient at one "
          "image; "
          "use --norm none",
          model, s.word("penalty"));
  require(!(penalised && clipped), "{}: --penalty {} with --clip {}: both bound D's slope; leave one out", model,
          s.word("penalty"), s.number("clip"));
  require(s.word("loss") != "wasserstein" || penalised || clipped,
          "{}: --loss wasserstein needs a bound on D's slope: add --penalty gp --norm none, or --clip 0.01", model);
}

}  // namespace

ModelInfo conv_gan(const std::string& name, const std::string& summary, const std::string& paper,
                   const ConvGanRecipe& recipe) {
  return {name, summary, paper, 64, settings(recipe), [name](const ImageShape& image, const Settings& s) {
            check(name, image, s);
            return std::make_unique<ConvGan>(image, s);
          }};
}

}  // namespace duel
