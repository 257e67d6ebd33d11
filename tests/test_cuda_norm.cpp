// The normalisation kernels of a GPU against the CPU in f64: shapes at the edges of packs, tiles
// and pieces, numbers far from 0, empty tensors.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "kernels/norm.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using kernels::NormShape;
using kernels::View;
using Values = std::vector<double>;

View view(const Tensor& t) { return t ? t.view() : View{}; }

// What the four kernels make of one input, on one device.
struct Results {
  Values mean, rstd, y, dx, dgamma, dbeta, dx_alone, running_mean, running_var;
};
struct Inputs {
  NormShape shape;
  double slope = 1;
  bool affine = true;
  Values x, dy, gamma, beta;
};
constexpr double eps = 1e-5;

Values rounded(Values v, DType t) {
  for (double& e : v) e = t == DType::bf16 ? static_cast<double>(bf16(e)) : static_cast<double>(static_cast<float>(e));
  return v;
}
Values normals(std::int64_t n, std::mt19937& random, double mean, double deviation) {
  std::normal_distribution<double> normal(mean, deviation);
  Values v(static_cast<std::size_t>(n));
  for (double& e : v) e = normal(random);
  return v;
}
Inputs inputs(const NormShape& s, double slope, bool affine, DType t, double mean = 0.5) {
  std::mt19937 random(7);
  const std::int64_t n = s.b * s.s * s.channels();
  auto draw = [&](std::int64_t size, double m) { return rounded(normals(size, random, m, 1), t); };
  return {s, slope, affine, draw(n, mean), draw(n, 0.25), draw(s.channels(), 1), draw(s.channels(), 0)};
}

// y comes from outside for the gradient, so that both devices see the same side of the activation. `forward_y`: null
// for the device's own.
Results compute(const Inputs& in, Device device, DType t, const Values* forward_y = nullptr) {
  const DeviceScope scope(device);
  const NormShape& s = in.shape;
  const DType st = kernels::statistics_type(t);
  const Shape full{s.b, s.s, s.channels()}, channel{s.channels()}, group{s.b, s.g};
  auto kernel = [&](const auto& k, auto... args) { k.on(device)(args...); };
  auto scratch_of = [&](std::int64_t n) { return n ? empty({n}, st) : Tensor{}; };
  const Tensor x = from_vector(full, in.x, t), dy = from_vector(full, in.dy, t);
  const Tensor gamma = in.affine ? from_vector(channel, in.gamma, t) : Tensor{};
  const Tensor beta = in.affine ? from_vector(channel, in.beta, t) : Tensor{};
  const Tensor mean = empty(group, st), rstd = empty(group, st), y = empty(full, t);
  Results r;
  const Tensor scratch = scratch_of(kernels::norm_statistics_scratch(device, s));
  kernel(kernels::norm_statistics, s, eps, x.view(), mean.view(), rstd.view(), view(scratch));
  kernel(kernels::norm_apply, s, in.slope, x.view(), mean.view(), rstd.view(), view(gamma), view(beta), y.view());
  r.mean = mean.to_vector<double>();
  r.rstd = rstd.to_vector<double>();
  r.y = y.to_vector<double>();

  const Tensor side = forward_y ? from_vector(full, *forward_y, t) : y;
  auto gradient = [&](const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) {
    const Tensor work = scratch_of(kernels::norm_grad_scratch(device, s));
    kernel(kernels::norm_grad, s, in.slope, x.view(), mean.view(), rstd.view(), view(gamma),
           in.slope == 1 ? View{} : side.view(), dy.view(), view(work), view(dx), view(dgamma), view(dbeta));
    if (work && s.s > 0) CHECK(std::isfinite(max_difference(work.to_vector<double>(), work.to_vector<double>())));
  };
  const Tensor dx = empty(full, t), dx_alone = empty(full, t), dgamma = empty(channel, t), dbeta = empty(channel, t);
  gradient(dx, dgamma, {});
  gradient({}, {}, dbeta);
  gradient(dx_alone, {}, {});
  r.dx = dx.to_vector<double>();
  r.dx_alone = dx_alone.to_vector<double>();
  r.dgamma = dgamma.to_vector<double>();
  r.dbeta = dbeta.to_vector<double>();
  if (s.b == 1 && s.k == 1) {
    const Tensor running_mean = from_vector(channel, Values(static_cast<std::size_t>(s.g), 0.5), st);
    const Tensor running_var = from_vector(channel, Values(static_cast<std::size_t>(s.g), 2.0), st);
    kernel(kernels::norm_running, s, eps, 0.1, mean.view(), rstd.view(), running_mean.view(), running_var.view(),
           View{});
    r.running_mean = running_mean.to_vector<double>();
    r.running_var = running_var.to_vector<double>();
  }
  return r;
}

struct Worst {
  double statistics = 0, results = 0;
};
void compare(Device device, const Inputs& in, DType t, Worst& worst) {
  const Results r = compute(in, device, t);
  const Results e = compute(in, Device::cpu, DType::f64, &r.y);
  for (const auto& [a, b] : {std::pair{&r.mean, &e.mean}, {&r.rstd, &e.rstd}})
    worst.statistics = std::max(worst.statistics, error_as_stored(*a, *b, DType::f32));
  if (!r.running_var.empty())
    for (const auto& [a, b] : {std::pair{&r.running_mean, &e.running_mean}, {&r.running_var, &e.running_var}})
      worst.statistics = std::max(worst.statistics, error_as_stored(*a, *b, DType::f32));
  for (const auto& [a, b] : {std::pair{&r.y, &e.y}, {&r.dx, &e.dx}, {&r.dgamma, &e.dgamma}, {&r.dbeta, &e.dbeta}})
    worst.results = std::max(worst.results, error_as_stored(*a, *b, t));
  CHECK(r.dx == r.dx_alone);
}

const NormShape shapes[] = {
    {1, 2, 1, 1},    {1, 3, 3, 1},    {1, 64, 4, 1},   {1, 65, 8, 1},   {1, 1000, 16, 1},
    {1, 131, 70, 1}, {1, 4097, 3, 1}, {1, 513, 64, 1}, {1, 96, 520, 1}, {1, 200, 33, 1},   // batch norm
    {3, 5, 7, 1},    {2, 129, 40, 1}, {5, 64, 8, 1},   {70, 3, 96, 1},  {1100, 7, 8, 1},   // instance norm
    {3, 70, 2, 3},   {2, 129, 4, 8},  {2, 65, 3, 4},   {40, 4, 2, 32},                     // group norm
    {4, 6, 1, 30},   {5, 1, 1, 257},  {2, 130, 1, 64}, {3, 1, 1, 1024}, {1, 300, 1, 20}};  // layer norm

void check_shapes(Device device, DType t, on_host::Order order, double statistics, double results) {
  const OrderScope scope(order);
  Worst worst;
  int rows = 0;
  for (const NormShape& s : shapes)
    for (const double slope : {1.0, 0.2}) {
      INFO(s.b << "," << s.s << "," << s.g << "," << s.k << " slope " << slope);
      Worst here;
      compare(device, inputs(s, slope, slope != 1 || s.s % 2 == 0, t), t, here);
      CHECK(here.statistics <= statistics);
      CHECK(here.results <= results);
      worst = {std::max(worst.statistics, here.statistics), std::max(worst.results, here.results)};
      ++rows;
    }
  std::printf("%s: norm in %s: %d rows, worst error %.2g of statistics, %.2g of results\n", name_of(device),
              to_string(t).c_str(), rows, worst.statistics, worst.results);
}

}  // namespace

GPU_TEST("norm, shapes in f32") { check_shapes(device, DType::f32, on_host::Order::shuffled, 2e-6, 1e-5); }
GPU_TEST("norm, shapes in bf16") { check_shapes(device, DType::bf16, on_host::Order::unfair, 2e-6, 1e-5); }

GPU_TEST("norm, a mean far from 0") {
  for (const NormShape& s : {NormShape{1, 5000, 4, 1}, {1, 100, 5, 1}, {2, 700, 2, 6}}) {
    Inputs in = inputs(s, 1, true, DType::f32, 1000);
    in.x[0] = 3000;  // an outlier in the first place must not spoil it either
    in.x = rounded(in.x, DType::f32);
    const Results r = compute(in, device, DType::f32), e = compute(in, Device::cpu, DType::f64);
    for (std::size_t i = 0; i < r.rstd.size(); ++i) {
      const double var = 1 / (r.rstd[i] * r.rstd[i]) - eps, expected = 1 / (e.rstd[i] * e.rstd[i]) - eps;
      CHECK(std::abs(var - expected) < 1e-4 * expected);
      CHECK(std::abs(r.mean[i] - e.mean[i]) < 1e-3);
    }
  }
}

GPU_TEST("norm, empty tensors") {
  for (const NormShape& s : {NormShape{0, 4, 3, 1}, {1, 4, 0, 1}, {1, 0, 4, 1}, {2, 0, 2, 3}}) {
    const Results r = compute(inputs(s, 0.2, true, DType::f32), device, DType::f32);
    CHECK(r.dgamma == Values(static_cast<std::size_t>(s.channels()), 0.0));
    CHECK(r.dbeta == r.dgamma);
    CHECK(r.running_mean == Values(r.running_mean.size(), 0.5));  // there is no mean of nothing
  }
}

GPU_TEST("norm_running keeps its state once something was not finite") {
  const NormShape s{1, 10, 300, 1};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Values means(300, 1.0);
  means[299] = nan;
  const Tensor mean = from_vector({300}, means, DType::f32), rstd = full({300}, 0.5, DType::f32);
  for (const std::int32_t finite : {0, 1}) {
    const Tensor flag = from_vector({1}, Values{static_cast<double>(finite)}, DType::i32);
    const Tensor running_mean = from_vector({300}, Values(300, 3.0), DType::f32);
    const Tensor running_var = from_vector({300}, Values(300, 5.0), DType::f32);
    kernels::norm_running.on(device)(s, 0, 0.25, mean.view(), rstd.view(), running_mean.view(), running_var.view(),
                                     flag.view());
    const Values m = running_mean.to_vector<double>(), v = running_var.to_vector<double>();
    CHECK(m[0] == doctest::Approx(finite ? 2.5 : 3.0));
    CHECK(v[0] == doctest::Approx(finite ? 5 * 0.75 + 0.25 * 4 * 10 / 9 : 5.0));
    CHECK(m[299] == 3.0);
    CHECK(v[299] == 5.0);
  }
}

TEST_CASE("cuda_host: norm, the pieces cover S") {
  for (const std::int64_t b : {1, 7, 2000})
    for (const std::int64_t c : {1, 3, 32, 100, 1024})
      for (const std::int64_t positions : {0, 1, 63, 64, 65, 1000, 262144, 1000003}) {
        const NormShape s{b, positions, c, 1};
        const std::int64_t pieces = kernels::norm_pieces(s), piece = kernels::norm_piece(s);
        CHECK(pieces * piece >= positions);
        CHECK((pieces - 1) * piece < std::max<std::int64_t>(positions, 1));
        CHECK(b * ((c + 31) / 32) * pieces <= std::max<std::int64_t>(1024, b * ((c + 31) / 32)));
      }
}

}  // namespace duel::test
