// Generative adversarial nets of fully connected layers (Goodfellow et al. 2014).
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "models/model.h"

namespace duel {
namespace {

class Gan : public Model {
 public:
  Gan(const ImageShape& image, const Settings& s)
      : image_(image),
        z_dim_(s.integer("z-dim")),
        minimax_(s.word("loss") == "minimax"),
        pixels_(image.height * image.width * image.channels),
        ema_decay_(s.number("ema")),
        g_(generator()),
        g_ema_(generator()),
        d_(discriminator()),
        opt_g_(g_.state("G."), {.lr = s.number("lr"), .beta1 = s.number("beta1")}),
        opt_d_(d_.state("D."), {.lr = s.number("lr"), .beta1 = s.number("beta1")}) {
    copy_state(g_ema_.state(), g_.state());
  }

  Metrics step(std::span<const Batch> batches) override {
    const Tensor& x = batches[0].images;
    const std::int64_t n = x.dim(0);

    Tensor d_real = d_(reshape(x, {n, pixels_})), d_fake = d_(detach(g_(noise(n))));
    Tensor loss_d = logistic_discriminator(d_real, d_fake);
    opt_d_.step(grad(loss_d, d_.parameters()));

    Tensor d_gen = d_(g_(noise(n)));
    Tensor loss_g = minimax_ ? minimax_generator(d_gen) : non_saturating_generator(d_gen);
    opt_g_.step(grad(loss_g, g_.parameters()));
    ema_update(tensors(g_ema_.state()), tensors(g_.state()), ema_decay_);

    NoGrad off;
    return {
        {"loss_d", loss_d}, {"loss_g", loss_g}, {"d_real", mean(sigmoid(d_real))}, {"d_fake", mean(sigmoid(d_fake))}};
  }

  Tensor noise(std::int64_t n) const override { return normal({n, z_dim_}); }
  Tensor sample(const Tensor& z) override {
    NoGrad off;
    return reshape(g_ema_(z), {z.dim(0), image_.height, image_.width, image_.channels});
  }
  State state() const override {
    State s = g_.state("G.");
    for (const State& part : {g_ema_.state("G_ema."), d_.state("D.")}) s.insert(s.end(), part.begin(), part.end());
    opt_g_.collect("opt_G.", s);
    opt_d_.collect("opt_D.", s);
    return s;
  }
  std::vector<Part> parts() const override { return {{"G", g_, {z_dim_}}, {"D", d_, {pixels_}}}; }

 private:
  Net generator() const {
    Net g;
    g.linear(z_dim_, 256, Act::leaky_relu).linear(256, 512, Act::leaky_relu).linear(512, 1024, Act::leaky_relu);
    g.linear(1024, pixels_, Act::tanh);
    return g;
  }
  Net discriminator() const {
    Net d;
    d.linear(pixels_, 512, Act::leaky_relu).linear(512, 256, Act::leaky_relu).linear(256, 1);
    return d;
  }

  ImageShape image_;
  std::int64_t z_dim_;
  bool minimax_;
  std::int64_t pixels_;
  double ema_decay_;
  Net g_, g_ema_, d_;
  Adam opt_g_, opt_d_;
};

}  // namespace

ModelInfo gan_model() {
  return {"gan",
          "fully connected GAN with the minimax or the non-saturating loss",
          "Goodfellow et al. 2014",
          64,
          {{"loss", "the generator's loss", "non-saturating", 0, 0, false, {"non-saturating", "minimax"}},
           {"z-dim", "numbers of noise for an image", "100", 1, 4096, true, {}},
           {"lr", "Adam's learning rate", "0.0002", 1e-8, 1, false, {}},
           {"beta1", "Adam's beta1", "0.5", 0, 0.9999, false, {}},
           {"ema",
            "decay of the average of the generator's weights that samples are drawn with; 0: none",
            "0.999",
            0,
            0.999999,
            false,
            {}}},
          [](const ImageShape& image, const Settings& s) { return std::make_unique<Gan>(image, s); }};
}

}  // namespace duel
