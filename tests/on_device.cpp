#include "tests/on_device.h"

#include <algorithm>
#include <limits>

#include "engine/context.h"
#include "engine/tape.h"
#include "tests/support.h"

namespace duel::test {
namespace {

Tensor drawn(const Shape& shape, Domain domain) {
  if (domain == Domain::positive) return uniform(shape, 0.5, 2.5, DType::f64);
  if (domain == Domain::unit) return uniform(shape, 0.1, 0.9, DType::f64);
  return normal(shape, DType::f64);
}
std::vector<double> rounded(const Tensor& x, DType dtype) {
  std::vector<double> values = x.to_vector<double>();
  for (double& v : values)
    v = dtype == DType::bf16 ? static_cast<double>(bf16(v)) : static_cast<double>(static_cast<float>(v));
  return values;
}
std::vector<double> values_of(const Tensor& x) { return x ? x.to_vector<double>() : std::vector<double>{}; }

double error(const std::vector<double>& a, const std::vector<double>& b) {
  return max_difference(a, b) / (1 + max_abs(b));
}

}  // namespace

Numbers draw(const OpCase& c, DType dtype, std::uint64_t seed) {
  const DeviceScope on_cpu(Device::cpu);
  set_seed(seed);
  Numbers n;
  std::vector<Tensor> xs;
  for (const Shape& s : c.shapes) {
    n.x.push_back(rounded(drawn(s, c.domain), dtype));
    xs.push_back(from_vector(s, n.x.back(), DType::f64));
    n.u.push_back(rounded(normal(s, DType::f64), dtype));
  }
  if (c.differentiable) n.v = rounded(normal(c.f(xs).shape(), DType::f64), dtype);
  return n;
}

Derivatives evaluate(const OpCase& c, const Numbers& n, Device device, DType dtype) {
  const DeviceScope scope(device);
  set_seed(99);  // what a row draws itself is the same on every device
  std::vector<Tensor> xs;
  for (std::size_t i = 0; i < c.shapes.size(); ++i) xs.push_back(from_vector(c.shapes[i], n.x[i], dtype));
  Tensor y = c.f(xs);
  Derivatives d;
  d.y = y.to_vector<double>();
  if (!c.differentiable) return d;
  Tensor v = from_vector(y.shape(), n.v, y.dtype());
  const std::vector<Tensor> g = grad(y, xs, keep_graph, v);
  for (const Tensor& t : g) d.first.push_back(values_of(t));
  // S itself is no part of the row: bf16 ends at the gradients.
  const DType wide = dtype == DType::bf16 ? DType::f32 : dtype;
  Tensor s = full({}, 0, wide);
  for (std::size_t i = 0; i < g.size(); ++i)
    if (g[i]) s = s + sum(square(convert(g[i], wide)) * from_vector(c.shapes[i], n.u[i], wide));
  xs.push_back(v);
  for (const Tensor& t : grad(s, xs)) d.second.push_back(values_of(t));
  return d;
}

double worst_error(const Derivatives& a, const Derivatives& b) {
  double worst = error(a.y, b.y);
  const std::pair<const std::vector<std::vector<double>>&, const std::vector<std::vector<double>>&> lists[] = {
      {a.first, b.first}, {a.second, b.second}};
  for (const auto& [mine, theirs] : lists) {
    if (mine.size() != theirs.size()) return std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < mine.size(); ++i) worst = std::max(worst, error(mine[i], theirs[i]));
  }
  return worst;
}

std::string title(const OpCase& c) {
  std::string s = c.op + " " + c.note;
  for (const Shape& shape : c.shapes) s += " " + to_string(shape);
  return s;
}

}  // namespace duel::test
