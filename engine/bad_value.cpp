#include "engine/bad_value.h"

#include <algorithm>
#include <cmath>

#include "engine/bf16_copy.h"
#include "engine/error.h"
#include "engine/hook.h"
#include "engine/launch.h"

namespace duel {
namespace {

struct Census {
  std::int64_t nan = 0, infinite = 0;
  double largest = 0;  // of the finite ones, without sign
  std::int64_t bad() const { return nan + infinite; }
};

template <class T>
Census count(const T* values, std::int64_t n) {
  Census c;
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(values[i]);
    if (std::isnan(v))
      ++c.nan;
    else if (std::isinf(v))
      ++c.infinite;
    else
      c.largest = std::max(c.largest, std::abs(v));
  }
  return c;
}
Census count(const kernels::View& v, Device device) {
  std::vector<std::byte> values(static_cast<std::size_t>(v.bytes()));
  if (v.dtype == DType::u8 || v.dtype == DType::i32 || v.dtype == DType::i64) return {};
  on_driver([&] { driver(device).copy_out(values.data(), v.data, values.size()); });
  Census c;
  kernels::dispatch_type(v.dtype,
                         [&](auto t) { c = count(reinterpret_cast<const decltype(t)*>(values.data()), v.size()); });
  return c;
}

std::string name(const kernels::View& v) {
  return fmt::format("{} {}", Shape(v.dim, static_cast<std::size_t>(v.rank)), v.dtype);
}
std::string kind(const Census& c) { return c.nan && c.infinite ? "nan and inf" : c.nan ? "nan" : "inf"; }

// Whether these are the values of the parameter as a net in bf16 reads them.
bool is_copy(const Tensor& t, const kernels::View& v) {
  const Tensor copy = stored_bf16_copy(t);
  return copy && copy.storage()->data == v.data;
}

struct Found {
  std::string what;
};

// Throws Found at the first launch with such a value. What came in was looked at when it was made, but for the state.
void look(const Launch& l, const State& state) {
  for (std::size_t i = 0; i < l.views.size(); ++i) {
    const Census c = count(l.views[i], l.device);
    if (c.bad() == 0) continue;
    for (const NamedTensor& t : state)
      if (t.value.storage()->data == l.views[i].data || is_copy(t.value, l.views[i]))
        throw Found{fmt::format("{} {} held {} in {} of its values before the step, and op {} read them", t.name,
                                t.value, kind(c), c.bad(), l.op)};
    std::string what = fmt::format("op {} (kernel {}) made {} in {} of {} values {}", l.op, l.kernel, kind(c), c.bad(),
                                   l.views[i].size(), name(l.views[i]));
    double largest = 0;
    std::string others;
    for (std::size_t k = 0; k < l.views.size(); ++k) {
      if (k == i || l.views[k].dtype == DType::u8) continue;
      others += (others.empty() ? "" : ", ") + name(l.views[k]);
      largest = std::max(largest, count(l.views[k], l.device).largest);
    }
    if (!others.empty()) what += fmt::format(" from {} with values up to {:.3g}", others, largest);
    throw Found{what};
  }
}

}  // namespace

std::string find_bad_value(Step& step, std::span<const HostBatch> batches, const State& state, int variant) {
  try {
    const HookScope<LaunchHook> scope(launch_hook(), [&](const Launch& l) { look(l, state); });
    step.set_eager(true);
    step.seek(step.iteration() - 1);
    step(batches, variant);
  } catch (const Found& found) {
    step.seek(step.iteration() + 1);
    return found.what;
  }
  return "no op made one when the step was repeated";
}

}  // namespace duel
