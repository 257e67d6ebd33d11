// Times whole training iterations of the nets that bench/torch_steps.py times in PyTorch, one JSON line a case.
//   bench_steps CASE [THREADS [SECONDS]]
// Every case is checked before it is timed: the replayed iterations must give the losses that eager ones give.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "engine/error.h"
#include "engine/net.h"
#include "engine/optim.h"
#include "engine/step.h"
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
struct Case {
  std::int64_t batch, n_critic;
  Shape image;  // (H,W,C)
  std::shared_ptr<Nets> nets;
  Step::Body body;
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
Net dcgan28_critic() {
  Net d;
  d.conv(1, 64, 4, 2, 1, Act::leaky_relu).conv(64, 128, 4, 2, 1, Act::none, false).batch_norm(128, Act::leaky_relu);
  d.flatten().linear(7 * 7 * 128, 1);
  return d;
}

// Non-saturating GAN, with an R1 penalty of weight r1 where it is not 0.
Case gan_case(std::int64_t batch, const Shape& image, const Net& g, const Net& d, bool flat, double r1 = 0) {
  Case c{batch, 1, image, std::make_shared<Nets>(g, d), {}};
  c.body = [n = c.nets, flat, r1](std::span<const Batch> batches) -> Metrics {
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
Case wgan_gp_case(std::int64_t batch, const Shape& image, const Net& g, const Net& d, std::int64_t n_critic) {
  Case c{batch, n_critic, image, std::make_shared<Nets>(g, d), {}};
  c.body = [n = c.nets](std::span<const Batch> batches) -> Metrics {
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

Case make_case(const std::string& name) {
  set_seed(0);
  if (name == "mlp_gan")
    return gan_case(64, {28, 28, 1}, mlp({100, 256, 512, 1024, 784}, Act::tanh), mlp({784, 512, 256, 1}, Act::none),
                    true);
  if (name == "dcgan28") return gan_case(64, {28, 28, 1}, dcgan28_generator(), dcgan28_critic(), false);
  if (name == "dcgan64") return gan_case(128, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(true), false);
  if (name == "r1_64") return gan_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(true), false, 10);
  if (name == "r1_64_nobn") return gan_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(false), false, 10);
  if (name == "wgan_gp64") return wgan_gp_case(64, {64, 64, 3}, dcgan64_generator(), dcgan64_critic(false), 5);
  fail("bench_steps: case '{}' is unknown, expected mlp_gan, dcgan28, dcgan64, r1_64, r1_64_nobn or wgan_gp64", name);
}

struct Feed {
  std::vector<std::uint8_t> pixels;
  std::vector<HostBatch> batches;
  explicit Feed(const Case& c) : pixels(static_cast<std::size_t>(c.batch * c.image.size())) {
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    for (std::int64_t k = 0; k < c.n_critic; ++k)
      batches.push_back({pixels.data(), nullptr, c.batch, c.image[0], c.image[1], c.image[2]});
  }
};

// Two copies of the case, one replayed and one eager, over three iterations: the same losses to the bit.
void verify(const std::string& name) {
  Case a = make_case(name), b = make_case(name);
  Step replayed(a.body), eager(b.body);
  eager.set_eager(true);
  Feed feed(a);
  for (int i = 0; i < 3; ++i) {
    auto u = replayed(feed.batches), v = eager(feed.batches);
    require(std::equal(u.begin(), u.end(), v.begin(), v.end()),
            "bench_steps: {} replayed differs from eager in iteration {}", name, i);
  }
}

void profile(const Step& step) {
  struct Row {
    double ms = 0, flops = 0, bytes = 0;
    int calls = 0;
  };
  std::map<std::string, Row> rows;
  for (int i = 0; i < 5; ++i)
    for (const Launch& l : step.launches()) {
      const auto t0 = std::chrono::steady_clock::now();
      l.run();
      Row& r = rows[std::string(l.op) + " / " + l.kernel];
      r.ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - t0).count() / 5;
      r.flops += l.flops / 5;
      r.bytes += l.bytes / 5;
      r.calls += 1;
    }
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
  for (const auto& [name, r] : sorted)
    std::fprintf(stderr, "%-40s %5d calls %9.3f ms %8.1f GFLOP/s %7.1f GB/s\n", name.c_str(), r.calls / 5, r.ms,
                 r.flops / r.ms / 1e6, r.bytes / r.ms / 1e6);
}

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "mlp_gan";
  const int threads = argc > 2 ? std::atoi(argv[2]) : omp_get_max_threads();
  const double seconds = argc > 3 ? std::atof(argv[3]) : 10;
  omp_set_num_threads(threads);
  verify(name);
  Case c = make_case(name);
  Step step(c.body);
  Feed feed(c);
  for (int i = 0; i < 3; ++i) step(feed.batches);
  double flops = 0;
  for (const Launch& l : step.launches())
    if (l.is_product()) flops += l.flops;
  std::vector<double> ms;
  const auto start = std::chrono::steady_clock::now();
  auto since = [](auto t) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - t).count();
  };
  while (ms.size() < 5 || since(start) < seconds * 1e3) {
    const auto t0 = std::chrono::steady_clock::now();
    step(feed.batches);
    ms.push_back(since(t0));
  }
  std::sort(ms.begin(), ms.end());
  const double median = ms[ms.size() / 2];
  std::printf(
      "{\"case\": \"%s\", \"engine\": \"duel\", \"batch\": %ld, \"threads\": %d, \"median_ms_per_iter\": %.4f, "
      "\"min\": %.4f, "
      "\"max\": %.4f, \"iters\": %zu, \"images_per_s\": %.2f, \"gflop_per_iter\": %.3f, \"gflops\": %.1f, "
      "\"peak_mem_MB\": %.1f}\n",
      name.c_str(), static_cast<long>(c.batch), threads, median, ms.front(), ms.back(), ms.size(),
      static_cast<double>(c.batch * c.n_critic) * 1e3 / median, flops / 1e9, flops / median / 1e6,
      static_cast<double>(step.peak_bytes()) / 1048576.0);
  if (argc > 4) profile(step);
  return 0;
}

}  // namespace
}  // namespace duel

int main(int argc, char** argv) {
  try {
    return duel::run(argc, argv);
  } catch (const duel::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
