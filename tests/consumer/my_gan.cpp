// usage: my_gan [DATA [STEPS]]
#include <duel/duel.h>
using namespace duel;

int main(int argc, char** argv) {
  Dataset data = load_dataset(argc > 1 ? argv[1] : "mnist/");  // (60000, 28, 28, 1), pixels in [-1, 1]
  const int steps = argc > 2 ? std::stoi(argv[2]) : 20000;
  Net G = dcgan_generator(28, 1), D = dcgan_critic(28, 1);
  Adam opt_g(G, {.lr = 1e-4, .beta1 = 0, .beta2 = 0.9}), opt_d(D, {.lr = 1e-4, .beta1 = 0, .beta2 = 0.9});

  Step iteration([&](std::span<const Batch> batches) {  // recorded once, then replayed
    Tensor loss_d, loss_g;
    for (const Batch& x : batches) {
      Tensor fake = detach(G(normal({x.size(), 128})));
      loss_d = wasserstein_critic(D(x.images), D(fake)) + gradient_penalty(D, x.images, fake, 10);
      opt_d.step(grad(loss_d, D.parameters()));
    }
    loss_g = wasserstein_generator(D(G(normal({batches[0].size(), 128}))));
    opt_g.step(grad(loss_g, G.parameters()));
    return Metrics{{"loss_d", loss_d}, {"loss_g", loss_g}};
  });

  for (int i = 0; i < steps; ++i) iteration(data.next(5, 64));
  save_grid("samples.png", G(normal({64, 128})));
}
