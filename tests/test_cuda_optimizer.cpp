// The optimizers' CUDA kernels against those of the CPU.
#include <doctest/doctest.h>

#include <limits>

#include "engine/net.h"
#include "engine/optim.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using kernels::TensorPack;

// Tensors of these sizes, `operands` each, on both devices; the last operand is not negative (second moments).
struct Packs {
  std::vector<std::vector<Pair>> at;  // [tensor][operand]
  TensorPack cpu, gpu;
  Packs(const std::vector<std::int64_t>& sizes, int operands) {
    cpu.count = gpu.count = static_cast<int>(sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      cpu.size[i] = gpu.size[i] = sizes[i];
      at.emplace_back();
      for (int k = 0; k < operands; ++k) {
        auto values = coarse(sizes[i], 100 * i + static_cast<std::uint64_t>(k));
        if (k == operands - 1 && k > 1)
          for (double& v : values) v = std::abs(v);
        at[i].emplace_back(Shape{sizes[i]}, values, DType::f32);
        cpu.at[k][i] = at[i].back().cpu.storage()->data;
        gpu.at[k][i] = at[i].back().gpu.storage()->data;
      }
    }
  }
  double error() const {
    double worst = 0;
    for (const auto& tensor : at)
      for (const Pair& p : tensor) worst = std::max(worst, p.error());
    return worst;
  }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all;
    for (const auto& tensor : at)
      for (const Pair& p : tensor) all.push_back(p.gpu.to_vector<double>());
    return all;
  }
};

struct State {
  Pair lr, t, scale, finite;
  explicit State(double is_finite = 1, double scaled = 0.75)
      : lr({1}, {0.01}, DType::f64),
        t({1}, {3}, DType::i64),
        scale({1}, {scaled}, DType::f64),
        finite({1}, {is_finite}, DType::i32) {}
  kernels::UpdateState cpu() const { return {lr.cpu.view(), t.cpu.view(), scale.cpu.view(), finite.cpu.view()}; }
  kernels::UpdateState gpu() const { return {lr.gpu.view(), t.gpu.view(), scale.gpu.view(), finite.gpu.view()}; }
};

// Pack sizes around the run of a thread (4), the chunk of a block (1024) and the grid (1024 chunks); empty ones too.
std::vector<std::vector<std::int64_t>> pack_sizes() {
  std::vector<std::vector<std::int64_t>> all{
      {1}, {0}, {0, 5, 0}, {3, 4, 5}, {1023, 1024, 1025, 2}, {1024 * 1024 + 7, 3, 4099}, {}};
  all.emplace_back();
  for (std::int64_t i = 0; i < TensorPack::capacity; ++i) all.back().push_back(i * i + (i % 3 == 0 ? 0 : 1000));
  return all;
}

const kernels::AdamConstants adam_constants{0.9, 0.99, 1e-8, 0.02, 0.05, 0.1};
const kernels::RmspropConstants rmsprop_constants{0.9, 1e-8, 0.02, 0.05};
kernels::SgdConstants sgd_constants(bool nesterov) { return {0.9, 0.02, 0.05, nesterov}; }

// f(operands, call) for every rule; call(device, pack, state) runs the kernel.
template <class F>
void for_rules(F f) {
  f("adam", 4,
    [](const auto& k, const TensorPack& p, const kernels::UpdateState& s) { k(kernels::adam)(adam_constants, s, p); });
  f("rmsprop", 3, [](const auto& k, const TensorPack& p, const kernels::UpdateState& s) {
    k(kernels::rmsprop)(rmsprop_constants, s, p);
  });
  f("adam, its beta2 from the device", 4, [](const auto& k, const TensorPack& p, kernels::UpdateState s) {
    s.beta2 = s.lr;
    k(kernels::adam)(adam_constants, s, p);
  });
  for (bool nesterov : {false, true})
    f("sgd", 3, [nesterov](const auto& k, const TensorPack& p, const kernels::UpdateState& s) {
      k(kernels::sgd)(sgd_constants(nesterov), s, p);
    });
  f("ema", 2, [](const auto& k, const TensorPack& p, const kernels::UpdateState& s) {
    k(kernels::ema)(0.999, {}, s.t, s.finite, p);
  });
  f("ema, its decay from the device", 2, [](const auto& k, const TensorPack& p, const kernels::UpdateState& s) {
    k(kernels::ema)(0.999, s.lr, s.t, s.finite, p);
  });
  f("clip", 1, [](const auto& k, const TensorPack& p, const kernels::UpdateState& s) {
    k(kernels::clip)(-0.3, 0.8, s.finite, p);
  });
}
const auto on_cpu = [](const auto& kernel) { return kernel.cpu; };
const auto on_gpu = [](const auto& kernel) { return kernel.on(default_device()); };

double square_norm(const Packs& packs, double before) {
  const Pair sum({1}, {before}, DType::f64),
      parts({kernels::square_norm_parts}, coarse(kernels::square_norm_parts, 1), DType::f64);
  kernels::cpu::add_square_norm(packs.cpu, sum.cpu.view(), parts.cpu.view());
  kernels::add_square_norm.on(default_device())(packs.gpu, sum.gpu.view(), parts.gpu.view());
  CHECK(sum.gpu.item() == doctest::Approx(sum.cpu.item()).epsilon(1e-12));
  return sum.gpu.item();
}

}  // namespace

GPU_TEST("updates of packs of all sizes, as on the CPU") {
  double worst = 0;
  for_rules([&](const char* name, int operands, auto call) {
    for (const auto& sizes : pack_sizes()) {
      INFO(name << ", " << sizes.size() << " tensors, the first of " << (sizes.empty() ? 0 : sizes[0]));
      Packs packs(sizes, operands);
      const State state;
      for (int repeat = 0; repeat < 2; ++repeat) {
        call(on_cpu, packs.cpu, state.cpu());
        call(on_gpu, packs.gpu, state.gpu());
      }
      const double error = packs.error();
      CHECK(error < 2e-6);
      worst = std::max(worst, error);
    }
  });
  std::printf("%s: updates, worst error %.2g\n", name_of(device), worst);
}

GPU_TEST("updates in every order of threads, and with an empty scale") {
  for_rules([&](const char* name, int operands, auto call) {
    INFO(name);
    in_every_order([&] {
      Packs packs({5, 2049, 1}, operands);
      const State state(1, 1);
      kernels::UpdateState gpu = state.gpu();
      gpu.scale = {};
      call(on_cpu, packs.cpu, state.cpu());
      call(on_gpu, packs.gpu, gpu);
      CHECK(packs.error() < 2e-6);
    });
  });
}

GPU_TEST("nothing is written while the gradients are not finite") {
  for_rules([&](const char* name, int operands, auto call) {
    INFO(name);
    Packs packs({5, 1030}, operands);
    const State state(0);
    const auto before = packs.values();
    call(on_gpu, packs.gpu, state.gpu());
    CHECK(packs.values() == before);
  });
  const State halted(0), running(1);
  for (const State* s : {&halted, &running}) kernels::count_up.on(device)(s->t.gpu.view(), s->finite.gpu.view());
  CHECK(halted.t.gpu.item() == 3);
  CHECK(running.t.gpu.item() == 4);
  kernels::count_up.on(device)(running.t.gpu.view(), {});
  CHECK(running.t.gpu.item() == 5);
}

GPU_TEST("bf16 copies of packs of all sizes, to the bit; none while the gradients are not finite") {
  const auto check = [&](const std::vector<std::int64_t>& sizes, double is_finite) {
    const State state(is_finite);
    Packs packs(sizes, 1);
    std::vector<Pair> copies;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      std::vector<double> values = coarse(sizes[i], i);
      for (double& v : values) v *= 1.0037;  // between two numbers of bf16
      packs.at[i][0] = Pair({sizes[i]}, values, DType::f32);
      copies.emplace_back(Shape{sizes[i]}, std::vector<double>(values.size(), 7), DType::bf16);
      packs.cpu.at[0][i] = packs.at[i][0].cpu.storage()->data;
      packs.gpu.at[0][i] = packs.at[i][0].gpu.storage()->data;
      packs.cpu.at[1][i] = copies[i].cpu.storage()->data;
      packs.gpu.at[1][i] = copies[i].gpu.storage()->data;
    }
    kernels::cpu::round_to_bf16(state.finite.cpu.view(), packs.cpu);
    kernels::round_to_bf16.on(device)(state.finite.gpu.view(), packs.gpu);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      INFO(sizes.size() << " tensors, number " << i << " of " << sizes[i]);
      std::vector<double> expected = packs.at[i][0].cpu.to_vector<double>();
      for (double& v : expected) v = is_finite != 0 ? static_cast<double>(bf16(v)) : 7;
      CHECK(copies[i].gpu.to_vector<double>() == expected);
      CHECK(copies[i].cpu.to_vector<double>() == expected);
    }
  };
  for (const auto& sizes : pack_sizes()) check(sizes, 1);
  in_every_order([&] { check({5, 2049, 1}, 1); });
  check({5, 1030}, 0);
}

GPU_TEST("the squares of a pack, the same in every order") {
  for (const auto& sizes : pack_sizes()) {
    INFO(sizes.size() << " tensors, the first of " << (sizes.empty() ? 0 : sizes[0]));
    const Packs packs(sizes, 1);
    CHECK(square_norm(packs, square_norm(packs, 0.25)) >= 0.25);
  }
  const Packs packs({4000, 3, 5000}, 1);
  std::vector<double> sums;
  in_every_order([&] { sums.push_back(square_norm(packs, 0.5)); });
  CHECK(sums == std::vector<double>(3, sums[0]));
  // Squares beyond the range of f32 are finite all the same.
  Packs large({3}, 1);
  large.at[0][0] = Pair({3}, {1e30, 1, 2}, DType::f32);
  large.cpu.at[0][0] = large.at[0][0].cpu.storage()->data;
  large.gpu.at[0][0] = large.at[0][0].gpu.storage()->data;
  CHECK(square_norm(large, 0) == doctest::Approx(1e60));
}

GPU_TEST("the gradient is judged as on the CPU") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (double squares : {0.0, 1.0, 25.0, 1e300, infinity, std::nan("")})
    for (double max_norm : {0.0, 1.0, 10.0})
      for (double finite : {0.0, 1.0}) {
        INFO(squares << " " << max_norm << " " << finite);
        const Pair sum({1}, {squares}, DType::f64), scale({1}, {-1}, DType::f64), flag({1}, {finite}, DType::i32);
        kernels::cpu::judge_gradient(max_norm, sum.cpu.view(), scale.cpu.view(), flag.cpu.view());
        kernels::judge_gradient.on(device)(max_norm, sum.gpu.view(), scale.gpu.view(), flag.gpu.view());
        CHECK(scale.gpu.item() == scale.cpu.item());
        CHECK(flag.gpu.item() == flag.cpu.item());
        CHECK(flag.gpu.item() == (std::isfinite(squares) ? finite : 0));
      }
}

GPU_TEST("packs of f64 are refused") {
  Packs packs({3}, 4);
  packs.gpu.dtype = DType::f64;
  const State state;
  CHECK_THROWS_AS(kernels::adam.on(device)(adam_constants, state.gpu(), packs.gpu), std::runtime_error);
  CHECK_THROWS_AS(kernels::add_square_norm.on(device)(packs.gpu, state.lr.gpu.view(), state.lr.gpu.view()),
                  std::runtime_error);
}

// 40 tensors are two packs; one gradient is empty. A value that is not finite stops this update and those that follow.
GPU_TEST("optimizers as on the CPU, and their halt") {
  const auto train = [](Device where, auto make) {
    const DeviceScope scope(where);
    Context context(1);
    const ContextScope here(context);
    duel::State state;
    std::vector<Tensor> gradients;
    for (int i = 0; i < 40; ++i) {
      const std::int64_t n = 17 * i + 1;
      state.push_back({std::to_string(i), from_vector({n}, coarse(n, static_cast<std::uint64_t>(i))), Kind::parameter});
      gradients.push_back(from_vector({n}, coarse(n, static_cast<std::uint64_t>(50 + i))));
    }
    gradients[5] = {};
    auto optimizer = make(state);
    for (int k = 0; k < 3; ++k) optimizer.step(gradients);
    gradients[20] = full({17 * 20 + 1}, std::numeric_limits<double>::infinity());
    optimizer.step(gradients);
    gradients[20] = full({17 * 20 + 1}, 1);
    optimizer.step(gradients);
    CHECK(context.finite.item() == 0);
    duel::State all = state;
    optimizer.collect("o.", all);
    std::vector<std::vector<double>> values;
    for (const NamedTensor& t : all) values.push_back(t.value.to_vector<double>());
    return values;
  };
  const auto compare = [&](auto make) {
    const auto expected = train(Device::cpu, make), found = train(device, make);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(max_difference(found[i], expected[i]) < 1e-5);
  };
  compare([](const duel::State& s) { return Adam(s, {.lr = 0.05, .common = {.max_norm = 1}}); });
  compare([](const duel::State& s) { return Rmsprop(s, {.lr = 0.01}); });
  compare([](const duel::State& s) { return Sgd(s, {.lr = 0.1, .momentum = 0.9}); });
}

}  // namespace duel::test
