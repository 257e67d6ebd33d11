// Wasserstein GAN with gradient penalty on convolutional nets (Gulrajani et al. 2017). The critic has no batch norm:
// the penalty is on the gradient at each image alone (section 4).
#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "models/model.h"

namespace duel {
namespace {

class WganGp : public Model {
 public:
  WganGp(const ImageShape& image, const Settings& s)
      : image_(image),
        z_dim_(s.integer("z-dim")),
        width_(s.integer("width")),
        n_critic_(s.integer("n-critic")),
        lambda_(s.number("lambda")),
        ema_decay_(s.number("ema")),
        g_(generator()),
        g_ema_(generator()),
        d_(critic()),
        opt_g_(g_.state("G."), {.lr = s.number("lr"), .beta1 = s.number("beta1"), .beta2 = 0.9}),
        opt_d_(d_.state("D."), {.lr = s.number("lr"), .beta1 = s.number("beta1"), .beta2 = 0.9}) {
    copy_state(g_ema_.state(), g_.state());
    g_ema_.set_training(false);
  }

  // Algorithm 1
  Metrics step(std::span<const Batch> batches) override {
    Tensor loss_d, penalty, d_real, d_fake;
    for (const Batch& batch : batches) {
      const Tensor& x = batch.images;
      Tensor x_fake = detach(g_(noise(x.dim(0))));
      d_real = d_(x);
      d_fake = d_(x_fake);
      penalty = gradient_penalty(d_, x, x_fake, lambda_);  // eq. 3, second term
      loss_d = wasserstein_critic(d_real, d_fake) + penalty;
      opt_d_.step(grad(loss_d, d_.parameters()));
    }
    Tensor loss_g = wasserstein_generator(d_(g_(noise(batches[0].size()))));
    opt_g_.step(grad(loss_g, g_.parameters()));
    ema_update(tensors(g_ema_.state()), tensors(g_.state()), ema_decay_);

    NoGrad off;
    Tensor real = mean(d_real), fake = mean(d_fake);
    return {{"loss_d", loss_d},        {"loss_g", loss_g}, {"loss_wasserstein", real - fake},
            {"loss_penalty", penalty}, {"d_real", real},   {"d_fake", fake}};
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
    opt_g_.collect("opt_G.", s);
    opt_d_.collect("opt_D.", s);
    return s;
  }

 private:
  // z -> 7x7 -> 14x14 -> 28x28
  Net generator() const {
    Net g(init_dcgan);
    g.linear(z_dim_, 7 * 7 * 2 * width_, Act::none, false)
        .reshape({7, 7, 2 * width_})
        .batch_norm(2 * width_, Act::relu);
    g.conv_transpose(2 * width_, width_, 4, 2, 1, Act::none, false).batch_norm(width_, Act::relu);
    g.conv_transpose(width_, image_.channels, 4, 2, 1, Act::tanh);
    return g;
  }
  Net critic() const {
    Net d(init_kaiming);
    d.conv(image_.channels, width_, 4, 2, 1, Act::leaky_relu).conv(width_, 2 * width_, 4, 2, 1, Act::leaky_relu);
    d.flatten().linear(7 * 7 * 2 * width_, 1);
    return d;
  }

  ImageShape image_;
  std::int64_t z_dim_, width_, n_critic_;
  double lambda_, ema_decay_;
  Net g_, g_ema_, d_;
  Adam opt_g_, opt_d_;
};

}  // namespace

ModelInfo wgan_gp_model() {
  return {"wgan-gp",
          "convolutional Wasserstein GAN with gradient penalty, 28x28 pixels",
          "Gulrajani et al. 2017",
          64,
          {{"n-critic", "critic steps for each generator step", "5", 1, 100, true, {}},
           {"lambda", "weight of the gradient penalty", "10", 0, 1e6, false, {}},
           {"z-dim", "numbers of noise for an image", "128", 1, 4096, true, {}},
           {"width", "channels of the widest maps; the others follow", "64", 1, 1024, true, {}},
           {"lr", "Adam's learning rate", "0.0002", 1e-8, 1, false, {}},
           {"beta1", "Adam's beta1", "0", 0, 0.9999, false, {}},
           {"ema",
            "decay of the average of the generator's weights that samples are drawn with; 0: none",
            "0.999",
            0,
            0.999999,
            false,
            {}}},
          [](const ImageShape& image, const Settings& s) {
            require(image.height == 28 && image.width == 28, "wgan-gp: images are {}x{}, expected 28x28", image.height,
                    image.width);
            return std::make_unique<WganGp>(image, s);
          }};
}

}  // namespace duel
