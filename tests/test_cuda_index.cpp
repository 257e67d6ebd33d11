// The CUDA kernels of index, resize and random against those of the CPU.
#include <doctest/doctest.h>

#include "kernels/index.h"
#include "kernels/random.h"
#include "kernels/resize.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

std::vector<double> zeros_of(const Shape& s) { return std::vector<double>(static_cast<std::size_t>(s.size())); }

// What the CPU made in f32, stored in the type that the device has.
double error_as_stored(const Pair& p) {
  auto expected = p.cpu.to_vector<double>();
  if (p.gpu.dtype() == DType::bf16)
    for (double& v : expected) v = static_cast<double>(bf16(v));
  return max_difference(p.gpu.to_vector<double>(), expected) / (1 + max_abs(expected));
}

// `count` places in [-1, rows], by a fixed rule; `spread` says how far apart equal ones lie.
std::vector<double> places(std::int64_t count, std::int64_t rows, std::int64_t spread) {
  std::vector<double> v;
  for (std::int64_t m = 0; m < count; ++m) v.push_back(static_cast<double>(m / spread * 7919 % (rows + 2) - 1));
  return v;
}

DType on_cpu(DType t) { return t == DType::bf16 ? DType::f32 : t; }

}  // namespace

GPU_TEST("rows gathered, of all widths of words") {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64})
    for (std::int64_t length : {1, 2, 3, 4, 8, 20})
      for (std::int64_t count : {0, 1, 31, 1000}) {
        INFO(to_string(dtype) << " " << length << " " << count);
        const std::int64_t rows = 13;
        std::vector<double> values = coarse(rows * length, 3);
        for (double& v : values) v = std::round(16 * v);
        const Pair x({rows, length}, values, on_cpu(dtype), dtype), index({count}, places(count, rows, 1), DType::i32),
            y({count, length}, zeros_of({count, length}), on_cpu(dtype), dtype);
        kernels::cpu::gather_rows(rows, length, x.cpu.view(), index.cpu.view(), y.cpu.view());
        kernels::gather_rows.on(device)(rows, length, x.gpu.view(), index.gpu.view(), y.gpu.view());
        CHECK(y.error() == 0);
      }
  // More than one pass of the grid.
  const std::int64_t count = 8192 * 256 + 77, rows = 5000;
  const Pair x({rows}, coarse(rows, 4), DType::f32), index({count}, places(count, rows, 3), DType::i32),
      y({count}, zeros_of({count}), DType::f32);
  kernels::cpu::gather_rows(rows, 1, x.cpu.view(), index.cpu.view(), y.cpu.view());
  kernels::gather_rows.on(device)(rows, 1, x.gpu.view(), index.gpu.view(), y.gpu.view());
  CHECK(y.error() == 0);
}

GPU_TEST("rows scattered in the order of the index, to the last bit") {
  struct Case {
    std::int64_t rows, length, count, spread;
  };
  const Case cases[] = {{1, 1, 1, 1},      {1, 1, 0, 1},      {7, 3, 0, 1},         {3, 1, 1000, 1},
                        {5, 4, 33, 1},     {5, 300, 40, 9},   {1000, 2, 999, 1},    {1000, 1, 5000, 3},
                        {40, 1, 70000, 1}, {40, 3, 33000, 2}, {50000, 1, 40000, 1}, {8192 * 256 + 9, 1, 40000, 2},
                        {0, 3, 4, 1},      {600, 257, 300, 1}};
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : cases) {
      INFO(to_string(dtype) << " " << c.rows << " rows of " << c.length << " from " << c.count);
      const Pair y({c.count, c.length}, coarse(c.count * c.length, 5), DType::f32, dtype),
          index({c.count}, places(c.count, c.rows, c.spread), DType::i32);
      const Shape shape{c.rows, c.length};
      const auto check = [&] {
        const Pair x(shape, std::vector<double>(static_cast<std::size_t>(shape.size()), 9), DType::f32, dtype);
        kernels::cpu::scatter_rows(c.rows, c.length, y.cpu.view(), index.cpu.view(), x.cpu.view());
        kernels::scatter_rows.on(device)(c.rows, c.length, y.gpu.view(), index.gpu.view(), x.gpu.view());
        CHECK(error_as_stored(x) == 0);
      };
      if (c.rows <= 1000)
        in_every_order(check);
      else
        check();
    }
}

GPU_TEST("one-hot codes") {
  for (DType dtype : {DType::f32, DType::bf16})
    for (std::int64_t classes : {0, 1, 10, 257})
      for (std::int64_t count : {0, 1, 300}) {
        const Pair index({count}, places(count, classes, 1), DType::i32),
            y({count, classes}, zeros_of({count, classes}), DType::f32, dtype);
        kernels::cpu::one_hot(index.cpu.view(), y.cpu.view());
        kernels::one_hot.on(device)(index.gpu.view(), y.gpu.view());
        CHECK(y.error() == 0);
      }
}

GPU_TEST("the places of maxima, the first of equal ones") {
  struct Case {
    Shape x;
    std::int64_t size;
  };
  const Case cases[] = {{{1, 1, 1, 1}, 1}, {{2, 7, 5, 3}, 2},  {{1, 9, 9, 1}, 3},
                        {{0, 4, 4, 2}, 2}, {{3, 6, 6, 40}, 6}, {{2, 1030, 1030, 5}, 1}};
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : cases) {
      INFO(to_string(dtype) << " " << to_string(c.x) << " " << c.size);
      std::vector<double> values = coarse(c.x.size(), 6);
      for (double& v : values) v = std::round(2 * v);  // many equal ones
      const Pair x(c.x, values, DType::f32, dtype);
      const Shape shape{c.x[0], c.x[1] / c.size, c.x[2] / c.size, c.x[3]};
      const Pair index(shape, zeros_of(shape), DType::i32);
      kernels::cpu::max_pool_index(c.size, x.cpu.view(), index.cpu.view());
      kernels::max_pool_index.on(device)(c.size, x.gpu.view(), index.gpu.view());
      CHECK(index.error() == 0);
    }
}

GPU_TEST("reflection padding and its transpose") {
  struct Case {
    Shape x;
    std::int64_t p;
  };
  const Case cases[] = {{{1, 1, 1, 1}, 0},  {{2, 2, 3, 3}, 1}, {{2, 5, 4, 8}, 3},  {{1, 4, 9, 20}, 3},
                        {{1, 8, 8, 16}, 0}, {{0, 3, 3, 4}, 1}, {{3, 9, 2, 12}, 1}, {{1, 900, 900, 3}, 5}};
  double worst = 0;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : cases) {
      INFO(to_string(dtype) << " " << to_string(c.x) << " by " << c.p);
      const Shape s{c.x[0], c.x[1] + 2 * c.p, c.x[2] + 2 * c.p, c.x[3]};
      const Pair x(c.x, coarse(c.x.size(), 7), DType::f32, dtype), y(s, zeros_of(s), DType::f32, dtype);
      kernels::cpu::reflection_pad(c.p, false, x.cpu.view(), y.cpu.view());
      kernels::reflection_pad.on(device)(c.p, false, x.gpu.view(), y.gpu.view());
      CHECK(y.error() == 0);
      const Pair dy(s, coarse(s.size(), 8), DType::f32, dtype), dx(c.x, zeros_of(c.x), DType::f32, dtype);
      kernels::cpu::reflection_pad(c.p, true, dx.cpu.view(), dy.cpu.view());
      kernels::reflection_pad.on(device)(c.p, true, dx.gpu.view(), dy.gpu.view());
      CHECK(dx.error() < (dtype == DType::bf16 ? 4e-3 : 1e-6));
      worst = std::max(worst, error_as_stored(dx));
    }
  std::printf("%s: transposed reflection, worst error beside rounding %.2g\n", name_of(device), worst);
}

GPU_TEST("bilinear resampling and its transpose") {
  struct Case {
    Shape x;
    std::int64_t height, width;
  };
  const Case cases[] = {{{1, 1, 1, 1}, 1, 1},         {{1, 1, 1, 3}, 4, 7},        {{2, 5, 7, 3}, 9, 5},
                        {{1, 4, 4, 8}, 8, 8},         {{2, 8, 6, 16}, 4, 3},       {{1, 9, 11, 20}, 2, 1},
                        {{1, 3, 2, 4}, 31, 64},       {{3, 17, 13, 1}, 1, 40},     {{1, 64, 64, 3}, 21, 5},
                        {{1, 900, 900, 1}, 950, 870}, {{1, 300, 256, 3}, 299, 299}};
  double worst = 0;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : cases) {
      INFO(to_string(dtype) << " " << to_string(c.x) << " to " << c.height << " x " << c.width);
      const Shape s{c.x[0], c.height, c.width, c.x[3]};
      const double tolerance = dtype == DType::bf16 ? 4e-3 : 1e-6;
      const Pair x(c.x, coarse(c.x.size(), 9), DType::f32, dtype), y(s, zeros_of(s), DType::f32, dtype);
      kernels::cpu::bilinear(false, x.cpu.view(), y.cpu.view());
      kernels::bilinear.on(device)(false, x.gpu.view(), y.gpu.view());
      CHECK(y.error() < tolerance);
      const Pair dy(s, coarse(s.size(), 10), DType::f32, dtype), dx(c.x, zeros_of(c.x), DType::f32, dtype);
      kernels::cpu::bilinear(true, dx.cpu.view(), dy.cpu.view());
      kernels::bilinear.on(device)(true, dx.gpu.view(), dy.gpu.view());
      CHECK(dx.error() < tolerance);
      if (dtype == DType::f32) worst = std::max({worst, y.error(), dx.error()});
    }
  std::printf("%s: bilinear, worst error in f32 %.2g\n", name_of(device), worst);
}

GPU_TEST("random numbers are those of the CPU") {
  const Pair step({1}, {12345678901.0}, DType::i64);
  double worst = 0;
  for (DType dtype : {DType::f32, DType::bf16, DType::f64})
    for (std::int64_t n : {0, 1, 2, 3, 4, 5, 1023, 4099, dtype == DType::f32 ? 4 * 256 * 8192 + 6 : 7})
      for (kernels::Random f : {kernels::Random::uniform, kernels::Random::normal}) {
        INFO(to_string(dtype) << " " << n);
        const Pair y({n}, zeros_of({n}), on_cpu(dtype), dtype);
        kernels::cpu::random(f, 0x1234567890abcdef, 7, -0.3, 1.7, step.cpu.view(), y.cpu.view());
        kernels::random.on(device)(f, 0x1234567890abcdef, 7, -0.3, 1.7, step.gpu.view(), y.gpu.view());
        const double error = error_as_stored(y);
        CHECK(error <= (f == kernels::Random::uniform ? 0 : dtype == DType::bf16 ? 4e-3 : 1e-6));
        if (f == kernels::Random::normal && dtype != DType::bf16) worst = std::max(worst, error);
      }
  std::printf("%s: normal numbers, worst error %.2g\n", name_of(device), worst);
}

}  // namespace duel::test
