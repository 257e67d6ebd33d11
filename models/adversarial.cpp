#include "models/adversarial.h"

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

std::unique_ptr<Optimizer> optimizer(const State& state, const Settings& s) {
  if (s.word("optimizer") == "rmsprop") return std::make_unique<Rmsprop>(state, RmspropOptions{.lr = s.number("lr")});
  return std::make_unique<Adam>(
      state, AdamOptions{.lr = s.number("lr"), .beta1 = s.number("beta1"), .beta2 = s.number("beta2")});
}

}  // namespace

std::vector<Setting> objective_settings(const AdversarialRecipe& r) {
  return {word("loss", "the adversarial loss", r.loss,
               {"non-saturating", "minimax", "wasserstein", "least-squares", "hinge"}),
          word("codes", "a-b-c of the least-squares loss: fake, real, what G wants", r.codes, {"0-1-1", "-1-1-0"})};
}
std::vector<Setting> penalty_settings(const AdversarialRecipe& r) {
  return {word("penalty", "on D's gradient: gp and gp0 between real and fake, r1 at real", r.penalty,
               {"none", "gp", "gp0", "r1"}),
          number("lambda", "weight of the penalty", r.lambda, 0, 1e6),
          number("clip", "D's weights are clipped to [-clip, clip]; 0: not", r.clip, 0, 100)};
}
std::vector<Setting> training_settings(const AdversarialRecipe& r) {
  return {
      whole("n-critic", "steps of D for each of G", r.n_critic, 1, 100),
      word("optimizer", "of both nets", r.optimizer, {"adam", "rmsprop"}),
      number("lr", "learning rate", r.lr, 1e-8, 1),
      number("beta1", "Adam's beta1", r.beta1, 0, 0.9999),
      number("beta2", "Adam's beta2", r.beta2, 0, 0.999999),
      whole("z-dim", "numbers of noise for an image", r.z_dim, 1, 4096),
      number("ema", "decay of the average of G's weights that samples are drawn with; 0: none", "0.999", 0, 0.999999)};
}
std::vector<Setting> dcgan_settings(const AdversarialRecipe& r) {
  return {word("norm", "normalisation in D", r.norm, {"batch", "none"}),
          whole("width", "channels next to the image; deeper layers have multiples", "64", 1, 1024)};
}
std::vector<Setting> join_settings(std::vector<std::vector<Setting>> parts) {
  std::vector<Setting> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Objective::Objective(const Settings& s)
    : loss_(s.word("loss")),
      codes_(s.word("codes") == "0-1-1" ? LeastSquaresCodes{0, 1, 1} : LeastSquaresCodes{-1, 1, 0}) {}

Tensor Objective::discriminator(const Tensor& d_real, const Tensor& d_fake) const {
  if (loss_ == "wasserstein") return wasserstein_critic(d_real, d_fake);
  if (loss_ == "least-squares") return least_squares_discriminator(d_real, d_fake, codes_);
  if (loss_ == "hinge") return hinge_discriminator(d_real, d_fake);
  return logistic_discriminator(d_real, d_fake);
}
Tensor Objective::generator(const Tensor& d_fake) const {
  if (loss_ == "minimax") return minimax_generator(d_fake);
  if (loss_ == "non-saturating") return non_saturating_generator(d_fake);
  if (loss_ == "least-squares") return least_squares_generator(d_fake, codes_);
  return wasserstein_generator(d_fake);  // of the hinge loss too
}
Tensor Objective::shown(const Tensor& d) const {
  return mean(loss_ == "minimax" || loss_ == "non-saturating" ? sigmoid(d) : d);
}

Tensor Penalty::operator()(const Critic& d, const Tensor& x, const Tensor& x_fake) const {
  if (kind_ == "gp") return gradient_penalty(d, x, x_fake, lambda_);
  if (kind_ == "gp0") return gradient_penalty(d, x, x_fake, lambda_, 0);
  if (kind_ == "r1") return r1_penalty(d, x, lambda_);
  return {};
}

void check_square(const std::string& model, const DataShape& data) {
  require(data.height == data.width, "{}: images are {}x{}, expected square ones; --size S crops and scales them",
          model, data.height, data.width);
}

void check_bounds(const std::string& model, const Settings& s) {
  const bool penalised = s.word("penalty") != "none", clipped = s.number("clip") > 0;
  const bool batch_norm = s.values().count("norm") > 0 && s.word("norm") == "batch";
  require(!(penalised && batch_norm),
          "{}: --penalty {} with --norm batch: batch norm mixes the images of a batch, so there is no gradient at one "
          "image; "
          "use --norm none",
          model, s.word("penalty"));
  require(!(penalised && clipped), "{}: --penalty {} with --clip {}: both bound D's slope; leave one out", model,
          s.word("penalty"), s.number("clip"));
  require(s.word("loss") != "wasserstein" || penalised || clipped,
          "{}: --loss wasserstein needs a bound on D's slope: add --penalty gp --norm none, or --clip 0.01", model);
}

AdversarialModel::AdversarialModel(const DataShape& data, const Settings& s, Nets nets)
    : data_(data),
      d_input_(nets.d_input.rank() > 0 ? nets.d_input : Shape{data.height, data.width, data.channels}),
      z_dim_(s.integer("z-dim")),
      g_(std::move(nets.g)),
      g_ema_(std::move(nets.g_ema)),
      d_(std::move(nets.d)),
      heads_(std::move(nets.heads)),
      n_critic_(s.integer("n-critic")),
      clip_(s.values().count("clip") ? s.number("clip") : 0),
      ema_decay_(s.number("ema")),
      opt_g_(optimizer(g_.state("G."), s)),
      opt_d_(optimizer(state_of_d(), s)) {
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
