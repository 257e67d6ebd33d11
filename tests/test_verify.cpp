// duel verify: every device computes a model's iteration as the reference does, and a wrong result is named.
#include <doctest/doctest.h>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/hook.h"
#include "engine/launch.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "tests/program.h"
#include "tools/verification.h"

using namespace duel;
using namespace duel::test;

namespace {

std::vector<Device> every_device() {
  std::vector<Device> devices{Device::cpu, Device::cuda_host};
  if (missing(Device::cuda).empty()) devices.push_back(Device::cuda);
  return devices;
}

Verification verified(const ModelInfo& info, const std::vector<Device>& devices,
                      std::map<std::string, std::string> given = {}) {
  if (info.name != "gan" && !info.settings.empty()) given.insert({{"width", "4"}, {"z-dim", "8"}, {"n-critic", "2"}});
  Dataset data(make_glyphs(40, 3), 4);
  return verify_model(info, Settings(info.settings, given), data, 4, 7, devices);
}

std::size_t nets_of(const ModelInfo& info) {
  return info.make({28, 28, 1, info.labels == Labels::unused ? 0 : 10}, Settings(info.settings, {}))->parts().size();
}

// Adds `by` to the first number of a view of every launch that `wanted` picks, on one device and in f32.
struct Planted {
  using Pick = std::function<const kernels::View*(const Launch&)>;
  HookScope<LaunchHook> scope;
  Planted(Device device, float by, Pick pick)
      : scope(launch_hook(), [device, by, pick](const Launch& l) {
          const kernels::View* v = l.device == device ? pick(l) : nullptr;
          if (!v || v->dtype != DType::f32) return;
          float value = 0;
          driver(device).copy_out(&value, v->data, sizeof value);
          value += by;
          driver(device).copy_in(v->data, &value, sizeof value);
        }) {}
};
Planted::Pick result_of(const std::string& op) {
  return [op](const Launch& l) { return l.op == op ? &l.views.back() : nullptr; };
}

// y = w x with a loss that may ask for another op where it is not the reference that computes.
class Line : public Model {
 public:
  enum class Fault { none, other_op, one_more, one_less, other_gradient };
  explicit Line(Fault fault) : fault_(fault), w_(normal({3})), opt_({{"w", w_, Kind::parameter}}, {}) {}
  Metrics step(std::span<const Batch> batches) override {
    const bool wrong = default_float() == DType::f32;
    const Fault fault = wrong ? fault_ : Fault::none;
    Tensor y = w_ * mean(batches[0].images);
    if (fault != Fault::one_less) y = y * 2.0;
    Tensor loss = fault == Fault::other_op ? sum(abs(y)) : sum(square(y));
    if (fault == Fault::one_more) loss = loss + 1.0;
    std::vector<Tensor> g = grad(loss, {w_});
    if (fault == Fault::other_gradient) g[0] = Tensor();
    opt_.step(g);
    return {{"loss", loss}};
  }
  Tensor noise(std::int64_t n) const override { return normal({n, 1}); }
  Tensor sample(const Tensor& z) override { return z; }
  State state() const override {
    State s{{"line.w", w_}};
    opt_.collect("opt_line.", s);
    return s;
  }
  std::vector<Part> parts() const override { return {}; }

 private:
  Fault fault_;
  Tensor w_;
  Sgd opt_;
};
ModelInfo line(Line::Fault fault) {
  return {"line", "", "", 4, {}, [fault](const DataShape&, const Settings&) { return std::make_unique<Line>(fault); }};
}

}  // namespace

TEST_CASE("verify: every model is right on every device") {
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    const Verification v = verified(info, every_device());
    CHECK(what_is_wrong(v) == "");
    CHECK(v.ops.size() > 10);
    CHECK(v.losses.size() >= 4);
    CHECK(v.state.size() == nets_of(info) + 3);  // the average, two optimizers
    // f32 is not f64: some error there must be, or nothing was compared.
    for (std::size_t d = 0; d < v.devices.size(); ++d)
      for (const auto* rows : {&v.ops, &v.gradients, &v.state})
        CHECK(std::any_of(rows->begin(), rows->end(), [&](const VerifiedRow& r) { return r.errors[d] > 1e-9; }));
    CHECK(std::is_sorted(v.ops.begin(), v.ops.end(),
                         [](const VerifiedRow& a, const VerifiedRow& b) { return a.worst() > b.worst(); }));
  }
  // The norm of the slope is a second order.
  const Verification v = verified(find_model("wgan-gp"), {Device::cpu});
  std::map<std::string, std::int64_t> counts;
  for (const VerifiedRow& r : v.ops) counts[r.name] = r.count;
  CHECK(counts["norm_per_sample"] == 2);
  for (const VerifiedRow& r : v.gradients) CHECK(r.count == (r.name.starts_with("D.") ? 2 : 1));
}

TEST_CASE("verify: a growing model is compared while its last level fades in") {
  const Verification v = verified(find_model("wgan-gp"), every_device(), {{"grow", "8"}});
  CHECK(what_is_wrong(v) == "");
  std::map<std::string, std::int64_t> counts;
  for (const VerifiedRow& r : v.gradients)
    for (const double e : r.errors) counts[r.name] += e > 0;
  for (const char* used : {"G.0.image2.0.weight", "G.0.image1.0.weight", "D.0.image2.0.weight", "D.0.image1.0.weight"})
    CHECK_MESSAGE(counts[used] > 0, used);
  CHECK(counts["G.0.image0.0.weight"] == 0);
}

TEST_CASE("verify: a wrong result is found by the name of its op") {
  for (Device device : {Device::cpu, Device::cuda_host}) {
    INFO(name_of(device));
    for (const char* op : {"matmul", "leaky_relu_grad", "softplus"}) {
      const Planted planted(device, 1.0f, result_of(op));
      const Verification v = verified(find_model("gan"), {Device::cpu, Device::cuda_host});
      CHECK(v.ops[0].name == op);
      CHECK(what_is_wrong(v).starts_with(fmt::format("op {} on {}: error ", op, name_of(device))));
      for (std::size_t i = 1; i < v.ops.size(); ++i) CHECK(v.ops[i].worst() < op_tolerance);
      for (const VerifiedRow& r : v.ops) CHECK(r.errors[device == Device::cpu ? 1 : 0] < op_tolerance);
    }
  }
  const Planted second_order(Device::cpu, 0.01f, result_of("inverse_or_zero"));
  CHECK(what_is_wrong(verified(find_model("wgan-gp"), {Device::cpu})).starts_with("op inverse_or_zero on cpu"));
}

TEST_CASE("verify: not a number is an error, rounding is none") {
  {
    const Planted planted(Device::cpu, std::numeric_limits<float>::quiet_NaN(), result_of("tanh_grad"));
    CHECK(what_is_wrong(verified(find_model("gan"), {Device::cpu})).starts_with("op tanh_grad on cpu: error inf"));
  }
  const Planted planted(Device::cpu, 1e-6f, result_of("bias_tanh"));
  CHECK(what_is_wrong(verified(find_model("gan"), {Device::cpu})) == "");
}

TEST_CASE("verify: what no op answers is found in the state") {
  const Planted planted(Device::cpu, 0.1f, [](const Launch& l) {
    return std::string(l.kernel) == "norm_running" ? &l.views[2] : nullptr;  // the running mean
  });
  const Verification v = verified(find_model("dcgan"), {Device::cpu});
  CHECK(what_is_wrong(v).starts_with("state "));
  for (const VerifiedRow& r : v.ops) CHECK(r.worst() < op_tolerance);
}

TEST_CASE("verify: what is wrong in the whole only") {
  // The image's first pixel: no op made it, but every loss and gradient hangs on it.
  const Planted planted(Device::cpu, 20, result_of("images"));
  const Verification v = verified(line(Line::Fault::none), {Device::cpu});
  CHECK(std::any_of(v.gradients.begin(), v.gradients.end(), [](const auto& r) { return r.worst() > whole_tolerance; }));
  CHECK(v.losses[0].worst() > whole_tolerance);
}

TEST_CASE("verify: devices that compute other things") {
  const auto refused = [](Line::Fault fault) {
    try {
      verified(line(fault), {Device::cpu});
    } catch (const Error& e) {
      return std::string("a bad input: ") + e.what();
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(refused(Line::Fault::none) == "");
  CHECK(refused(Line::Fault::other_op).find("is abs (3) on cpu, but square (3) in the reference") != std::string::npos);
  CHECK(refused(Line::Fault::one_less).find("is square (3) on cpu, but affine (3)") != std::string::npos);
  CHECK(refused(Line::Fault::one_more).find("on cpu") != std::string::npos);
  CHECK(refused(Line::Fault::other_gradient) == "update 1 on cpu has 0 numbers for w, but in the reference 3 for w");
}

TEST_CASE("verify: the type of new tensors is a scope's") {
  CHECK(zeros({2}).dtype() == DType::f32);
  {
    const FloatScope in_f64(DType::f64);
    CHECK(normal({2}).dtype() == DType::f64);
    CHECK(zeros({2}, DType::f32).dtype() == DType::f32);
    Net net;
    net.linear(3, 2).batch_norm(2);
    for (const NamedTensor& t : net.state()) CHECK(t.value.dtype() == DType::f64);
    CHECK(net(uniform({4, 3})).dtype() == DType::f64);
  }
  CHECK(uniform({2}).dtype() == DType::f32);
  CHECK_THROWS_AS(FloatScope(DType::i32), Error);
  CHECK_THROWS_AS(FloatScope(DType::bf16), Error);
  CHECK(default_float() == DType::f32);
}

TEST_CASE("verify: the command") {
  const Scratch in;
  const auto before = contents(in.path);
  const Outcome o = duel_run(in, {"verify", "wgan-gp", "--data", "digits", "--width", "4", "--n-critic", "1"});
  INFO(o.out, o.err);
  CHECK(o.status == 0);
  for (const char* part : {"wgan-gp on digits: images 28x28x1, batch 4, seed 1", "conv2d_weight", "D.0.weight",
                           "loss_penalty", "cpu f32", "cuda-host f32", "more are closer; --all shows them", "right: "})
    CHECK_MESSAGE(o.out.find(part) != o.out.npos, part);
  if (const std::string why = missing(Device::cuda); !why.empty())
    CHECK(o.out.find("cuda: not run: " + why) != o.out.npos);
  const Outcome one = duel_run(in, {"verify", "gan", "--device", "cpu", "--all", "--size", "14", "--batch", "2"});
  CHECK(one.status == 0);
  CHECK(one.out.find("cuda") == one.out.npos);
  CHECK(one.out.find("images 14x14x1, batch 2") != one.out.npos);
  CHECK(duel_run(in, {"verify", "gan", "--help"}).out.find("(1 to 65536, default 4)") != std::string::npos);
  CHECK((contents(in.path) == before));

  check_refused(in, {"verify"}, "expected a model: gan, dcgan");
  check_refused(in, {"verify", "gna"}, "model 'gna' is unknown, expected one of: gan, dcgan, ");
  check_refused(in, {"verify", "gan", "--steps", "3"}, "option '--steps' is unknown");
  check_refused(in, {"verify", "gan", "--batch", "0"}, "--batch: found '0', expected a whole number from 1");
  check_refused(in, {"verify", "gan", "--data", "digits", "--batch", "97"}, "--batch: found 97, expected at most 96");
  check_refused(in, {"verify", "gan", "--data", "missing"}, "missing");
  check_refused(in, {"verify", "gan", "--device", "auto"},
                "--device: found 'auto', expected one of: all, cpu, cuda-host");
  check_refused(in, {"verify", "dcgan", "--size", "30"}, "expected 28, 32, 64 or 128");
  if (!missing(Device::cuda).empty())
    check_refused(in, {"verify", "gan", "--device", "cuda"}, "device cuda: " + missing(Device::cuda));
}
