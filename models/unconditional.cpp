#include "models/unconditional.h"

#include "engine/tape.h"
#include "models/nets.h"

namespace duel {
namespace {

class UnconditionalGan : public AdversarialModel {
 public:
  UnconditionalGan(const DataShape& data, const Settings& s, GanNets nets)
      : AdversarialModel(data, s, {std::move(nets.g), std::move(nets.g_ema), std::move(nets.d)}),
        objective_(s),
        penalty_(s) {}

  Metrics step(std::span<const Batch> batches) override {
    Tensor loss_d, loss_penalty, d_real, d_fake;
    for (const Batch& batch : batches) {
      Tensor x = show(batch.images), x_fake = show(detach(g_(noise(batch.size()))));
      d_real = d_(x);
      d_fake = d_(x_fake);
      loss_d = objective_.discriminator(d_real, d_fake);
      loss_penalty = penalty_(d_, x, x_fake);
      if (loss_penalty) loss_d = loss_d + loss_penalty;
      step_d(loss_d);
    }
    Tensor loss_g = objective_.generator(d_(show(g_(noise(batches[0].size())))));
    step_g(loss_g);

    NoGrad off;
    Metrics m{{"loss_d", loss_d}, {"loss_g", loss_g}};
    if (objective_.is_wasserstein()) m.push_back({"loss_wasserstein", mean(d_real) - mean(d_fake)});
    if (loss_penalty) m.push_back({"loss_penalty", loss_penalty});
    m.push_back({"d_real", objective_.shown(d_real)});
    m.push_back({"d_fake", objective_.shown(d_fake)});
    return m;
  }

 private:
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
  return unconditional_gan(
      name, summary, paper, recipe, dcgan_settings(recipe),
      [name](const DataShape& data, const Settings& s) -> GanNets {
        check_square(name, data);
        const DcganOptions g = dcgan_options(s, true), d = dcgan_options(s, s.word("norm") == "batch");
        return {dcgan_generator(data.height, data.channels, g), dcgan_generator(data.height, data.channels, g),
                dcgan_critic(data.height, data.channels, d)};
      });
}

}  // namespace duel
