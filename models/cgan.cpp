// Conditional GAN (Mirza and Osindero 2014, eq. 2): both nets are told the class y. G takes it beside the noise; D sees
// it, on DCGAN's nets, as constant maps beside the image's channels, as is common for convolutional nets.
#include "engine/context.h"
#include "engine/tape.h"
#include "models/adversarial.h"
#include "models/nets.h"

namespace duel {
namespace {

// x (N,H,W,C), y (N,K) one-hot -> (N,H,W,C+K)
Tensor with_class_maps(const Tensor& x, const Tensor& y) {
  const std::int64_t n = x.dim(0), k = y.dim(1);
  return concat({x, broadcast_to(reshape(y, {n, 1, 1, k}), {n, x.dim(1), x.dim(2), k})}, 3);
}

class Cgan : public AdversarialModel {
 public:
  Cgan(const DataShape& data, const Settings& s) : AdversarialModel(data, s, nets(data, s)), loss_(s) {}

  Metrics step(std::span<const Batch> batches) override {
    AdversarialLoss::OfD of_d;
    for (const Batch& batch : batches) {
      const Tensor x = show(batch.images), y = one_hot(batch.labels, data_.classes);
      const Critic d = [&](const Tensor& image) { return d_(with_class_maps(image, y)); };  // D(x|y)
      const Tensor z = normal({batch.size(), z_dim_}), x_fake = show(detach(g_(concat({z, y}, 1))));
      of_d = loss_.discriminator(d, x, x_fake);
      step_d(of_d.loss);
    }
    const Tensor zy = noise(batches[0].size()), y = slice(zy, 1, z_dim_, z_dim_ + data_.classes);
    const Tensor loss_g = loss_.generator(d_(with_class_maps(show(g_(zy)), y)));
    step_g(loss_g);
    return loss_.metrics(of_d, loss_g);
  }

  std::vector<Code> codes() const override { return {class_code()}; }

 private:
  static Nets nets(const DataShape& data, const Settings& s) {
    DcganOptions of_g = dcgan_options(s, true), of_d = dcgan_options(s, s.word("norm") == "batch");
    of_g.z_dim += data.classes;
    const std::int64_t seen = data.channels + data.classes;
    return {dcgan_generator(data.height, data.channels, of_g),
            dcgan_generator(data.height, data.channels, of_g),
            dcgan_critic(data.height, seen, of_d),
            {},
            {data.height, data.width, seen}};
  }

  AdversarialLoss loss_;
};

}  // namespace

ModelInfo cgan_model() {
  const AdversarialRecipe r;
  return {"cgan",
          "conditional GAN: images of an asked class",
          "Mirza and Osindero 2014",
          64,
          join_settings(
              {objective_settings(r), penalty_settings(r), training_settings(r), dcgan_settings(r), shown_settings(r)}),
          [](const DataShape& data, const Settings& s) {
            check_square("cgan", data);
            check_bounds("cgan", s);
            return std::make_unique<Cgan>(data, s);
          },
          Labels::needed};
}

}  // namespace duel
