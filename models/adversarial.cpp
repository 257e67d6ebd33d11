#include "models/adversarial.h"

#include <algorithm>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/tape.h"

namespace duel {
namespace {

Setting word(const char* name, const char* help, const std::string& standard, std::vector<std::string> choices) {
  return {name, help, standard, 0, 0, false, std::move(choices)};
}
Setting number(const char* name, const char* help, const std::string& standard, double low, double high) {
  return {name, help, standard, low, high, false, {}};
}
Setting whole(const char* name, const char* help, const std::string& standard, double low, double high) {
  return {name, help, standard, low, high, true, {}};
}

std::unique_ptr<Optimizer> optimizer(const State& state, const Settings& s, double lr) {
  const CommonOptions common{.l1 = s.number("l1"), .l2 = s.number("l2")};
  if (s.word("optimizer") == "rmsprop") {
    require(s.number("weight-decay") == 0,
            "--weight-decay {} with --optimizer rmsprop: it is a part of Adam; use --l2, or --optimizer adam",
            s.word("weight-decay"));
    return std::make_unique<Rmsprop>(state, RmspropOptions{.lr = lr, .common = common});
  }
  return std::make_unique<Adam>(state, AdamOptions{.lr = lr,
                                                   .beta1 = s.number("beta1"),
                                                   .beta2 = s.number("beta2"),
                                                   .weight_decay = s.number("weight-decay"),
                                                   .common = common});
}
double lr_of_g(const Settings& s) { return s.number("lr-g") > 0 ? s.number("lr-g") : s.number("lr"); }

}  // namespace

std::vector<Setting> objective_settings(const AdversarialRecipe& r) {
  return join_settings(
      {{word("loss", "the adversarial loss", r.loss,
             {"non-saturating", "minimax", "wasserstein", "least-squares", "hinge"}),
        word("codes", "a-b-c of the least-squares loss: fake, real, what G wants", r.codes, {"0-1-1", "-1-1-0"})},
       smoothing_settings()});
}
std::vector<Setting> smoothing_settings() {
  return {number("smoothing", "of a logistic loss: D's target at real images is 1 - N", "0", 0, 0.5)};
}
std::vector<Setting> penalty_settings(const AdversarialRecipe& r) {
  return {word("penalty", "on D's gradient: gp, gp0 between real and fake, dragan around real, r1 at real, r2 at fake",
               r.penalty, {"none", "gp", "gp0", "dragan", "r1", "r2", "r1+r2"}),
          number("lambda", "weight of the penalty", r.lambda, 0, 1e6),
          number("clip", "D's weights are clipped to [-clip, clip]; 0: not", r.clip, 0, 100)};
}
std::vector<Setting> training_settings(const AdversarialRecipe& r) {
  return {
      whole("n-critic", "steps of D for each of G", r.n_critic, 1, 100),
      word("optimizer", "of both nets", r.optimizer, {"adam", "rmsprop"}),
      number("lr", "learning rate", r.lr, 1e-8, 1),
      number("lr-g", "learning rate of G; 0: --lr", r.lr_g, 0, 1),
      number("beta1", "Adam's beta1", r.beta1, 0, 0.9999),
      number("beta2", "Adam's beta2", r.beta2, 0, 0.999999),
      number("l1", "adds N * sum |w| over all weights w of a net to its loss", "0", 0, 1),
      number("l2", "adds N/2 * sum w^2", "0", 0, 1),
      number("weight-decay", "of Adam: w loses lr * N * w in a step, whatever its gradient", "0", 0, 1),
      whole("z-dim", "numbers of noise for an image", r.z_dim, 1, 4096),
      number("ema", "decay of the average of G's weights that samples are drawn with; 0: none", "0.999", 0, 0.999999)};
}
std::vector<Setting> critic_settings() {
  return {word("spectral-norm",
               "D's weights are divided by their largest singular value; takes the place of D's batch norm", "no",
               {"no", "yes"}),
          whole("minibatch-stddev", "D sees how much N images in a group differ, before its last layer; 0: not", "0", 0,
                1024)};
}
std::vector<Setting> dcgan_settings(const AdversarialRecipe& r) {
  return join_settings({{word("norm", "normalisation in D", r.norm, {"batch", "none"}),
                         whole("width", "channels next to the image; deeper layers have multiples", "64", 1, 1024)},
                        critic_settings()});
}
std::vector<Setting> shown_settings(const AdversarialRecipe& r) {
  return {number("instance-noise", "standard deviation of noise on what D sees", r.instance_noise, 0, 10),
          whole("instance-noise-steps", "it falls to 0 at this iteration; 0: it stays", "0", 0, 1e9),
          word("augment", "what is done to all that D sees, with gradients", "none",
               {"none", "colour", "shift", "cutout", "colour+shift", "colour+cutout", "shift+cutout", "all"})};
}
std::vector<Setting> packing_settings() {
  return {whole("pac", "images that D sees at once, all real or all fake", "1", 1, 64)};
}
std::vector<Setting> join_settings(std::vector<std::vector<Setting>> parts) {
  std::vector<Setting> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Objective::Objective(const Settings& s)
    : loss_(s.word("loss")),
      codes_(s.word("codes") == "0-1-1" ? LeastSquaresCodes{0, 1, 1} : LeastSquaresCodes{-1, 1, 0}),
      smoothing_(s.number("smoothing")) {
  require(smoothing_ == 0 || is_logistic(),
          "--smoothing {} with --loss {}: only a probability can be smoothed; leave it out, or use --loss "
          "non-saturating",
          s.word("smoothing"), loss_);
}

Tensor Objective::discriminator(const Tensor& d_real, const Tensor& d_fake) const {
  if (loss_ == "wasserstein") return wasserstein_critic(d_real, d_fake);
  if (loss_ == "least-squares") return least_squares_discriminator(d_real, d_fake, codes_);
  if (loss_ == "hinge") return hinge_discriminator(d_real, d_fake);
  return smoothing_ > 0 ? smoothed_discriminator(d_real, d_fake, smoothing_) : logistic_discriminator(d_real, d_fake);
}
Tensor Objective::generator(const Tensor& d_fake) const {
  if (loss_ == "minimax") return minimax_generator(d_fake);
  if (loss_ == "non-saturating") return non_saturating_generator(d_fake);
  if (loss_ == "least-squares") return least_squares_generator(d_fake, codes_);
  return wasserstein_generator(d_fake);  // of the hinge loss too
}
Tensor Objective::shown(const Tensor& d) const { return mean(is_logistic() ? sigmoid(d) : d); }

Tensor Penalty::operator()(const Critic& d, const Tensor& x, const Tensor& x_fake) const {
  if (kind_ == "gp") return gradient_penalty(d, x, x_fake, lambda_);
  if (kind_ == "gp0") return gradient_penalty(d, x, x_fake, lambda_, 0);
  if (kind_ == "dragan") return dragan_penalty(d, x, lambda_);
  if (kind_ == "r1") return r1_penalty(d, x, lambda_);
  if (kind_ == "r2") return r1_penalty(d, x_fake, lambda_);
  if (kind_ == "r1+r2") return r1_penalty(d, x, lambda_) + r1_penalty(d, x_fake, lambda_);
  return {};
}

AdversarialLoss::OfD AdversarialLoss::discriminator(const Critic& d, const Tensor& x, const Tensor& x_fake) const {
  const Tensor d_real = d(x);
  return discriminator(d_real, d(x_fake), d, x, x_fake);
}
AdversarialLoss::OfD AdversarialLoss::discriminator(const Tensor& d_real, const Tensor& d_fake, const Critic& d,
                                                    const Tensor& x, const Tensor& x_fake) const {
  OfD l{objective_.discriminator(d_real, d_fake), penalty_(d, x, x_fake), d_real, d_fake};
  if (l.penalty) l.loss = l.loss + l.penalty;
  return l;
}
Metrics AdversarialLoss::metrics(const OfD& of_d, const Tensor& loss_g, const Metrics& own) const {
  NoGrad off;
  Metrics m{{"loss_d", of_d.loss}, {"loss_g", loss_g}};
  m.insert(m.end(), own.begin(), own.end());
  if (objective_.is_wasserstein()) m.push_back({"loss_wasserstein", mean(of_d.d_real) - mean(of_d.d_fake)});
  if (of_d.penalty) m.push_back({"loss_penalty", of_d.penalty});
  m.push_back({"d_real", objective_.shown(of_d.d_real)});
  m.push_back({"d_fake", objective_.shown(of_d.d_fake)});
  return m;
}

void check_square(const std::string& model, const DataShape& data) {
  require(data.height == data.width, "{}: images are {}x{}, expected square ones; --size S crops and scales them",
          model, data.height, data.width);
}

void check_bounds(const std::string& model, const Settings& s) {
  const bool penalised = s.word("penalty") != "none", clipped = s.number("clip") > 0;
  const bool spectral_norm = s.has("spectral-norm") && s.word("spectral-norm") == "yes";
  const bool batch_norm = s.has("norm") && s.word("norm") == "batch" && !spectral_norm;
  require(!(penalised && batch_norm),
          "{}: --penalty {} with --norm batch: batch norm mixes the images of a batch, so there is no gradient at one "
          "image; "
          "use --norm none or --spectral-norm",
          model, s.word("penalty"));
  require(!(penalised && clipped), "{}: --penalty {} with --clip {}: both bound D's slope; leave one out", model,
          s.word("penalty"), s.number("clip"));
  require(!(spectral_norm && clipped),
          "{}: --spectral-norm with --clip {}: the clipped weights are divided by their size; leave one out", model,
          s.word("clip"));
  require(!s.has("loss") || s.word("loss") != "wasserstein" || penalised || clipped || spectral_norm,
          "{}: --loss wasserstein needs a bound on D's slope: add --penalty gp{}, or --clip 0.01, or --spectral-norm",
          model, batch_norm ? " --norm none" : "");
}

AdversarialModel::AdversarialModel(const DataShape& data, const Settings& s, Nets nets)
    : data_(data),
      critic_input_(data, s),
      d_input_(nets.d_input.rank() > 0 ? nets.d_input : critic_input_.shape()),
      z_dim_(s.integer("z-dim")),
      g_(std::move(nets.g)),
      g_ema_(std::move(nets.g_ema)),
      d_(std::move(nets.d)),
      heads_(std::move(nets.heads)),
      n_critic_(s.integer("n-critic")),
      stddev_group_(s.has("minibatch-stddev") ? std::max<std::int64_t>(1, s.integer("minibatch-stddev")) : 1),
      clip_(s.has("clip") ? s.number("clip") : 0),
      ema_decay_(s.number("ema")),
      opt_g_(optimizer(g_.state("G."), s, lr_of_g(s))),
      opt_d_(optimizer(state_of_d(), s, s.number("lr"))) {
  copy_state(g_ema_.state(), g_.state());
  g_ema_.set_training(false);
}

Tensor AdversarialModel::noise(std::int64_t n) const {
  std::vector<Tensor> columns{normal({n, z_dim_})};
  for (const Code& code : codes())
    columns.push_back(code.category ? one_hot(argmax(uniform({n, code.count}), 1), code.count)
                                    : uniform({n, 1}, code.low, code.high));
  return columns.size() == 1 ? columns[0] : concat(columns, 1);
}
Tensor AdversarialModel::sample(const Tensor& z) {
  NoGrad off;
  return g_ema_(z);
}

Tensor AdversarialModel::d_of_fake(const Tensor& x_fake) const {
  const KeepStatistics of_real;
  return d_(x_fake);
}

void AdversarialModel::step_d(const Tensor& loss, const Rates& now) {
  opt_d_->step(grad(loss, opt_d_->parameters()), now);
  if (clip_ > 0) clip_values(opt_d_->parameters(), -clip_, clip_);
}
void AdversarialModel::step_g(const Tensor& loss, const Rates& now, const Tensor& ema_decay) {
  opt_g_->step(grad(loss, opt_g_->parameters()), now);
  const std::vector<Tensor> average = tensors(g_ema_.state()), source = tensors(g_.state());
  if (ema_decay)
    ema_update(average, source, ema_decay);
  else
    ema_update(average, source, ema_decay_);
}

void AdversarialModel::restart_optimizers() {
  opt_g_->restart();
  opt_d_->restart();
}

State AdversarialModel::state_of_d() const {
  State s = d_.state("D.");
  for (const Part& head : heads_) {
    const State more = head.net.state(head.name + ".");
    s.insert(s.end(), more.begin(), more.end());
  }
  return s;
}
State AdversarialModel::state() const {
  State s = g_.state("G.");
  for (const State& part : {g_ema_.state("G_ema."), state_of_d()}) s.insert(s.end(), part.begin(), part.end());
  opt_g_->collect("opt_G.", s);
  opt_d_->collect("opt_D.", s);
  return s;
}
std::vector<Model::Part> AdversarialModel::parts() const {
  std::int64_t columns = z_dim_;
  for (const Code& code : codes()) columns += code.count;
  std::vector<Part> all{{"G", g_, {columns}}, {"D", d_, d_input_}};
  all.insert(all.end(), heads_.begin(), heads_.end());
  return all;
}

}  // namespace duel
