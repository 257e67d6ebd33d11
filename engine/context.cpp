#include "engine/context.h"

#include <array>
#include <optional>

#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/random.h"

namespace duel {
namespace {

thread_local Context* scoped = nullptr;

// Draws outside any Step have call sites of their own, so that they never repeat those of a Step with the same seed.
constexpr std::uint32_t first_site_outside = 1u << 31;

const Op normal_op{"normal", "y ~ N(mean, deviation^2)"}, uniform_op{"uniform", "y ~ U(low, high)"};

Tensor draw(const Op& op, kernels::Random f, const Shape& shape, double low, double high, DType dtype) {
  Context& c = current_context();
  Tensor y = empty(shape, dtype);
  launch(op.name, 0, kernels::random, y.device(), f, c.seed, c.site++, low, high, c.step.view(), y.view());
  return record(op, y, {}, nullptr);
}

}  // namespace

Context::Context(std::uint64_t s) : seed(s) {
  PoolScope outside{nullptr};  // it outlives any recording
  RecordScope quiet{nullptr};
  step = zeros({1}, DType::i64);
  finite = ones({1}, DType::i32);
}

Context& current_context() {
  if (scoped) return *scoped;
  thread_local std::array<std::optional<Context>, 3> outside;  // one for each device
  std::optional<Context>& c = outside[static_cast<std::size_t>(default_device())];
  if (!c) c.emplace(0).site = first_site_outside;
  return *c;
}
ContextScope::ContextScope(Context& c) : before_(scoped) { scoped = &c; }
ContextScope::~ContextScope() { scoped = before_; }

void set_seed(std::uint64_t seed) {
  Context& c = current_context();
  require(scoped == nullptr, "set_seed: a Step has its own seed; call it outside");
  c.seed = seed;
  c.site = first_site_outside;
}

Tensor iteration() { return convert(current_context().step, default_float()); }

Tensor normal(const Shape& shape, DType dtype) { return normal(shape, 0, 1, dtype); }
Tensor normal(const Shape& shape, double mean, double deviation, DType dtype) {
  return draw(normal_op, kernels::Random::normal, shape, mean, deviation, dtype);
}
Tensor uniform(const Shape& shape, double low, double high, DType dtype) {
  return draw(uniform_op, kernels::Random::uniform, shape, low, high, dtype);
}
Tensor dropout(const Tensor& x, double p) {
  require(p >= 0 && p < 1, "[dropout] probability {} is outside [0, 1)", p);
  if (p == 0) return x;
  Tensor keep = less(uniform(x.shape(), 0, 1, x.dtype()), full({1}, 1 - p, x.dtype()));
  return mul(x, detach(keep / (1 - p)));
}

}  // namespace duel
