#include "models/unconditional.h"

#include "engine/error.h"
#include "engine/tape.h"
#include "models/nets.h"

namespace duel {
namespace {

class UnconditionalGan : public AdversarialModel {
 public:
  UnconditionalGan(const DataShape& data, const Settings& s, GanNets nets)
      : AdversarialModel(data, s, {std::move(nets.g), std::move(nets.g_ema), std::move(nets.d)}),
        growth_(nets.growth),
        objective_(s),
        penalty_(s) {}

  int variant(std::int64_t iteration) const override { return growth_.on() ? growth_.variant(iteration) : 0; }
  std::int64_t busiest_iteration() const override { return growth_.on() ? growth_.busiest() : 0; }
  Tensor sample(const Tensor& z) override {
    if (!growth_.on()) return AdversarialModel::sample(z);
    Context now(0);
    std::int64_t t = 0;
    read(iterations_, &t, sizeof t);
    assign(now.step, &t, sizeof t);
    now.variant = variant(t);
    const ContextScope scope(now);
    return AdversarialModel::sample(z);
  }

  State state() const override {
    State s = AdversarialModel::state();
    if (growth_.on()) s.push_back({"growth.iterations", iterations_});
    return s;
  }

  Metrics step(std::span<const Batch> batches) override {
    if (level_begins()) restart_optimizers();
    Tensor loss_d, loss_penalty, d_real, d_fake;
    for (const Batch& batch : batches) {
      const Tensor x = show(at_level(batch.images)), x_fake = show(detach(g_(noise(batch.size()))));
      d_real = d_(x);
      d_fake = d_(x_fake);
      loss_d = objective_.discriminator(d_real, d_fake);
      loss_penalty = penalty_(d_, x, x_fake);
      if (loss_penalty) loss_d = loss_d + loss_penalty;
      step_d(loss_d);
    }
    Tensor loss_g = objective_.generator(d_(show(g_(noise(batches[0].size())))));
    step_g(loss_g);
    if (growth_.on()) count_up(iterations_);

    NoGrad off;
    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}};
    if (objective_.is_wasserstein()) m.push_back({"loss_wasserstein", mean(d_real) - mean(d_fake)});
    if (loss_penalty) m.push_back({"loss_penalty", loss_penalty});
    m.push_back({"d_real", objective_.shown(d_real)});
    m.push_back({"d_fake", objective_.shown(d_fake)});
    return m;
  }

 private:
  Tensor at_level(const Tensor& images) const { return growth_.on() ? duel::at_level(images, growth_) : images; }

  Growth growth_;
  Tensor iterations_ = zeros({1}, DType::i64);  // that made the nets what they are: samples show their level
  Objective objective_;
  Penalty penalty_;
};

}  // namespace

ModelInfo unconditional_gan(const std::string& name, const std::string& summary, const std::string& paper,
                            const AdversarialRecipe& recipe, const std::vector<Setting>& of_nets, MakeNets make) {
  return {name,
          summary,
          paper,
          64,
          join_settings({objective_settings(recipe), penalty_settings(recipe), training_settings(recipe), of_nets,
                         shown_settings(), packing_settings()}),
          [name, make = std::move(make)](const DataShape& data, const Settings& s) {
            check_bounds(name, s);
            return std::make_unique<UnconditionalGan>(data, s, make(data, s));
          }};
}

ModelInfo convolutional_gan(const std::string& name, const std::string& summary, const std::string& paper,
                            const AdversarialRecipe& recipe) {
  const Setting grow{
      "grow", "iterations for each resolution, which doubles until it is the images'; 0: full size at once",
      "0",    0,
      1e9,    true,
      {}};
  return unconditional_gan(
      name, summary, paper, recipe, join_settings({dcgan_settings(recipe), {grow}}),
      [name](const DataShape& data, const Settings& s) -> GanNets {
        check_square(name, data);
        const DcganOptions g = dcgan_options(s, true), d = dcgan_options(s, s.word("norm") == "batch");
        if (const Growth growing = growth(data.height, s.integer("grow")); growing.on()) {
          const CriticOptions& c = d.critic;
          require(!c.spectral_norm && c.stddev_group == 0 && c.pac == 1,
                  "{}: --grow {} with --spectral-norm, --minibatch-stddev or --pac: growing nets do not know them, "
                  "leave one "
                  "out",
                  name, growing.phase);
          return {growing_generator(data.height, data.channels, g, growing),
                  growing_generator(data.height, data.channels, g, growing),
                  growing_critic(data.height, data.channels, d, growing), growing};
        }
        return {dcgan_generator(data.height, data.channels, g), dcgan_generator(data.height, data.channels, g),
                dcgan_critic(data.height, data.channels, d)};
      });
}

}  // namespace duel
