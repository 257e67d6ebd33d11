#include <cmath>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/net.h"
#include "engine/tape.h"

namespace duel {
namespace {

// Rows (or columns, where there are more rows than columns) made orthonormal by Gram and Schmidt, twice, which is
// enough for full accuracy (Giraud et al. 2005). On the host: this runs once.
Tensor orthogonal(const Shape& shape, double gain, DType dtype) {
  const std::int64_t rows = shape.rank() ? shape[0] : 1, cols = shape.size() / std::max<std::int64_t>(rows, 1);
  const std::int64_t n = std::min(rows, cols), length = std::max(rows, cols);
  std::vector<double> q = normal({n, length}, DType::f64).to_vector<double>();
  auto row = [&](std::int64_t i) { return q.data() + i * length; };
  for (std::int64_t i = 0; i < n; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = 0; j < i; ++j) {
        double dot = 0;
        for (std::int64_t k = 0; k < length; ++k) dot += row(i)[k] * row(j)[k];
        for (std::int64_t k = 0; k < length; ++k) row(i)[k] -= dot * row(j)[k];
      }
    double norm = 0;
    for (std::int64_t k = 0; k < length; ++k) norm += row(i)[k] * row(i)[k];
    for (std::int64_t k = 0; k < length; ++k) row(i)[k] *= gain / std::sqrt(norm);
  }
  std::vector<double> w(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      w[static_cast<std::size_t>(r * cols + c)] = rows <= cols ? row(r)[c] : row(c)[r];
  return from_vector(shape, w, dtype);
}

}  // namespace

Tensor initial(const Shape& shape, const Init& init, double fan_in, double fan_out, DType dtype) {
  NoGrad off;
  const double leaky_gain = std::sqrt(2 / (1 + init.value * init.value));
  switch (init.law) {
    case Init::Law::normal:
      return detach(normal(shape, 0, init.value, dtype));
    case Init::Law::kaiming_normal:
      return detach(normal(shape, 0, leaky_gain / std::sqrt(fan_in), dtype));
    case Init::Law::kaiming_uniform: {
      const double bound = leaky_gain * std::sqrt(3 / fan_in);
      return detach(uniform(shape, -bound, bound, dtype));
    }
    case Init::Law::xavier_uniform: {
      const double bound = init.value * std::sqrt(6 / (fan_in + fan_out));
      return detach(uniform(shape, -bound, bound, dtype));
    }
    case Init::Law::xavier_normal:
      return detach(normal(shape, 0, init.value * std::sqrt(2 / (fan_in + fan_out)), dtype));
    case Init::Law::orthogonal:
      return orthogonal(shape, init.value, dtype);
  }
  fail("init: unknown law {}", static_cast<int>(init.law));
}

}  // namespace duel
