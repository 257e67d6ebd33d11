// R3GAN, "a modern baseline GAN" (Huang et al. 2024): the relativistic pairing loss with zero-centred penalties at real
// and at generated images, on residual nets without normalisation, with every rate on a schedule. What the paper leaves
// to its code, such as the numbers of CIFAR-10, is as in brownvc/R3GAN.
#include <cmath>

#include "engine/error.h"
#include "engine/schedule.h"
#include "engine/tape.h"
#include "models/adversarial.h"

namespace duel {
namespace {

// Channels and residual blocks from the smallest map, base x base, to the image's.
struct Form {
  std::int64_t base = 4, blocks = 2;
  std::vector<std::int64_t> width;
  double all_blocks() const { return static_cast<double>(blocks) * static_cast<double>(width.size()); }
};

Form form(const DataShape& data, const Settings& s) {
  check_square("r3gan", data);
  const std::int64_t size = data.height;
  require(size == 28 || size == 32 || size == 64,
          "r3gan: images are {0}x{0}, expected 28, 32 or 64 pixels a side; --size S crops and scales them", size);
  const bool small = s.word("net") == "small";
  const std::int64_t own = small ? 16 : 768, width = s.integer("width") > 0 ? s.integer("width") : own;
  require(width % 8 == 0 || 8 % width == 0, "--width: found {}, expected a multiple of 8, or 1, 2 or 4", width);
  Form f{size == 28 ? 7 : 4, small ? 1 : 2, {}};
  for (std::int64_t side = size, c = width; side >= f.base; side /= 2, c = small ? std::min(2 * c, 4 * width) : c)
    f.width.insert(f.width.begin(), c);
  return f;
}

// Weights N(0, gain^2 / fan_in).
Init msr(double gain, std::int64_t fan_in) {
  return {Init::Law::normal, gain / std::sqrt(static_cast<double>(fan_in))};
}

// An inverted bottleneck, 1x1 - grouped 3x3 - 1x1, twice as wide within, 16 channels to a group (config E).
// Fix-up initialisation (Zhang et al. 2019): with L blocks of m = 3 layers the layers of a branch are scaled by
// L^(-1/(2m-2)), the last one begins at 0.
void add_block(Net& net, std::int64_t c, double all_blocks) {
  const std::int64_t wide = 2 * c, groups = std::max<std::int64_t>(wide / 16, 1);
  const double gain = std::sqrt(2 / (1 + 0.2 * 0.2)) * std::pow(all_blocks, -1.0 / 4);
  Net branch;
  branch.init(msr(gain, c)).conv(c, wide, 1, 1, 0, Act::leaky_relu);
  branch.init(msr(gain, wide / groups * 9)).conv(wide, wide, 3, 1, 1, Act::leaky_relu, true, groups);
  branch.init(msr(0, wide)).conv(wide, c, 1, 1, 0, Act::none, false);
  net.residual(branch);
}
void add_conv1x1(Net& net, std::int64_t in, std::int64_t out) {
  net.init(msr(1, in)).conv(in, out, 1, 1, 0, Act::none, false);
}

Tensor twice(const Tensor& x) { return bilinear(x, 2 * x.dim(1), 2 * x.dim(2)); }
// The transpose of twice(), normalised: the filter (1, 3, 3, 1) / 8 along each axis at every other place.
Tensor half(const Tensor& x) { return bilinear_grad(x, {x.dim(0), x.dim(1) / 2, x.dim(2) / 2, x.dim(3)}) / 4.0; }

// z (N,z_dim) -> (N,base,base,C): a learned map for each channel times a number made of z; then stage by stage to the
// image, without an activation at its end.
Net generator(const Form& f, std::int64_t z_dim, std::int64_t channels) {
  Net g;
  std::int64_t c = f.width.front();
  g.init(msr(1, z_dim)).linear(z_dim, c, Act::none, false).reshape({1, 1, c});
  g.init(msr(1, 1)).conv_transpose(c, c, f.base, 1, 0, Act::none, false, 0, c);
  for (std::size_t stage = 0; stage < f.width.size(); ++stage) {
    if (stage > 0) {
      if (f.width[stage] != c) add_conv1x1(g, c, f.width[stage]);
      g.apply("bilinear x 2", twice);
      c = f.width[stage];
    }
    for (std::int64_t i = 0; i < f.blocks; ++i) add_block(g, c, f.all_blocks());
  }
  add_conv1x1(g, c, channels);
  return g;
}

// The same in reverse: (N,H,W,channels) -> (N,1).
Net discriminator(const Form& f, std::int64_t channels) {
  Net d;
  std::int64_t c = f.width.back();
  add_conv1x1(d, channels, c);
  for (std::size_t stage = f.width.size(); stage-- > 0;) {
    for (std::int64_t i = 0; i < f.blocks; ++i) add_block(d, c, f.all_blocks());
    if (stage == 0) break;
    d.apply("bilinear / 2", half);
    if (f.width[stage - 1] != c) add_conv1x1(d, c, f.width[stage - 1]);
    c = f.width[stage - 1];
  }
  d.init(msr(1, f.base * f.base)).conv(c, c, f.base, 1, 0, Act::none, false, c).flatten();
  return d.init(msr(1, c)).linear(c, 1, Act::none, false);
}

class R3gan : public AdversarialModel {
 public:
  R3gan(const DataShape& data, const Settings& s, const Form& f)
      : AdversarialModel(
            data, s,
            {generator(f, s.integer("z-dim"), data.channels), generator(f, s.integer("z-dim"), data.channels),
             discriminator(f, s.integer("pac") * data.channels)}),
        burn_in_(s.integer("burn-in")),
        ema_(s.number("ema")),
        lr_{s.number("lr"), s.number("lr-end")},
        gamma_{s.number("gamma"), s.number("gamma-end")},
        beta2_{s.number("beta2"), s.number("beta2-end")} {}

  Metrics step(std::span<const Batch> batches) override {
    const Tensor s = cosine_progress(burn_in_), gamma = gamma_.at(s);
    const Rates now{lr_.at(s), beta2_.at(s)};

    Tensor loss_d, penalty, d_real, d_fake;
    for (const Batch& batch : batches) {
      const Tensor x = detach(show(batch.images)), x_fake = detach(show(g_(noise(batch.size()))));
      d_real = d_(x);
      d_fake = d_(x_fake);
      const Tensor r1 = mean_square_slope(d_real, x), r2 = mean_square_slope(d_fake, x_fake);
      penalty = reshape(gamma / 2 * (r1 + r2), {});
      loss_d = relativistic_discriminator(d_real, d_fake) + penalty;  // RpGAN + R1 + R2
      step_d(loss_d, now);
    }
    const Batch& batch = batches.back();
    const Tensor loss_g = relativistic_generator(d_(show(batch.images)), d_(show(g_(noise(batch.size())))));
    step_g(loss_g, now, ema_ > 0 ? decay_of_part(ema_, s) : Tensor());

    NoGrad off;
    return {{"loss_d", loss_d},
            {"loss_g", loss_g},
            {"loss_penalty", penalty},
            {"d_real", mean(d_real)},
            {"d_fake", mean(d_fake)}};
  }

 private:
  struct Burn {  // from the first value to the second in the burn-in
    double from, to;
    Tensor at(const Tensor& s) const {
      NoGrad off;
      return from + (to - from) * s;
    }
  };
  std::int64_t burn_in_;
  double ema_;
  Burn lr_, gamma_, beta2_;
};

std::vector<Setting> own_settings() {
  return {{"net",
           "the sizes of the nets; cifar: the paper's for CIFAR-10, for GPUs",
           "small",
           0,
           0,
           false,
           {"small", "cifar"}},
          {"width",
           "channels at the image's size, 0: the net's own, 16 (doubled with the first two halvings) or 768",
           "0",
           0,
           4096,
           true,
           {}},
          {"gamma", "weight of the gradient penalties, at first", "1", 0, 1e6, false, {}},
          {"gamma-end", "weight of the gradient penalties after the burn-in", "0.1", 0, 1e6, false, {}},
          {"lr-end", "learning rate after the burn-in", "0.00025", 0, 1, false, {}},
          {"beta2-end", "Adam's beta2 after the burn-in", "0.99", 0, 0.999999, false, {}},
          {"burn-in",
           "iterations in which lr, gamma, beta2 and the average's half-life go to their last values",
           "10000",
           0,
           1e9,
           true,
           {}}};
}

}  // namespace

ModelInfo r3gan_model() {
  const AdversarialRecipe recipe{.lr = "0.001", .beta1 = "0", .beta2 = "0.9", .z_dim = "64"};
  return {"r3gan",
          "a modern baseline: relativistic pairs, R1 and R2, residual nets",
          "Huang et al. 2024",
          64,
          join_settings({training_settings(recipe), own_settings(), shown_settings(recipe), packing_settings()}),
          [](const DataShape& data, const Settings& s) {
            require(s.number("lr-g") == 0, "r3gan: --lr-g {}: both nets follow --lr and --lr-end; leave it out",
                    s.word("lr-g"));
            require(s.word("optimizer") == "adam",
                    "r3gan: --optimizer {}: the schedule is of Adam's numbers; leave it out", s.word("optimizer"));
            return std::make_unique<R3gan>(data, s, form(data, s));
          }};
}

}  // namespace duel
