#include "bench/step_cases.h"

#include <memory>

#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"

namespace duel {
namespace {

struct Nets {
  Net g, d;
  Adam opt_g, opt_d;
  Nets(Net generator, Net critic)
      : g(std::move(generator)), d(std::move(critic)), opt_g(g.state("G."), {}), opt_d(d.state("D."), {}) {}
};
Net mlp(const std::vector<std::int64_t>& dims, Act last) {
  Net net;
  for (std::size_t i = 0; i + 1 < dims.size(); ++i)
    net.linear(dims[i], dims[i + 1], i + 2 < dims.size() ? Act::leaky_relu : last);
  return net;
}
Net dcgan64_generator() {
  Net g(init_dcgan);
  g.reshape({1, 1, 100});
  std::int64_t in = 100;
  for (std::int64_t out : {512, 256, 128, 64}) {
    g.conv_transpose(in, out, 4, in == 100 ? 1 : 2, in == 100 ? 0 : 1, Act::none, false).batch_norm(out, Act::relu);
    in = out;
  }
  g.conv_transpose(64, 3, 4, 2, 1, Act::tanh, false);
  return g;
}
Net dcgan64_critic(bool norm) {
  Net d(init_dcgan);
  d.conv(3, 64, 4, 2, 1, Act::leaky_relu, false);
  std::int64_t in = 64;
  for (std::int64_t out : {128, 256, 512}) {
    d.conv(in, out, 4, 2, 1, norm ? Act::none : Act::leaky_relu, !norm);
    if (norm) d.batch_norm(out, Act::leaky_relu);
    in = out;
  }
  d.conv(512, 1, 4, 1, 0, Act::none, false).flatten();
  return d;
}
Net dcgan28_generator() {
  Net g;
  g.linear(100, 7 * 7 * 128, Act::none, false).reshape({7, 7, 128}).batch_norm(128, Act::relu);
  g.conv_transpose(128, 64, 4, 2, 1, Act::none, false)
      .batch_norm(64, Act::relu)
      .conv_transpose(64, 1, 4, 2, 1, Act::tanh);
  return g;
}
Net dcgan28_critic(bool norm) {
  Net d;
  d.conv(1, 64, 4, 2, 1, Act::leaky_relu).conv(64, 128, 4, 2, 1, norm ? Act::none : Act::leaky_relu, !norm);
  if (norm) d.batch_norm(128, Act::leaky_relu);
  d.flatten().linear(7 * 7 * 128, 1);
  return d;
}
Net wgan32_generator() {
  Net g;
  g.linear(100, 4 * 4 * 256, Act::none, false).reshape({4, 4, 256}).batch_norm(256, Act::relu);
  for (const std::int64_t in : {256, 128})
    g.conv_transpose(in, in / 2, 4, 2, 1, Act::none, false).batch_norm(in / 2, Act::relu);
  g.conv_transpose(64, 3, 4, 2, 1, Act::tanh);
  return g;
}
Net wgan32_critic() {
  Net d;
  d.conv(3, 64, 4, 2, 1, Act::leaky_relu)
      .conv(64, 128, 4, 2, 1, Act::leaky_relu)
      .conv(128, 256, 4, 2, 1, Act::leaky_relu);
  d.flatten().linear(4 * 4 * 256, 1);
  return d;
}

// Non-saturating GAN, with an R1 penalty of weight r1 where it is not 0.
StepCase gan_case(std::int64_t batch, const Shape& image, const Net& g, const Net& d, bool flat, double r1 = 0) {
  StepCase c{batch, 1, image, {}};
  c.body = [n = std::make_shared<Nets>(g, d), flat, r1](std::span<const Batch> batches) -> Metrics {
    Tensor x = batches[0].images;
    if (flat) x = reshape(x, {x.dim(0), x.size() / x.dim(0)});
    Tensor fake = n->g(normal({x.dim(0), 100}));
    Tensor loss_d;
    if (r1 > 0) {  // the penalty's pass over the real images serves the loss too
      Tensor at = detach(x), d_real = n->d(at);
      Tensor slope = grad(sum(d_real), {at}, keep_graph)[0];
      loss_d = logistic_discriminator(d_real, n->d(detach(fake))) +
               0.5 * r1 * sum(square(slope)) / static_cast<double>(x.dim(0));
    } else {
      loss_d = logistic_discriminator(n->d(x), n->d(detach(fake)));
    }
    n->opt_d.step(grad(loss_d, n->d.parameters()));
    Tensor loss_g = non_saturating_generator(n->d(fake));
    n->opt_g.step(grad(loss_g, n->g.parameters()));
    return {{"loss_d", loss_d}, {"loss_g", loss_g}};
  };
  return c;
}
StepCase wgan_gp_case(std::int64_t batch, const Shape& image, const Net& g, const Net& d, std::int64_t n_critic) {
  StepCase c{batch, n_critic, image, {}};
  c.body = [n = std::make_shared<Nets>(g, d)](std::span<const Batch> batches) -> Metrics {
    Tensor loss_d;
    for (const Batch& b : batches) {
      Tensor fake = detach(n->g(normal({b.size(), 100})));
      loss_d = wasserstein_critic(n->d(b.images), n->d(fake)) + gradient_penalty(n->d, b.images, fake, 10);
      n->opt_d.step(grad(loss_d, n->d.parameters()));
    }
    Tensor loss_g = wasserstein_generator(n->d(n->g(normal({batches[0].size(), 100}))));
    n->opt_g.step(grad(loss_g, n->g.parameters()));
    return {{"loss_d", loss_d}, {"loss_g", loss_g}};
  };
  return c;
}

}  // namespace

StepCase step_case(const std::string& name) {
  set_seed(0);
  if (name == "mlp_gan")
    return gan_case(64, {28, 28, 1}, mlp({100, 256, 512, 1024, 784}, Act::tanh), mlp({784, 512, 256, 1}, Act::none),
                    true);
  if (name == "dcgan28") return gan_case(64, {28, 28, 1}, dcgan28_generator(), dcgan28_critic(true), false);
  if (name == "dcgan64") return gan_case(128, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(true), false);
  if (name == "r1_64") return gan_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(true), false, 10);
  if (name == "r1_64_nobn") return gan_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(false), false, 10);
  if (name == "wgan_gp28") return wgan_gp_case(64, {28, 28, 1}, dcgan28_generator(), dcgan28_critic(false), 5);
  if (name == "wgan_gp32") return wgan_gp_case(64, {32, 32, 3}, wgan32_generator(), wgan32_critic(), 5);
  if (name == "wgan_gp64") return wgan_gp_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(false), 5);
  fail("case '{}' is unknown, expected one of: {}", name, fmt::join(step_cases(), ", "));
}

const std::vector<std::string>& step_cases() {
  static const std::vector<std::string> names{"mlp_gan", "dcgan28", "wgan_gp28",  "wgan_gp32",
                                              "dcgan64", "r1_64",   "r1_64_nobn", "wgan_gp64"};
  return names;
}

}  // namespace duel
