// Gradients against central differences in f64.
#pragma once
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "engine/context.h"
#include "engine/ops.h"
#include "engine/tape.h"

namespace duel::test {

using Scalar = std::function<Tensor(const std::vector<Tensor>&)>;

// |central difference - <grad, direction>| relative to the size of the gradient, over a few random directions.
inline double directional_error(const Scalar& f, const std::vector<Tensor>& xs) {
  const auto dot = [](const Tensor& a, const Tensor& b) { return sum(a * b).item(); };
  const std::vector<Tensor> g = grad(f(xs), xs);
  double worst = 0;
  for (int trial = 0; trial < 4; ++trial) {
    std::vector<Tensor> d;
    double slope = 0, scale = 0;
    for (std::size_t i = 0; i < xs.size(); ++i) {
      d.push_back(detach(normal(xs[i].shape(), DType::f64)));
      if (!g[i]) continue;
      slope += dot(g[i], d[i]);
      scale += dot(g[i], g[i]);
    }
    const double h = 1e-5;
    auto at = [&](double t) {
      std::vector<Tensor> moved;
      for (std::size_t i = 0; i < xs.size(); ++i) moved.push_back(detach(xs[i] + t * d[i]));
      return f(moved).item();
    };
    // Fourth order, so that the difference is accurate to about 1e-9.
    const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    const double error = std::abs(numeric - slope) / (1 + std::sqrt(scale));
    if (!(error <= worst)) worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
  }
  return worst;
}

// The sum of weighted squares of df/dxs: its gradient is a second order.
inline Scalar gradients_of(const Scalar& f, const std::vector<Tensor>& weights) {
  return [f, weights](const std::vector<Tensor>& xs) {
    const std::vector<Tensor> g = grad(f(xs), xs, keep_graph);
    Tensor s = full({}, 0, DType::f64);
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i]) s = s + sum(square(g[i]) * weights[i]);
    return s;
  };
}

// What f draws is the same for every evaluation: always at one call site.
inline Tensor drawn_alike(const std::function<Tensor()>& f) {
  const std::uint32_t site = current_context().site;
  current_context().site = 1u << 30;
  Tensor y = f();
  current_context().site = site;
  return y;
}

}  // namespace duel::test
