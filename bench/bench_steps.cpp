// Times whole training iterations of the nets that bench/torch_steps.py times in PyTorch, one JSON line a case.
//   bench_steps [--case NAME,NAME] [--device auto|cpu|cuda-host|cuda] [--precision f32|tf32|bf16] [--conv
//   own|cudnn|auto]
//               [--seconds S] [--threads N]
// Every case is checked before it is timed: the replayed iterations must give the losses that eager ones give. The data
// lie on the device, and on a GPU the host is two iterations ahead, as in training.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bench/step_cases.h"
#include "engine/device.h"
#include "engine/error.h"
#include "engine/precision.h"
#include "engine/products.h"

namespace duel {
namespace {

struct Options {
  std::vector<std::string> cases = step_cases();
  std::string device = "auto", precision = "f32", conv = "own";
  double seconds = 10;
  int threads = omp_get_max_threads();
};

struct Feed {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> index;
  std::vector<HostBatch> batches;
  explicit Feed(const StepCase& c)
      : pixels(static_cast<std::size_t>(c.batch * c.image.size())), index(static_cast<std::size_t>(c.batch)) {
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    std::iota(index.begin(), index.end(), 0);
    HostBatch b{pixels.data(), nullptr, c.batch, c.image[0], c.image[1], c.image[2]};
    if (default_device() != Device::cpu) {
      b.resident = empty({c.batch, c.image[0], c.image[1], c.image[2]}, DType::u8);
      assign(b.resident, pixels.data(), pixels.size());
      b.pixels = nullptr;
      b.index = index.data();
    }
    batches.assign(static_cast<std::size_t>(c.n_critic), b);
  }
};

// Two copies of the case, one replayed and one eager, over three iterations: the same losses to the bit.
void verify(const std::string& name) {
  const StepCase a = step_case(name), b = step_case(name);
  Step replayed(a.body), eager(b.body);
  eager.set_eager(true);
  const Feed feed(a);
  for (int i = 0; i < 3; ++i) {
    auto u = replayed(feed.batches), v = eager(feed.batches);
    require(std::equal(u.begin(), u.end(), v.begin(), v.end()), "{} replayed differs from eager in iteration {}", name,
            i);
  }
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// Seconds an iteration in `groups` of several, and of these the host's for submitting.
struct Times {
  std::vector<double> whole, submitting;
};
Times time_iterations(Step& step, const Feed& feed, double seconds) {
  const std::size_t ahead = default_device() == Device::cpu ? 0 : Step::most_in_flight - 1;
  double submitting = 0;
  const auto iterate = [&](int n) {
    submitting = 0;
    const double begin = now();
    for (int i = 0; i < n; ++i) {
      const double before = now();
      step.submit(feed.batches);
      submitting += (now() - before) / n;
      while (step.in_flight() > (i + 1 < n ? ahead : 0)) step.take();
    }
    return (now() - begin) / n;
  };
  iterate(3);
  const int n = std::clamp(static_cast<int>(seconds / 20 / iterate(3)), 1, 1000);
  Times t;
  for (const double start = now(); t.whole.size() < 5 || now() - start < seconds;) {
    t.whole.push_back(iterate(n));
    t.submitting.push_back(submitting);
  }
  return t;
}

void run_case(const std::string& name, const Options& o) {
  verify(name);
  const StepCase c = step_case(name);
  Step step(c.body);
  const Feed feed(c);
  const Times t = time_iterations(step, feed, o.seconds);
  double flops = 0;
  for (const Launch& l : step.launches())
    if (l.is_product()) flops += l.flops;
  const double ms = median(t.whole) * 1e3;
  const auto [least, most] = std::minmax_element(t.whole.begin(), t.whole.end());
  // Without `ahead` the submission is the computation itself.
  const double submit_ms = median(t.submitting) * 1e3;
  nlohmann::ordered_json row{{"case", name},
                             {"engine", "duel"},
                             {"device", name_of(default_device())},
                             {"precision", o.precision},
                             {"conv", o.conv},
                             {"batch", c.batch},
                             {"threads", o.threads},
                             {"median_ms_per_iter", ms},
                             {"min", *least * 1e3},
                             {"max", *most * 1e3},
                             {"groups", t.whole.size()},
                             {"images_per_s", static_cast<double>(c.batch * c.n_critic) * 1e3 / ms},
                             {"gflop_per_iter", flops / 1e9},
                             {"gflops", flops / ms / 1e6},
                             {"launches", step.launches().size()},
                             {"peak_mem_MB", static_cast<double>(step.peak_bytes()) / 1048576.0}};
  if (default_device() == Device::cuda) row["submit_ms"] = submit_ms;
  fmt::print("{}\n", row.dump());
  std::fflush(stdout);
}

}  // namespace
}  // namespace duel

int main(int argc, char** argv) {
  using namespace duel;
  CLI::App app("Times whole training iterations.");
  Options o;
  app.add_option("--case", o.cases, "of: " + fmt::format("{}", fmt::join(step_cases(), ", ")))->delimiter(',');
  app.add_option("--device", o.device)->check(CLI::IsMember(device_words()));
  app.add_option("--precision", o.precision)->check(CLI::IsMember(precision_words()));
  app.add_option("--conv", o.conv)->check(CLI::IsMember(product_words()));
  app.add_option("--seconds", o.seconds, "of timing a case")->check(CLI::Range(0.01, 3600.0));
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 1024));
  CLI11_PARSE(app, argc, argv);
  try {
    omp_set_num_threads(o.threads);
    set_default_device(choose_device(o.device).device);
    choose_products(o.conv, false);
    set_precision(choose_precision(o.precision, default_device()));
    for (const std::string& name : o.cases) run_case(name, o);
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_steps: {}\n", e.what());
    return 2;
  }
}
