// The fast paths of the convolution triangle against the plain loops, shape by shape and slot by slot.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/conv.h"

using namespace duel;
using kernels::ConvSlot;
using kernels::View;

namespace {

struct Case {
  std::string name;
  ConvGeometry g;
};

// One axis: its size in x, kernel, stride and padding before and after.
struct Axis {
  std::int64_t x, k, s, before, after;
  std::int64_t y() const { return (x + before + after - k) / s + 1; }
};

ConvGeometry geometry(std::int64_t n, std::int64_t c, std::int64_t o, Axis h, Axis w, std::int64_t groups = 1) {
  return {.n = n,
          .xh = h.x,
          .xw = w.x,
          .c = c,
          .yh = h.y(),
          .yw = w.y(),
          .o = o,
          .kh = h.k,
          .kw = w.k,
          .stride_h = h.s,
          .stride_w = w.s,
          .pad_top = h.before,
          .pad_left = w.before,
          .groups = groups};
}

ConvGeometry square(std::int64_t n, std::int64_t c, std::int64_t o, Axis a, std::int64_t groups = 1) {
  return geometry(n, c, o, a, a, groups);
}

std::vector<Case> cases() {
  return {
      {"k4 s2 p1", square(3, 16, 32, {16, 4, 2, 1, 1})},
      {"k4 s2 p1, odd channels", square(2, 7, 19, {12, 4, 2, 1, 1})},
      {"k3 s1 p1", square(2, 32, 16, {9, 3, 1, 1, 1})},
      {"k3 s2 p1, odd map", square(2, 16, 16, {11, 3, 2, 1, 1})},
      {"k3 s2 p0, an unused row", square(2, 16, 24, {10, 3, 2, 0, 0})},
      {"k3 s3 p0, two unused rows", square(2, 16, 24, {11, 3, 3, 0, 0})},
      {"k1 s2, rows between taps", square(2, 16, 24, {9, 1, 2, 0, 0})},
      {"k2 s3, rows between taps", square(2, 16, 24, {10, 2, 3, 0, 0})},
      {"k5 s2 p2", square(2, 16, 32, {14, 5, 2, 2, 2})},
      {"k7 s1 p3", square(1, 8, 16, {13, 7, 1, 3, 3})},
      {"rectangular, strides differ", geometry(2, 16, 16, {10, 3, 2, 1, 1}, {13, 5, 3, 2, 0})},
      {"1x7, strides differ", geometry(2, 16, 16, {6, 1, 1, 0, 0}, {15, 7, 2, 3, 3})},
      {"pixelcnn: 2x3, padding above only", geometry(2, 16, 32, {8, 2, 1, 1, 0}, {8, 3, 1, 1, 1})},
      {"row lstm: 1x3, padding left only", geometry(2, 16, 64, {5, 1, 1, 0, 0}, {9, 3, 1, 2, 0})},
      {"padding below only", geometry(2, 16, 16, {8, 3, 2, 0, 1}, {8, 3, 2, 0, 1})},
      {"fewer rows of y than x holds",
       {.n = 2,
        .xh = 12,
        .xw = 12,
        .c = 16,
        .yh = 3,
        .yw = 3,
        .o = 16,
        .kh = 3,
        .kw = 3,
        .stride_h = 2,
        .stride_w = 2}},
      {"2 groups", square(2, 16, 32, {10, 3, 1, 1, 1}, 2)},
      {"2 groups, odd, s2", square(2, 6, 10, {10, 4, 2, 1, 1}, 2)},
      {"4 groups of 4 to 8", square(2, 16, 32, {7, 3, 1, 1, 1}, 4)},
      {"depthwise", square(2, 24, 24, {9, 3, 1, 1, 1}, 24)},
      {"depthwise s2", square(2, 16, 16, {9, 3, 2, 1, 1}, 16)},
      {"depthwise, 2 outputs a channel", square(2, 8, 16, {9, 3, 1, 1, 1}, 8)},
      {"product: 1x1", square(3, 24, 40, {7, 1, 1, 0, 0})},
      {"product: 4x4 on a 1x1 map", square(5, 32, 100, {4, 4, 1, 0, 0})},
      {"product: 4x4 to one number", square(5, 32, 1, {4, 4, 1, 0, 0})},
      {"product: one image", square(1, 32, 48, {4, 4, 1, 0, 0})},
      {"product: 3x5 on a 1x1 map", geometry(2, 16, 16, {3, 3, 1, 0, 0}, {5, 5, 2, 0, 0})},
      {"c=1 k4 s2", square(4, 1, 64, {28, 4, 2, 1, 1})},
      {"c=3 k4 s2", square(4, 3, 64, {32, 4, 2, 1, 1})},
      {"c=3 k4 s2, one image", square(1, 3, 32, {64, 4, 2, 1, 1})},
      {"c=3, three odd images", square(3, 3, 17, {15, 4, 2, 1, 0})},
      {"c=2 k5 s2 p2", square(2, 2, 24, {18, 5, 2, 2, 1})},
      {"c=4 k3 s1", square(2, 4, 16, {9, 3, 1, 1, 1})},
      {"c=4 k4 s2", square(2, 4, 16, {10, 4, 2, 1, 1})},
      {"c=3 k7 s1", square(1, 3, 16, {20, 7, 1, 3, 3})},
      {"c=3 k9 s1", square(1, 3, 16, {12, 9, 1, 4, 4})},
      {"c=3 k3 s3, unused rows", square(2, 3, 16, {11, 3, 3, 0, 0})},
      {"c=3 k2 s3, rows between taps", square(2, 3, 16, {13, 2, 3, 1, 0})},
      {"c=3 k1 s2, rows between taps", square(1, 3, 16, {9, 1, 2, 0, 0})},
      {"c=3 1x1", square(2, 3, 16, {9, 1, 1, 0, 0})},
      {"c=3 4x4 on a 1x1 map", square(2, 3, 16, {4, 4, 1, 0, 0})},
      {"c=3 rectangular, strides differ", geometry(2, 3, 16, {10, 3, 2, 1, 1}, {13, 5, 3, 2, 0})},
      {"c=3, wide stride, few rows of y",
       {.n = 1, .xh = 30, .xw = 9, .c = 3, .yh = 2, .yw = 2, .o = 16, .kh = 3, .kw = 3, .stride_h = 4, .stride_w = 4}},
      {"c=1 depth 1", square(2, 1, 1, {8, 3, 1, 1, 1})},
      {"o=1 k4 s1 p1", square(2, 64, 1, {15, 4, 1, 1, 1})},
      {"o=1 k3 s1, one image", square(1, 33, 1, {17, 3, 1, 1, 1})},
      {"o=3 k7 s1 p3", square(2, 16, 3, {16, 7, 1, 3, 3})},
      {"o=1 k4 s2", square(2, 32, 1, {12, 4, 2, 1, 1})},
      {"o=1 rectangular, one-sided", geometry(2, 16, 1, {8, 2, 1, 1, 0}, {9, 3, 1, 0, 2})},
      {"o=1 padding wider than the kernel", square(2, 16, 1, {6, 2, 1, 3, 3})},
      {"padding wider than the kernel", square(2, 16, 16, {6, 2, 1, 3, 3})},
      {"one pixel", square(1, 16, 16, {1, 3, 1, 1, 1})},
  };
}

template <class T>
struct Operands {
  std::vector<T> x, w, y;

  Operands(const ConvGeometry& g, unsigned seed)
      : x(size(g.n * g.xh * g.xw * g.c)), w(size(g.o * g.kh * g.kw * g.group_c())), y(size(g.n * g.yh * g.yw * g.o)) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (auto* v : {&x, &w, &y})
      for (T& value : *v) value = static_cast<T>(normal(random));
  }
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  std::vector<T>& of(ConvSlot slot) { return slot == ConvSlot::x ? x : slot == ConvSlot::w ? w : y; }
};

template <class T>
View view(std::vector<T>& v) {
  return {v.data(), sizeof(T) == 8 ? DType::f64 : DType::f32, 1, {static_cast<std::int64_t>(v.size())}};
}

// The slot's sum, into memory full of NaN: what a path forgets to write shows. The workspace is as large as asked for
// and not a byte larger, and deliberately misaligned.
template <class T>
std::vector<T> convolve(ConvSlot slot, const ConvGeometry& g, Operands<T>& in) {
  std::vector<T> out(in.of(slot).size(), std::numeric_limits<T>::quiet_NaN());
  const DType type = sizeof(T) == 8 ? DType::f64 : DType::f32;
  const std::size_t bytes = kernels::cpu::conv_workspace(slot, g, type);
  std::vector<float> workspace(bytes / 4 + 1, std::numeric_limits<float>::quiet_NaN());
  const View scratch{workspace.data() + 1, DType::u8, 1, {static_cast<std::int64_t>(bytes)}};
  kernels::cpu::conv(slot, g, view(slot == ConvSlot::x ? in.w : in.x), view(slot == ConvSlot::y ? in.w : in.y),
                     view(out), scratch);
  return out;
}

// How many products one element of the slot sums at most: rounding grows with its square root.
double terms(ConvSlot slot, const ConvGeometry& g) {
  const std::int64_t taps = g.kh * g.kw;
  const std::int64_t n = slot == ConvSlot::x   ? taps * g.group_o()
                         : slot == ConvSlot::w ? g.n * g.yh * g.yw
                                               : taps * g.group_c();
  return static_cast<double>(n);
}

// Fails on NaN, which std::max would hide.
template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= worst)) worst = d;
    if (std::isnan(worst)) return std::numeric_limits<double>::infinity();
  }
  return worst;
}

template <class T>
double dot(const std::vector<T>& a, const std::vector<T>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

constexpr ConvSlot slots[] = {ConvSlot::x, ConvSlot::w, ConvSlot::y};

}  // namespace

TEST_CASE("conv: every fast path agrees with the plain loops") {
  for (const Case& c : cases())
    for (const ConvSlot slot : slots) {
      CAPTURE(c.name);
      CAPTURE(static_cast<int>(slot));
      Operands<float> in(c.g, 1);
      kernels::cpu::use_reference(true);
      const auto expected = convolve(slot, c.g, in);
      kernels::cpu::use_reference(false);
      const auto first = convolve(slot, c.g, in);
      CHECK(largest_difference(first, expected) <= 2e-5 * std::sqrt(terms(slot, c.g)));
      // A second call reuses the plan and must give the same bits.
      CHECK(convolve(slot, c.g, in) == first);
    }
}

// Written from conv.h alone, apart from the loops of conv_reference.h that everything else is compared with.
TEST_CASE("conv: the reference is the formula") {
  for (const Case& c : cases()) {
    const ConvGeometry& g = c.g;
    CAPTURE(c.name);
    Operands<double> in(g, 2);
    const auto y = convolve(ConvSlot::y, g, in);
    std::size_t at = 0;
    for (std::int64_t n = 0; n < g.n; ++n)
      for (std::int64_t i = 0; i < g.yh; ++i)
        for (std::int64_t j = 0; j < g.yw; ++j)
          for (std::int64_t o = 0; o < g.o; ++o, ++at) {
            double expected = 0;
            for (std::int64_t row = 0; row < g.xh; ++row)
              for (std::int64_t col = 0; col < g.xw; ++col) {
                const std::int64_t r = row + g.pad_top - i * g.stride_h, s = col + g.pad_left - j * g.stride_w;
                if (r < 0 || r >= g.kh || s < 0 || s >= g.kw) continue;
                for (std::int64_t k = 0; k < g.group_c(); ++k) {
                  const std::int64_t channel = o / g.group_o() * g.group_c() + k;
                  expected += in.x[static_cast<std::size_t>(((n * g.xh + row) * g.xw + col) * g.c + channel)] *
                              in.w[static_cast<std::size_t>(((o * g.kh + r) * g.kw + s) * g.group_c() + k)];
                }
              }
            REQUIRE(std::abs(expected - y[at]) <= 1e-11);
          }
  }
}

// <y, conv(x,w)> = <x, convT(w,y)> = <w, convW(x,y)>: each is the gradient of the others.
TEST_CASE("conv: the three slots are corners of one trilinear form") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    Operands<double> in(c.g, 3);
    const double from_y = dot(in.y, convolve(ConvSlot::y, c.g, in));
    const double scale = 1e-12 * c.g.flops();
    CHECK(std::abs(from_y - dot(in.x, convolve(ConvSlot::x, c.g, in))) <= scale);
    CHECK(std::abs(from_y - dot(in.w, convolve(ConvSlot::w, c.g, in))) <= scale);
    Operands<float> f(c.g, 3);
    const double from_y32 = dot(f.y, convolve(ConvSlot::y, c.g, f));
    const double scale32 = 2e-5 * std::sqrt(c.g.flops());
    CHECK(std::abs(from_y32 - dot(f.x, convolve(ConvSlot::x, c.g, f))) <= scale32);
    CHECK(std::abs(from_y32 - dot(f.w, convolve(ConvSlot::w, c.g, f))) <= scale32);
  }
}

TEST_CASE("conv: a NaN that goes in comes out") {
  const ConvGeometry g = square(2, 3, 16, {8, 4, 2, 1, 1});
  for (const ConvSlot slot : slots) {
    Operands<float> in(g, 4);
    (slot == ConvSlot::y ? in.x : in.y)[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(dot(in.of(slot), convolve(slot, g, in))));
  }
}

TEST_CASE("conv: nothing to do") {
  ConvGeometry g = square(2, 3, 16, {8, 4, 2, 1, 1});
  g.n = 0;
  Operands<float> in(g, 5);
  CHECK(convolve(ConvSlot::y, g, in).empty());
  CHECK(convolve(ConvSlot::x, g, in).empty());
  CHECK(dot(in.w, convolve(ConvSlot::w, g, in)) == 0);  // an empty sum, not what lay there before
}

TEST_CASE("conv: too small a workspace is not overrun") {
  for (const Case& c :
       {Case{"few channels", square(2, 3, 16, {8, 4, 2, 1, 1})}, {"onednn", square(2, 16, 16, {8, 3, 1, 1, 1})}})
    for (const ConvSlot slot : slots) {
      Operands<float> in(c.g, 6);
      const auto expected = convolve(slot, c.g, in);
      std::vector<float> out(expected.size());
      kernels::cpu::conv(slot, c.g, view(slot == ConvSlot::x ? in.w : in.x), view(slot == ConvSlot::y ? in.w : in.y),
                         view(out), View{});
      CHECK(largest_difference(out, expected) <= 2e-5 * std::sqrt(terms(slot, c.g)));
    }
}
