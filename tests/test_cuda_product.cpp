// The tiled products of the CUDA kernels against the reference loops in f64: matrix products and
// the convolution triangle, in f32, tf32 and bf16, at shapes that fill, cross and miss the tiles.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kernels/conv.h"
#include "kernels/gpu/engines.h"
#include "kernels/matmul.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using kernels::ConvSlot;
using kernels::View;

struct Arithmetic {
  std::string name;
  DType dtype;
  bool tf32;
};
const Arithmetic arithmetics[] = {{"f32", DType::f32, false}, {"tf32", DType::f32, true}, {"bf16", DType::bf16, false}};

Tensor on(Device device, const std::vector<double>& v, DType dtype) {
  const DeviceScope scope(device);
  return from_vector({static_cast<std::int64_t>(v.size())}, v, dtype);
}
Tensor unwritten(Device device, std::int64_t n, DType dtype) {
  const DeviceScope scope(device);
  return full({n}, std::nan(""), dtype);
}

// The largest |mine - expected| in units of what rounding `terms` products and the result may make of it.
double excess(const std::vector<double>& mine, const std::vector<double>& expected, std::int64_t terms, DType dtype) {
  if (mine.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const double allowed = 2e-6 * std::sqrt(static_cast<double>(terms) + 1) + rounding(expected[i], dtype);
    const double e = std::abs(mine[i] - expected[i]) / allowed;
    if (!(e <= worst)) worst = std::isnan(e) ? std::numeric_limits<double>::infinity() : e;
  }
  return worst;
}

struct Tf32Scope {
  explicit Tf32Scope(bool on) { kernels::set_tf32(default_device(), on); }
  ~Tf32Scope() { kernels::set_tf32(default_device(), false); }
};

// Products of numbers that every one of the arithmetics holds exactly, so that only sums and results are rounded.
double check_matmul(const MatmulShape& s, const Arithmetic& arithmetic) {
  const Device device = default_device();
  const std::vector<double> a = coarse(s.batch * s.m * s.k, 1), b = coarse(s.batch * s.k * s.n, 2);
  Tensor wide = unwritten(Device::cpu, s.batch * s.m * s.n, DType::f64);
  kernels::cpu::matmul(s, on(Device::cpu, a, DType::f64).view(), on(Device::cpu, b, DType::f64).view(), wide.view());
  const Tf32Scope scope(arithmetic.tf32);
  Tensor x = on(device, a, arithmetic.dtype), y = on(device, b, arithmetic.dtype);
  Tensor c = unwritten(device, s.batch * s.m * s.n, arithmetic.dtype);
  kernels::matmul.on(device)(s, x.view(), y.view(), c.view());
  return excess(c.to_vector<double>(), wide.to_vector<double>(), s.k, arithmetic.dtype);
}

std::int64_t size_of_corner(ConvSlot slot, const ConvGeometry& g) {
  return slot == ConvSlot::x   ? g.n * g.xh * g.xw * g.c
         : slot == ConvSlot::w ? g.o * g.kh * g.kw * g.group_c()
                               : g.n * g.yh * g.yw * g.o;
}
double check_conv(ConvSlot slot, const ConvGeometry& g, const Arithmetic& arithmetic, bool workspace = true) {
  const Device device = default_device();
  const ConvSlot first = slot == ConvSlot::x ? ConvSlot::w : ConvSlot::x;
  const ConvSlot second = slot == ConvSlot::y ? ConvSlot::w : ConvSlot::y;
  const std::vector<double> a = coarse(size_of_corner(first, g), 1), b = coarse(size_of_corner(second, g), 2);
  const std::int64_t size = size_of_corner(slot, g);
  Tensor wide = unwritten(Device::cpu, size, DType::f64);
  kernels::cpu::conv(slot, g, on(Device::cpu, a, DType::f64).view(), on(Device::cpu, b, DType::f64).view(), wide.view(),
                     {});
  const Tf32Scope scope(arithmetic.tf32);
  Tensor p = on(device, a, arithmetic.dtype), q = on(device, b, arithmetic.dtype);
  Tensor out = unwritten(device, size, arithmetic.dtype), scratch;
  const std::size_t bytes = kernels::conv_workspace(device, slot, g, arithmetic.dtype);
  if (bytes && workspace) scratch = empty({static_cast<std::int64_t>(bytes)}, DType::u8);
  kernels::conv.on(device)(slot, g, p.view(), q.view(), out.view(), scratch ? scratch.view() : View{});
  const std::int64_t terms = slot == ConvSlot::w   ? g.n * g.yh * g.yw
                             : slot == ConvSlot::x ? g.kh * g.kw * g.group_o()
                                                   : g.kh * g.kw * g.group_c();
  return excess(out.to_vector<double>(), wide.to_vector<double>(), terms, arithmetic.dtype);
}

// The slot with bias, activation and statistics of the result; bias far from 0, where a careless variance cancels.
void check_finished(ConvSlot slot, const ConvGeometry& g, const kernels::ConvFinish& finish, const Arithmetic& type) {
  const Device device = default_device();
  const ConvSlot first = slot == ConvSlot::x ? ConvSlot::w : ConvSlot::x;
  const ConvSlot second = slot == ConvSlot::y ? ConvSlot::w : ConvSlot::y;
  const std::vector<double> a = coarse(size_of_corner(first, g), 1), b = coarse(size_of_corner(second, g), 2);
  const std::int64_t channels = slot == ConvSlot::x ? g.c : g.o, rows = size_of_corner(slot, g) / channels;
  std::vector<double> bias = coarse(channels, 3);
  for (double& v : bias) v += finish.tanh ? 0 : 30;
  const auto run = [&](Device where, DType dtype) {
    const DeviceScope scope(where);
    const DType wide = dtype == DType::bf16 ? DType::f32 : dtype;
    Tensor p = on(where, a, dtype), q = on(where, b, dtype), added = on(where, bias, dtype);
    Tensor out = full({rows, channels}, std::nan(""), dtype), scratch;
    Tensor mean = full({channels}, std::nan(""), wide), rstd = full({channels}, std::nan(""), wide);
    const auto bytes = static_cast<std::int64_t>(kernels::conv_workspace(where, slot, g, dtype, true));
    if (bytes > 0) scratch = empty({bytes}, DType::u8);
    kernels::conv_finished.on(where)(slot, g, finish, p.view(), q.view(), added.view(), out.view(), mean.view(),
                                     rstd.view(), scratch ? scratch.view() : View{});
    return std::array{out.to_vector<double>(), mean.to_vector<double>(), rstd.to_vector<double>()};
  };
  const auto expected = run(Device::cpu, DType::f64);
  const Tf32Scope scope(type.tf32);
  const auto mine = run(device, type.dtype);
  // In bf16 the sum may be rounded before the bias is added, and the result again.
  const double stored = type.dtype == DType::bf16 ? max_abs(expected[0]) / 128 : 0;
  CHECK(max_difference(mine[0], expected[0]) <= 4e-6 * (1 + max_abs(expected[0])) + stored);
  // The statistics are those of the result as it was stored.
  double worst_mean = 0, worst_rstd = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t r = 0; r < rows; ++r) sum += mine[0][static_cast<std::size_t>(r * channels + c)];
    for (std::int64_t r = 0; r < rows; ++r)
      squares += std::pow(mine[0][static_cast<std::size_t>(r * channels + c)] - sum / static_cast<double>(rows), 2);
    worst_mean = std::max(worst_mean, std::abs(mine[1][static_cast<std::size_t>(c)] - sum / static_cast<double>(rows)));
    worst_rstd = std::max(worst_rstd, std::abs(mine[2][static_cast<std::size_t>(c)] *
                                                   std::sqrt(squares / static_cast<double>(rows) + finish.eps) -
                                               1));
  }
  CHECK(worst_mean <= 4e-6 * (1 + max_abs(expected[0])));
  CHECK(worst_rstd <= 1e-4);
}

// All three corners in one arithmetic.
void check_triangle(const std::string& name, const ConvGeometry& g, const Arithmetic& arithmetic) {
  CAPTURE(name);
  CAPTURE(arithmetic.name);
  for (const ConvSlot slot : {ConvSlot::x, ConvSlot::w, ConvSlot::y}) {
    CAPTURE(static_cast<int>(slot));
    CHECK(check_conv(slot, g, arithmetic) <= 1);
  }
}

// A square kernel on a square map, padded alike on all sides.
ConvGeometry square_geometry(std::int64_t n, std::int64_t x, std::int64_t c, std::int64_t o, std::int64_t kernel,
                             std::int64_t stride, std::int64_t pad, std::int64_t groups = 1) {
  const std::int64_t y = (x + 2 * pad - kernel) / stride + 1;
  return {n, x, x, c, y, y, o, kernel, kernel, stride, stride, pad, pad, groups};
}

}  // namespace

GPU_TEST("matrix products at the edges of the tiles") {
  for (const auto& [m, n, k] : {std::array{1, 1, 1},
                                {1, 70, 9},
                                {65, 1, 40},
                                {64, 64, 32},
                                {63, 65, 33},
                                {5, 130, 8},
                                {72, 8, 100},
                                {30, 24, 300},
                                {3, 3, 2000},
                                {16, 16, 0},
                                {0, 3, 2},
                                {200, 4, 40}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const Arithmetic& a : arithmetics) {
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(k);
          CAPTURE(ta);
          CAPTURE(tb);
          CAPTURE(a.name);
          CHECK(check_matmul({1, m, n, k, ta, tb}, a) <= 1);
        }
  for (const Arithmetic& a : arithmetics) {
    CHECK(check_matmul({3, 24, 40, 56, false, true}, a) <= 1);
    CHECK(check_matmul({5, 7, 2, 9, true, false}, a) <= 1);
    CHECK(check_matmul({2, 9, 3, 1100, false, false}, a) <= 1);
    CHECK(check_matmul({1, 40, 36, 2100, false, false}, a) <= 1);
  }
}

GPU_TEST("matrix products of many large tiles") {
  const OrderScope order(on_host::Order::shuffled);
  for (const Arithmetic& a : arithmetics) {
    CAPTURE(a.name);
    CHECK(check_matmul({1, 1400, 1480, 40, false, false}, a) <= 1);
    CHECK(check_matmul({1, 1400, 1480, 40, false, true}, a) <= 1);
    CHECK(check_matmul({1, 1400, 1480, 40, true, false}, a) <= 1);
  }
}

GPU_TEST("the convolution triangle at GAN-like shapes") {
  const OrderScope order(on_host::Order::unfair);
  for (const Arithmetic& a : arithmetics) {
    check_triangle("k4 s2 p1", square_geometry(4, 14, 64, 128, 4, 2, 1), a);
    check_triangle("k3 s1 p1", square_geometry(2, 8, 32, 48, 3, 1, 1), a);
    check_triangle("k5 s2 p2, odd channels", square_geometry(2, 9, 11, 21, 5, 2, 2), a);
    check_triangle("k3 s2 p1, odd map", square_geometry(2, 11, 16, 16, 3, 2, 1), a);
    check_triangle("k2 s3, rows between taps", square_geometry(2, 10, 16, 24, 2, 3, 0), a);
    check_triangle("4 groups", square_geometry(2, 7, 32, 64, 3, 1, 1, 4), a);
    check_triangle("2 groups, odd, s2", square_geometry(2, 10, 6, 10, 4, 2, 1, 2), a);
    check_triangle("depthwise", square_geometry(1, 9, 24, 24, 3, 1, 1, 24), a);
    check_triangle("1x7, strides differ", {2, 6, 15, 16, 6, 8, 16, 1, 7, 1, 2, 0, 3, 1}, a);
    check_triangle("fewer rows of y than x holds", {2, 12, 12, 16, 3, 3, 16, 3, 3, 2, 2, 0, 0, 1}, a);
    check_triangle("padding wider than the kernel", square_geometry(2, 6, 16, 16, 2, 1, 3), a);
    check_triangle("stride beyond the map", {1, 3, 3, 8, 1, 1, 8, 2, 2, 5, 5, 0, 0, 1}, a);
  }
}

GPU_TEST("convolutions with few channels, and those that are matrix products") {
  const OrderScope order(on_host::Order::shuffled);
  for (const Arithmetic& a : arithmetics) {
    if (a.tf32) continue;  // the same kernels as f32
    check_triangle("c=3 k4 s2", square_geometry(3, 16, 3, 64, 4, 2, 1), a);
    check_triangle("c=1 k4 s2, odd", square_geometry(2, 13, 1, 33, 4, 2, 1), a);
    check_triangle("c=4 k3 s1", square_geometry(2, 9, 4, 40, 3, 1, 1), a);
    check_triangle("o=1 k4 s1 p1", square_geometry(2, 7, 72, 1, 4, 1, 1), a);
    check_triangle("o=3 k7 s1 p3", square_geometry(1, 9, 13, 3, 7, 1, 3), a);
    check_triangle("both few", square_geometry(2, 8, 2, 3, 3, 2, 1), a);
    check_triangle("c=3, too many taps for the few", square_geometry(1, 30, 3, 20, 25, 1, 12), a);
    check_triangle("1x1", square_geometry(3, 5, 24, 40, 1, 1, 0), a);
    check_triangle("4x4 to 1x1", square_geometry(5, 4, 32, 100, 4, 1, 0), a);
    check_triangle("4x4 to one number", square_geometry(5, 4, 32, 1, 4, 1, 0), a);
  }
}

GPU_TEST("convolutions without a workspace, and of nothing") {
  const ConvGeometry g = square_geometry(8, 12, 32, 32, 4, 2, 1);
  for (const ConvSlot slot : {ConvSlot::x, ConvSlot::w, ConvSlot::y}) {
    CHECK(kernels::conv_workspace(device, slot, g, DType::f32) > 0);
    CHECK(check_conv(slot, g, arithmetics[0], false) <= 1);
    ConvGeometry none = g;
    none.n = 0;
    CHECK(check_conv(slot, none, arithmetics[0]) <= 1);
    none = g;
    none.c = 0;
    CHECK(check_conv(slot, none, arithmetics[0]) <= 1);
  }
}

GPU_TEST("convolutions with bias, activation and statistics") {
  const OrderScope order(on_host::Order::shuffled);
  const kernels::ConvFinish none{1, false, 1e-5}, leaky{0.2, false, 1e-5}, tanh{1, true, 1e-5};
  for (const Arithmetic& a : arithmetics) {
    CAPTURE(a.name);
    // Few tiles of pixels, but many pieces of a batch norm.
    check_finished(ConvSlot::y, square_geometry(40, 16, 8, 128, 3, 1, 1), tanh, a);
    // Large tiles; on an odd map three of four phases have pixels that do not exist.
    check_finished(ConvSlot::x, {16, 31, 31, 72, 16, 16, 16, 3, 3, 2, 2, 1, 1, 1}, leaky, a);
    check_finished(ConvSlot::y, square_geometry(10, 42, 8, 136, 3, 1, 1), none, a);
    for (const ConvSlot slot : {ConvSlot::x, ConvSlot::y}) {
      CAPTURE(static_cast<int>(slot));
      check_finished(slot, square_geometry(3, 11, 16, 24, 3, 2, 1), none, a);
      check_finished(slot, square_geometry(3, 10, 11, 13, 4, 2, 1), leaky, a);    // elements one by one
      check_finished(slot, square_geometry(2, 9, 32, 48, 3, 1, 1, 2), leaky, a);  // groups
      check_finished(slot, square_geometry(2, 8, 64, 72, 4, 2, 1), none, a);      // split along k
      check_finished(slot, square_geometry(2, 8, 64, 72, 4, 2, 1), leaky, a);
      check_finished(slot, square_geometry(2, 8, 16, 16, 4, 2, 1), tanh, a);
      check_finished(slot, square_geometry(2, 3, 8, 8, 2, 3, 0), leaky, a);  // pixels that no tap meets
      if (a.tf32) continue;
      check_finished(slot, square_geometry(3, 16, 3, 40, 4, 2, 1), tanh, a);  // few channels
      check_finished(slot, square_geometry(2, 7, 33, 1, 3, 1, 1), leaky, a);
      check_finished(slot, square_geometry(3, 4, 16, 20, 4, 1, 0), leaky, a);  // matrix products
    }
  }
}

// Bias, activation and statistics follow another's sums as they follow our own.
TEST_CASE("cuda_host: convolutions of a library, with bias, activation and statistics") {
  const DeviceScope scope(Device::cuda_host);
  int runs = 0;
  const auto check = [&](ConvSlot slot, const ConvGeometry& g, const kernels::ConvFinish& finish) {
    const kernels::Engine library{"library", 300, true, [&](View a, View b, View out, View workspace) {
                                    CHECK(workspace.bytes() >= 300);
                                    const auto* before = std::exchange(kernels::cuda_host::stand_in(), nullptr);
                                    kernels::cuda_host::conv(slot, g, a, b, out, {});
                                    kernels::cuda_host::stand_in() = before;
                                    ++runs;
                                  }};
    kernels::cuda_host::stand_in() = &library;
    for (const Arithmetic& a : arithmetics)
      if (!a.tf32) check_finished(slot, g, finish, a);
    kernels::cuda_host::stand_in() = nullptr;
  };
  for (const ConvSlot slot : {ConvSlot::x, ConvSlot::y}) {
    CAPTURE(static_cast<int>(slot));
    check(slot, square_geometry(3, 11, 16, 24, 3, 2, 1), {1, false, 1e-5});
    check(slot, square_geometry(2, 8, 64, 72, 4, 2, 1), {0.2, false, 1e-5});
    check(slot, square_geometry(3, 16, 3, 40, 4, 2, 1), {1, true, 1e-5});
    CHECK(runs == (slot == ConvSlot::x ? 6 : 12));
    check(slot, square_geometry(3, 4, 16, 20, 4, 1, 0), {0.2, false, 1e-5});  // a matrix product
    CHECK(runs == (slot == ConvSlot::x ? 6 : 12));
  }
}

GPU_TEST("tf32 rounds its operands to 10 bits") {
  const Tf32Scope scope(true);
  const double value = 0.3;  // of those that go up
  Tensor a = on(device, std::vector<double>(32 * 32, value), DType::f32);
  Tensor c = unwritten(device, 32 * 32, DType::f32);
  kernels::matmul.on(device)({1, 32, 32, 32, false, true}, a.view(), a.view(), c.view());
  const double rounded = std::round(value * 4096) / 4096;  // it is in [2^-2, 2^-1): 10 bits are steps of 2^-12
  for (const double v : c.to_vector<double>()) CHECK(v == doctest::Approx(32 * rounded * rounded).epsilon(1e-6));
}

}  // namespace duel::test
