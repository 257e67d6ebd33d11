// Times every kernel of the ops at the sizes of GANs, forward and gradients, on any device.
//   bench_ops [--device cpu|cuda-host|cuda] [--type f32|bf16] [--only op,op] [--small] [--json FILE] [--list]
// On a GPU, products are timed once more with the engines of cuDNN and cuBLASLt where these are found, "library".
// A row is verified before it is timed: its result and gradients must agree with the CPU's in f32. A row that does not
// is reported and makes the exit status 1. --small times the rows of the op table as they are tested, instead.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/bench_rows.h"
#include "engine/context.h"
#include "engine/device.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/products.h"
#include "engine/speed.h"
#include "engine/tape.h"
#include "tests/op_table.h"

namespace duel {
namespace {

struct Values {
  std::vector<std::vector<float>> inputs;
  std::vector<float> cotangent;
};
struct Derivatives {
  std::vector<std::vector<float>> values;  // y, and the gradient of each input
};

std::string title(const OpCase& c) {
  std::string s = c.op;
  if (!c.note.empty()) s += " " + c.note;
  for (const Shape& shape : c.shapes) s += " " + to_string(shape);
  return s;
}

Tensor drawn(const Shape& shape, Domain domain) {
  if (domain == Domain::positive) return uniform(shape, 0.5, 2.5);
  if (domain == Domain::unit) return uniform(shape, 0.1, 0.9);
  return normal(shape);
}
std::vector<float> rounded(const Tensor& x, DType type) {
  std::vector<float> v = x.to_vector<float>();
  if (type == DType::bf16)
    for (float& f : v) f = bf16(f);
  return v;
}

std::vector<Tensor> tensors_of(const OpCase& c, const Values& v, DType type) {
  std::vector<Tensor> xs;
  for (std::size_t i = 0; i < c.shapes.size(); ++i) xs.push_back(from_vector(c.shapes[i], v.inputs[i], type));
  return xs;
}

Derivatives evaluate(const OpCase& c, const Values& v, Device device, DType type) {
  const DeviceScope scope(device);
  set_seed(5);
  const std::vector<Tensor> xs = tensors_of(c, v, type);
  Tensor y = c.f(xs);
  Derivatives d{{y.to_vector<float>()}};
  if (c.differentiable)
    for (const Tensor& g : grad(y, xs, free_graph, from_vector(y.shape(), v.cotangent, y.dtype())))
      d.values.push_back(g ? g.to_vector<float>() : std::vector<float>{});
  return d;
}

// The largest |a - b| / (root of the mean square of b): a few roundings of large sums must not count as errors.
double error(const Derivatives& a, const Derivatives& b) {
  double worst = 0;
  for (std::size_t k = 0; k < a.values.size(); ++k) {
    if (a.values[k].size() != b.values[k].size()) return INFINITY;
    double square = 0, largest = 0;
    for (std::size_t i = 0; i < b.values[k].size(); ++i) {
      const double d = std::abs(double(a.values[k][i]) - b.values[k][i]);
      if (!(d <= largest)) largest = std::isnan(d) ? INFINITY : d;
      square += double(b.values[k][i]) * b.values[k][i];
    }
    worst = std::max(worst, largest / (1e-3 + std::sqrt(square / std::max<double>(1, double(b.values[k].size())))));
  }
  return worst;
}

struct KernelTiming : Timing {
  std::string op, kernel;
  double flops = 0, bytes = 0;
  bool product = false;
};

// All launches of the row, recorded as a Step does; those of one kernel for one op are timed together.
std::vector<KernelTiming> time_row(const OpCase& c, const Values& v, Device device, DType type, double budget) {
  const DeviceScope scope(device);
  const auto pool = std::make_shared<Pool>(device);
  const PoolScope memory(pool);
  const std::vector<Tensor> xs = tensors_of(c, v, type);
  Recording recording;
  Tensor y = c.f(xs);
  const Tensor dy = c.differentiable ? from_vector(y.shape(), v.cotangent, y.dtype()) : Tensor();
  {
    const RecordScope record(&recording);
    y = c.f(xs);
    if (dy) grad(y, xs, free_graph, dy);
  }
  pool->open_for_replay();
  std::vector<KernelTiming> out;
  for (const Launch& first : recording.launches) {
    if (std::any_of(out.begin(), out.end(),
                    [&](const KernelTiming& t) { return t.op == first.op && t.kernel == first.kernel; }))
      continue;
    double flops = 0, bytes = 0;
    std::vector<const Launch*> same;
    for (const Launch& l : recording.launches)
      if (std::string(l.op) == first.op && std::string(l.kernel) == first.kernel) {
        same.push_back(&l);
        flops += l.flops;
        bytes += l.bytes;
      }
    const auto all = [&] {
      for (const Launch* l : same) l->run();
    };
    out.push_back({time_work(device, all, budget), first.op, first.kernel, flops, bytes, first.is_product()});
  }
  return out;
}

// The row by the engines of the libraries, if it has products and there are any.
std::vector<KernelTiming> time_libraries(const OpCase& c, const Values& v, Device device, DType type, double budget,
                                         const std::vector<KernelTiming>& own) {
  if (device != Device::cuda || std::none_of(own.begin(), own.end(), [](const KernelTiming& t) { return t.product; }))
    return {};
  const DeviceScope scope(device);
  try {
    choose_products("cudnn", false);
  } catch (const Error&) {
    return {};
  }
  std::vector<KernelTiming> timings = time_row(c, v, device, type, budget);
  choose_products("own", false);
  return timings;
}

struct Request {
  std::string device = "auto", type = "f32", json;
  std::vector<std::string> only;
  bool small = false, list = false;
  double budget = 0.2;
};

int run(const Request& r) {
  const DeviceChoice choice = choose_device(r.device);
  const Device device = choice.device;
  const DType type = r.type == "bf16" ? DType::bf16 : DType::f32;
  std::vector<OpCase> rows = r.small ? op_cases() : bench_rows();
  if (!r.only.empty())
    std::erase_if(rows, [&](const OpCase& c) { return std::find(r.only.begin(), r.only.end(), c.op) == r.only.end(); });
  if (r.list) {
    for (const OpCase& c : rows) fmt::print("{}\n", title(c));
    return 0;
  }
  fmt::print("{}, {}\n", choice.what, r.type);
  const bool speed_means_something = device != Device::cuda_host;
  Ceiling ceiling;
  if (speed_means_something) {
    ceiling = measure_ceiling(device, type);
    fmt::print("ceiling: copies {:.0f} GB/s, matrix product {:.2f} TFLOP/s\n", ceiling.bytes / 1e9,
               ceiling.flops / 1e12);
  }
  nlohmann::json out{{"device", choice.what}, {"type", r.type}, {"rows", nlohmann::json::array()}};
  out["ceiling"] = {{"bytes_per_s", ceiling.bytes}, {"flop_per_s", ceiling.flops}};
  int wrong = 0;
  const double tolerance = type == DType::bf16 ? 0.1 : 2e-3;
  for (const OpCase& c : rows) {
    set_seed(3);
    Values v;
    std::vector<Tensor> xs;
    for (const Shape& s : c.shapes) {
      v.inputs.push_back(rounded(drawn(s, c.domain), type));
      xs.push_back(from_vector(s, v.inputs.back()));
    }
    if (c.differentiable) v.cotangent = rounded(normal(c.f(xs).shape()), type);
    const double e = error(evaluate(c, v, device, type), evaluate(c, v, Device::cpu, DType::f32));
    fmt::print("{}   error {:.1g}{}\n", title(c), e, e <= tolerance ? "" : "   WRONG, not timed");
    nlohmann::json row{{"row", title(c)}, {"error", e}, {"kernels", nlohmann::json::array()}};
    if (!(e <= tolerance)) {
      ++wrong;
    } else {
      const std::vector<KernelTiming> own = time_row(c, v, device, type, r.budget);
      const std::vector<KernelTiming> libraries = time_libraries(c, v, device, type, r.budget, own);
      for (const KernelTiming& t : own) {
        fmt::print("    {:<24} {:<16} {:>10.1f} us ({:.1f} to {:.1f})", t.op, t.kernel, t.median * 1e6, t.low * 1e6,
                   t.high * 1e6);
        if (speed_means_something) {
          fmt::print("  {:7.1f} GB/s {:3.0f} %", t.bytes / t.median / 1e9, 100 * t.bytes / t.median / ceiling.bytes);
          if (t.flops > 0)
            fmt::print("  {:7.3f} TFLOP/s {:3.0f} %", t.flops / t.median / 1e12,
                       100 * t.flops / t.median / ceiling.flops);
        }
        const auto by_library = std::find_if(libraries.begin(), libraries.end(), [&](const KernelTiming& l) {
          return l.product && l.op == t.op && l.kernel == t.kernel;
        });
        if (by_library != libraries.end()) fmt::print("  library {:.1f} us", by_library->median * 1e6);
        fmt::print("\n");
        row["kernels"].push_back({{"op", t.op},
                                  {"kernel", t.kernel},
                                  {"seconds", t.median},
                                  {"low", t.low},
                                  {"high", t.high},
                                  {"flops", t.flops},
                                  {"bytes", t.bytes}});
        if (by_library != libraries.end()) row["kernels"].back()["library_seconds"] = by_library->median;
      }
    }
    out["rows"].push_back(row);
    std::fflush(stdout);
    if (!r.json.empty()) std::ofstream(r.json) << out.dump(1) << "\n";
  }
  for (const std::string& engine : dropped_products()) fmt::print("not used: {}\n", engine);
  if (wrong) fmt::print("{} rows are wrong\n", wrong);
  return wrong ? 1 : 0;
}

}  // namespace
}  // namespace duel

int main(int argc, char** argv) {
  CLI::App app{"times the kernels of the ops"};
  duel::Request r;
  app.add_option("--device", r.device, "auto, cpu, cuda-host or cuda");
  app.add_option("--type", r.type, "f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--only", r.only, "ops")->delimiter(',');
  app.add_option("--seconds", r.budget, "time for a kernel of a row");
  app.add_option("--json", r.json, "writes the measurements there");
  app.add_flag("--small", r.small, "the rows of the op table");
  app.add_flag("--list", r.list, "only names the rows");
  CLI11_PARSE(app, argc, argv);
  try {
    return duel::run(r);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_ops: {}\n", e.what());
    return 2;
  }
}
