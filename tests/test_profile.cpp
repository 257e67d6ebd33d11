// duel train --profile: the table adds up, the trace is one, and nothing is trained.
#include <doctest/doctest.h>

#include "engine/context.h"
#include "engine/optim.h"
#include "tests/program.h"
#include "tests/support.h"
#include "tools/profile.h"

using namespace duel;
using namespace duel::test;

namespace {

struct Profiled {
  Dataset data{make_glyphs(40, 3), 4};
  std::unique_ptr<Model> model;
  Step step{[this](std::span<const Batch> b) { return model->step(b); }, 7};
  Profile profile;
  explicit Profiled(Device device) {
    set_seed(7);
    const ModelInfo& info = find_model("wgan-gp");
    model = info.make({28, 28, 1}, Settings(info.settings, {{"width", "4"}, {"n-critic", "2"}, {"z-dim", "8"}}));
    profile = profile_step(
        step, device, [this] { step(data.next(2, 4)); }, 3);
  }
};

}  // namespace

TEST_CASE("profile: the rows are the iteration") {
  for (Device device : {Device::cpu, Device::cuda_host}) {
    INFO(name_of(device));
    const DeviceScope scope(device);
    const Profiled run(device);
    const Profile& p = run.profile;
    const std::vector<Launch>& launches = run.step.launches();
    CHECK(run.step.iteration() == 4);  // one that is recorded and three replayed
    REQUIRE(p.launches.size() == launches.size());
    double share = 0, seconds = 0, bytes = 0, flops = 0;
    std::int64_t calls = 0;
    std::map<std::string, ProfileRow> by_op;
    for (const ProfileRow& r : p.rows) {
      share += r.share;
      seconds += r.seconds;
      bytes += r.bytes;
      flops += r.flops;
      calls += r.calls;
      CHECK(r.seconds > 0);
      by_op[r.op + " " + r.kernel] = r;
    }
    CHECK(by_op.size() == p.rows.size());
    CHECK(share == doctest::Approx(1).epsilon(1e-9));
    CHECK(seconds == doctest::Approx(p.sum).epsilon(1e-9));
    CHECK(calls == static_cast<std::int64_t>(launches.size()));
    double all_bytes = 0, all_flops = 0;
    for (const Launch& l : launches) {
      all_bytes += l.bytes;
      all_flops += l.flops;
    }
    CHECK(bytes == doctest::Approx(all_bytes).epsilon(1e-12));
    CHECK(flops == doctest::Approx(all_flops).epsilon(1e-12));
    CHECK(p.iteration > 0);
    CHECK(std::is_sorted(p.rows.begin(), p.rows.end(),
                         [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; }));
    // Adam reads and writes p, g, m and v: two updates of D and one of G.
    double expected = 0;
    for (const Model::Part& part : run.model->parts())
      for (const Tensor& t : part.net.parameters())
        expected += 4.0 * 4.0 * static_cast<double>(t.size()) * (part.name == "D" ? 2 : 1);
    CHECK(by_op.at("adam adam").bytes == expected);
    CHECK(by_op.at("adam adam").calls == 3);
  }
}

TEST_CASE("profile: the trace has an event for each launch, one after the other") {
  const Profiled run(Device::cpu);
  const std::vector<Launch>& launches = run.step.launches();
  const auto trace = nlohmann::json::parse(chrome_trace(launches, run.profile, "a \"title\""));
  const auto& events = trace["traceEvents"];
  REQUIRE(events.size() == launches.size() + 1);
  CHECK(events[0]["ph"] == "M");
  CHECK(events[0]["args"]["name"] == "a \"title\"");
  double end = 0;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const auto& e = events[i + 1];
    CHECK(e["ph"] == "X");
    CHECK(e["name"] == launches[i].op);
    CHECK(e["args"]["kernel"] == launches[i].kernel);
    CHECK(e["args"]["bytes"] == launches[i].bytes);
    CHECK(e["args"]["flops"] == launches[i].flops);
    CHECK(e["args"]["shapes"].size() == launches[i].views.size());
    CHECK(e["ts"].get<double>() == doctest::Approx(end));
    CHECK(e["dur"].get<double>() == doctest::Approx(run.profile.launches[i] * 1e6));
    end = e["ts"].get<double>() + e["dur"].get<double>();
  }
  CHECK(end == doctest::Approx(run.profile.sum * 1e6));
  CHECK(events[1]["args"]["shapes"][0] == "(4,28,28,1) u8");
}

TEST_CASE("profile: the part of a ceiling is of the bytes or of the arithmetic") {
  const Ceiling c{100, 1000};
  CHECK(c.fraction(50, 100, 1) == doctest::Approx(0.5));
  CHECK(c.fraction(50, 800, 2) == doctest::Approx(0.4));
  CHECK(c.fraction(50, 100, 0) == 0);
  const Ceiling measured = measure_ceiling(Device::cpu, DType::f32);
  CHECK(measured.bytes > 1e8);
  CHECK(measured.flops > 1e8);
}

TEST_CASE("profile: the command") {
  const Scratch in;
  const Words words{"train", "gan", "--data", "digits", "--batch", "8", "--profile", "3"};
  const auto with = [&](const Words& more) {
    Words w = words;
    w.insert(w.end(), more.begin(), more.end());
    return w;
  };
  auto before = contents(in.path);
  const Outcome o = duel_run(in, words);
  INFO(o.out, o.err);
  CHECK(o.status == 0);
  for (const char* part : {"gan on digits: images 28x28x1, batch 8, on ", "medians of 3 iterations", "matmul",
                           "bias_leaky_relu", "all launches", "100.0 %", "one iteration, replayed", "trace.json"})
    CHECK_MESSAGE(o.out.find(part) != o.out.npos, part);
  auto after = contents(in.path);
  const auto trace = nlohmann::json::parse(after.at((in.path / "trace.json").string()));
  CHECK(trace["traceEvents"].size() > 50);
  after.erase((in.path / "trace.json").string());
  CHECK((after == before));
  check_refused(in, words, "trace.json: is there already; remove it or choose another --out");

  // A run's folder gets the trace; the run stays as it is and goes on to the bytes that it would have reached.
  train_well(in, training("gan", "a", {"--steps", "2", "--threads", "1"}));
  train_well(in, training("gan", "whole", {"--steps", "4", "--threads", "1"}));
  before = contents(in.path);
  train_well(in, training("gan", "a", {"--profile", "2", "--threads", "1"}));
  after = contents(in.path);
  CHECK(after.erase((in.path / "a/trace.json").string()) == 1);
  CHECK((after == before));
  train_well(in, {"train", "gan", "--out", "a", "--resume", "--steps", "4"});
  CHECK((checkpoint(in, "a") == checkpoint(in, "whole")));
  const Outcome on_host = duel_run(in, training("gan", "b/", {"--profile", "1", "--device", "cuda-host"}));
  CHECK(on_host.status == 0);
  CHECK(on_host.out.find("GFLOP/s") == on_host.out.npos);
  CHECK(fs::exists(in.path / "b/trace.json"));

  for (const char* bad : {"0", "1001", "1.5", "x", ""})
    check_refused(in, training("gan", "x", {"--profile", bad}),
                  fmt::format("--profile: found '{}', expected a whole number from 1 to 1000", bad));
  CHECK(duel_run(in, {"train", "gan", "--help"}).out.find("--profile N ") != std::string::npos);
  check_refused(in, training("gan", "x", {"--profile"}), "--profile: expected a value");
  check_refused(in, with({"--out", "a", "--resume"}), "--profile: leave out --resume");
  check_refused(in, with({"--out", "x", "--dry-run"}), "--profile: leave out --dry-run");
  check_refused(in, with({"--out", "text"}), "--out text: found a file, expected a folder");
  check_refused(in, with({"--out", "nowhere/x"}), "--out nowhere/x: nowhere is no folder");
}
