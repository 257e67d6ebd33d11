// What the adversarial models have in common. Each part is chosen by options that mean the same in every model: how D
// and G are scored, what bounds D, how the nets move. A paper's file chooses the defaults and writes the iteration.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/optim.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "models/critic_input.h"
#include "models/model.h"

namespace duel {

// A paper's choices: the defaults of its options.
struct AdversarialRecipe {
  std::string loss = "non-saturating";  // minimax, non-saturating, wasserstein, least-squares, hinge
  std::string codes = "0-1-1";          // of the least-squares loss
  std::string penalty = "none";         // gp (1-centred), gp0 (0-centred), dragan, r1, r2, r1+r2
  std::string lambda = "10";            // weight of the penalty
  std::string clip = "0";               // D's weights are clipped to [-clip, clip]; 0: not
  std::string norm = "batch";           // in D: batch, none
  std::string optimizer = "adam";       // adam, rmsprop
  std::string lr = "0.0002", lr_g = "0", beta1 = "0.5", beta2 = "0.999";
  std::string n_critic = "1";
  std::string z_dim = "128";
  std::string instance_noise = "0";  // on what D sees
};

// The options, part by part; a model offers those of the parts that it uses.
std::vector<Setting> objective_settings(const AdversarialRecipe& r);  // loss, codes, those of smoothing_settings()
std::vector<Setting> smoothing_settings();                            // smoothing
std::vector<Setting> penalty_settings(const AdversarialRecipe& r);    // penalty, lambda, clip
std::vector<Setting> training_settings(const AdversarialRecipe& r);   // n-critic, optimizer, its numbers, z-dim, ema
std::vector<Setting> critic_settings();                               // spectral-norm, minibatch-stddev
std::vector<Setting> dcgan_settings(const AdversarialRecipe& r);      // norm, width, critic_settings()
// For models whose D gets what show() makes of images: instance noise, augment; and, of those without labels, pac.
std::vector<Setting> shown_settings(const AdversarialRecipe& r);
std::vector<Setting> packing_settings();
std::vector<Setting> join_settings(std::vector<std::vector<Setting>> parts);

// The loss of the option "loss".
class Objective {
 public:
  explicit Objective(const Settings& s);  // error: --smoothing with a loss that has no probabilities
  Tensor discriminator(const Tensor& d_real, const Tensor& d_fake) const;
  Tensor generator(const Tensor& d_fake) const;
  // What D answers, on the average: a probability where the loss is logistic, a score otherwise.
  Tensor shown(const Tensor& d) const;
  bool is_wasserstein() const { return loss_ == "wasserstein"; }

 private:
  bool is_logistic() const { return loss_ == "minimax" || loss_ == "non-saturating"; }

  std::string loss_;
  LeastSquaresCodes codes_;
  double smoothing_;
};

// The penalty of the option "penalty"; an empty Tensor where there is none.
class Penalty {
 public:
  explicit Penalty(const Settings& s) : kind_(s.word("penalty")), lambda_(s.number("lambda")) {}
  Tensor operator()(const Critic& d, const Tensor& x, const Tensor& x_fake) const;

 private:
  std::string kind_;
  double lambda_;
};

// The losses of a pair of nets of which D answers one score for an image: the two above.
class AdversarialLoss {
 public:
  explicit AdversarialLoss(const Settings& s) : objective_(s), penalty_(s) {}

  struct OfD {
    Tensor loss;                     // with the penalty
    Tensor penalty, d_real, d_fake;  // penalty: empty where there is none
  };
  // Of images x and x_fake as the critic d sees them.
  OfD discriminator(const Critic& d, const Tensor& x, const Tensor& x_fake) const;
  // Where its answers are known; then only the penalty asks d.
  OfD discriminator(const Tensor& d_real, const Tensor& d_fake, const Critic& d, const Tensor& x,
                    const Tensor& x_fake) const;
  Tensor generator(const Tensor& d_fake) const { return objective_.generator(d_fake); }
  // What an iteration reports: both losses, then what is the model's own, then the parts of D's.
  Metrics metrics(const OfD& of_d, const Tensor& loss_g, const Metrics& own = {}) const;

 private:
  Objective objective_;
  Penalty penalty_;
};

// Errors, each with the reason and the way out: combinations of these options that cannot work.
void check_square(const std::string& model, const DataShape& data);
void check_bounds(const std::string& model, const Settings& s);

// A generator, its average and a discriminator, each with what moves it.
class AdversarialModel : public Model {
 public:
  std::int64_t batches_per_step() const override { return n_critic_; }
  std::int64_t batch_divisor() const override { return critic_input_.packed() * stddev_group_; }
  // (n, z-dim and then the columns of codes()): N(0, 1), categories all equally likely, numbers uniform in their range.
  Tensor noise(std::int64_t n) const override;
  Tensor sample(const Tensor& z) override;
  State state() const override;
  std::vector<Part> parts() const override;

 protected:
  struct Nets {
    Net g, g_ema;  // noise -> images (N,H,W,C); of one form
    Net d;
    std::vector<Part> heads = {};  // what else D's optimizer moves, and the state names so: "Q"
    Shape d_input = {};            // of a sample; empty: what show() makes of an image
  };
  AdversarialModel(const DataShape& data, const Settings& s, Nets nets);

  Code class_code() const { return {"class", z_dim_, data_.classes, true}; }  // the first code
  // What D sees of images, real or generated; with --pac several at once.
  Tensor show(const Tensor& images) const { return critic_input_(images); }
  // D's answer to generated images, in the units of their own batch: where D also classifies, its running statistics
  // stay those of real images.
  Tensor d_of_fake(const Tensor& x_fake) const;

  // One step of D and its heads, or of G and its average, down the gradient of the loss. What is given takes the place
  // of the options.
  void step_d(const Tensor& loss, const Rates& now = {});
  void step_g(const Tensor& loss, const Rates& now = {}, const Tensor& ema_decay = {});
  void restart_optimizers();

  DataShape data_;
  CriticInput critic_input_;
  Shape d_input_;
  std::int64_t z_dim_;
  Net g_, g_ema_, d_;
  std::vector<Part> heads_;

 private:
  State state_of_d() const;

  std::int64_t n_critic_, stddev_group_;
  double clip_, ema_decay_;
  std::unique_ptr<Optimizer> opt_g_, opt_d_;
};

}  // namespace duel
