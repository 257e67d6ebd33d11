// The three corners of the convolution triangle as plain loops, straight from the formula in conv.h: the oracle of
// every other path, and what f64 and shapes without a faster path run on. Each output element is summed by one
// thread in a fixed order, so the bits do not depend on the number of threads.
#pragma once
#include "kernels/conv.h"

namespace duel::kernels::reference {

// Where element (n,i,j,channel) of an image tensor and (o,r,s,c) of the weights lie.
struct ConvIndex {
  ConvGeometry g;
  std::int64_t x(std::int64_t n, std::int64_t row, std::int64_t col) const {
    return ((n * g.xh + row) * g.xw + col) * g.c;
  }
  std::int64_t y(std::int64_t n, std::int64_t i, std::int64_t j) const { return ((n * g.yh + i) * g.yw + j) * g.o; }
  std::int64_t w(std::int64_t o, std::int64_t r, std::int64_t s) const {
    return ((o * g.kh + r) * g.kw + s) * g.group_c();
  }
  bool inside(std::int64_t row, std::int64_t col) const { return row >= 0 && row < g.xh && col >= 0 && col < g.xw; }
};

// y[n,i,j,o] = sum over r,s,c of x[n, i*S+r-P, j*S+s-P, c] * w[o,r,s,c]
template <class T>
void conv_y(const ConvGeometry& g, const T* x, const T* w, T* y) {
  const ConvIndex at{g};
#pragma omp parallel for collapse(2)
  for (std::int64_t n = 0; n < g.n; ++n)
    for (std::int64_t i = 0; i < g.yh; ++i)
      for (std::int64_t j = 0; j < g.yw; ++j)
        for (std::int64_t o = 0; o < g.o; ++o) {
          const std::int64_t first_c = o / g.group_o() * g.group_c();
          T sum = 0;
          for (std::int64_t r = 0; r < g.kh; ++r)
            for (std::int64_t s = 0; s < g.kw; ++s) {
              const std::int64_t row = i * g.stride_h + r - g.pad_top, col = j * g.stride_w + s - g.pad_left;
              if (!at.inside(row, col)) continue;
              const T* xs = x + at.x(n, row, col) + first_c;
              const T* ws = w + at.w(o, r, s);
              for (std::int64_t c = 0; c < g.group_c(); ++c) sum += xs[c] * ws[c];
            }
          y[at.y(n, i, j) + o] = sum;
        }
}

// x[n,row,col,c] = sum over i,r with i*S+r-P = row, j,s with j*S+s-P = col, and o of w[o,r,s,c] * y[n,i,j,o]
template <class T>
void conv_x(const ConvGeometry& g, const T* w, const T* y, T* x) {
  const ConvIndex at{g};
#pragma omp parallel for collapse(2)
  for (std::int64_t n = 0; n < g.n; ++n)
    for (std::int64_t row = 0; row < g.xh; ++row)
      for (std::int64_t col = 0; col < g.xw; ++col) {
        T* xs = x + at.x(n, row, col);
        for (std::int64_t c = 0; c < g.c; ++c) xs[c] = 0;
        for (std::int64_t r = 0; r < g.kh; ++r)
          for (std::int64_t s = 0; s < g.kw; ++s) {
            const std::int64_t down = row + g.pad_top - r, right = col + g.pad_left - s;
            if (down < 0 || down % g.stride_h || down / g.stride_h >= g.yh) continue;
            if (right < 0 || right % g.stride_w || right / g.stride_w >= g.yw) continue;
            const T* ys = y + at.y(n, down / g.stride_h, right / g.stride_w);
            for (std::int64_t o = 0; o < g.o; ++o) {
              const T* ws = w + at.w(o, r, s);
              T* group = xs + o / g.group_o() * g.group_c();
              for (std::int64_t c = 0; c < g.group_c(); ++c) group[c] += ws[c] * ys[o];
            }
          }
      }
}

// w[o,r,s,c] = sum over n,i,j of x[n, i*S+r-P, j*S+s-P, c] * y[n,i,j,o]
template <class T>
void conv_w(const ConvGeometry& g, const T* x, const T* y, T* w) {
  const ConvIndex at{g};
#pragma omp parallel for collapse(2)
  for (std::int64_t o = 0; o < g.o; ++o)
    for (std::int64_t r = 0; r < g.kh; ++r)
      for (std::int64_t s = 0; s < g.kw; ++s) {
        const std::int64_t first_c = o / g.group_o() * g.group_c();
        T* ws = w + at.w(o, r, s);
        for (std::int64_t c = 0; c < g.group_c(); ++c) ws[c] = 0;
        for (std::int64_t n = 0; n < g.n; ++n)
          for (std::int64_t i = 0; i < g.yh; ++i)
            for (std::int64_t j = 0; j < g.yw; ++j) {
              const std::int64_t row = i * g.stride_h + r - g.pad_top, col = j * g.stride_w + s - g.pad_left;
              if (!at.inside(row, col)) continue;
              const T* xs = x + at.x(n, row, col) + first_c;
              const T factor = y[at.y(n, i, j) + o];
              for (std::int64_t c = 0; c < g.group_c(); ++c) ws[c] += xs[c] * factor;
            }
      }
}

template <class T>
void conv(ConvSlot slot, const ConvGeometry& g, const T* a, const T* b, T* out) {
  switch (slot) {
    case ConvSlot::x:
      return conv_x(g, a, b, out);
    case ConvSlot::w:
      return conv_w(g, a, b, out);
    case ConvSlot::y:
      return conv_y(g, a, b, out);
  }
}

}  // namespace duel::kernels::reference
