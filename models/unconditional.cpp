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
        loss_(s) {}

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
    AdversarialLoss::OfD of_d;
    for (const Batch& batch : batches) {
      const Tensor x = show(at_level(batch.images)), x_fake = show(detach(g_(noise(batch.size()))));
      of_d = loss_.discriminator(d_, x, x_fake);
      step_d(of_d.loss);
    }
    const Tensor loss_g = loss_.generator(d_(show(g_(noise(batches[0].size())))));
    step_g(loss_g);
    if (growth_.on()) count_up(iterations_);
    return loss_.metrics(of_d, loss_g);
  }

 private:
  Tensor at_level(const Tensor& images) const { return growth_.on() ? duel::at_level(images, growth_) : images; }

  Growth growth_;
  Tensor iterations_ = zeros({1}, DType::i64);  // that made the nets what they are: samples show their level
  AdversarialLoss loss_;
};

}  // namespace

ModelInfo unconditional_gan(const std::string& name, const std::string& summary, const std::string& paper,
                            const AdversarialRecipe& recipe, const std::vector<Setting>& of_nets, MakeNets make) {
  return {name,
          summary,
          paper,
          64,
          join_settings({objective_settings(recipe), penalty_settings(recipe), training_settings(recipe), of_nets,
                         shown_settings(recipe), packing_settings()}),
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
        if (const Growth growing = growth(data.height, s.integer("grow")); growing.on())
          return {growing_generator(data.height, data.channels, g, growing),
                  growing_generator(data.height, data.channels, g, growing),
                  growing_critic(data.height, data.channels, d, growing), growing};
        return {dcgan_generator(data.height, data.channels, g), dcgan_generator(data.height, data.channels, g),
                dcgan_critic(data.height, data.channels, d)};
      });
}

}  // namespace duel
