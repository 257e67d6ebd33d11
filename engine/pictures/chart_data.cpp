#include "engine/pictures/chart_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/error.h"

namespace duel::charts {

Curve curve_of(const Series& s, bool log_y) {
  require(s.x.empty() || s.x.size() == s.y.size(), "[save_charts] series '{}' has {} x and {} y, expected as many",
          s.name, s.x.size(), s.y.size());
  constexpr double limit = 1e150;  // what lies beyond is drawn there: differences and ratios stay finite
  Curve out;
  for (std::size_t i = 0; i < s.y.size(); ++i) {
    const double x = s.x.empty() ? static_cast<double>(i) : s.x[i], y = s.y[i];
    if (!std::isfinite(x) || std::abs(x) > limit)
      ++out.unplaced;
    else if (!std::isfinite(y) || (log_y && y <= 0))
      out.missing.push_back(x);
    else
      out.points.push_back({x, log_y ? std::log10(std::clamp(y, 1 / limit, limit)) : std::clamp(y, -limit, limit), i});
  }
  return out;
}

static double quantile(std::vector<double>& values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Range y_range(const std::vector<Curve>& curves) {
  Range all;
  for (const Curve& c : curves) {
    std::vector<double> values;
    Range full;
    for (const Point& p : c.points) values.push_back(p.y), full.include(p.y);
    if (values.empty()) continue;
    const Range inner{quantile(values, 0.01), quantile(values, 0.99)};
    const bool cut = values.size() >= 50 && inner.span() > 0;
    all.include(cut ? std::max(full.low, inner.low - inner.span() / 2) : full.low);
    all.include(cut ? std::min(full.high, inner.high + inner.span() / 2) : full.high);
  }
  return all;
}

Range padded(Range r, double margin) {
  if (r.empty()) r = {0, 1};
  const double size = std::max(std::abs(r.low), std::abs(r.high));
  constexpr double tiny = 1e-150;
  const double pad = size > tiny ? size * 0.1 : 1;
  if (r.span() <= std::max(size * 1e-5, tiny)) r = {r.low - pad, r.high + pad};
  return {r.low - r.span() * margin, r.high + r.span() * margin};
}

// The smallest of 1, 2, 5 times a power of ten that gives at most count steps.
static double nice_step(double span, double count) {
  const double power = std::pow(10, std::floor(std::log10(span / count)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (power * factor * count >= span) return power * factor;
  return power * 10;
}

// v as a label among others up to largest in steps of step: 0.25, 1500, 20k, 1.5M, 3e-5.
static std::string tick_label(double v, double step, double largest) {
  const auto decimals = [](double s) { return std::clamp(-static_cast<int>(std::floor(std::log10(s) + 1e-9)), 0, 9); };
  if (std::abs(v) < step * 1e-6) return "0";
  if (largest >= 1e9 || largest < 1e-3) {
    const double power = std::pow(10, std::floor(std::log10(std::abs(v)) + 1e-9));
    return fmt::format("{:.{}f}e{:.0f}", v / power, decimals(step / power), std::log10(power));
  }
  for (const auto& [unit, suffix] : {std::pair(1e6, "M"), std::pair(1e3, "k")})
    if (largest >= std::max(unit, 1e4) && decimals(step / unit) <= 2)
      return fmt::format("{:.{}f}{}", v / unit, decimals(step / unit), suffix);
  return fmt::format("{:.{}f}", v, decimals(step));
}

std::vector<Tick> linear_ticks(Range r, double count, double min_step) {
  const double step = std::max(nice_step(r.span(), count), min_step);
  const double first = std::ceil(r.low / step), last = std::floor(r.high / step);
  const double largest = std::max(std::abs(first), std::abs(last)) * step;
  std::vector<Tick> out;
  for (double k = first; k <= last && out.size() < 100; ++k)
    out.push_back({k * step, tick_label(k * step, step, largest)});
  return out;
}

std::vector<Tick> log_ticks(Range r, double count) {
  std::vector<Tick> out;
  if (r.span() < 0.7) {
    for (Tick& t : linear_ticks({std::pow(10, r.low), std::pow(10, r.high)}, count, 0))
      if (t.at > 0) out.push_back({std::log10(t.at), std::move(t.label)});
    return out;
  }
  const double stride = std::max(1.0, std::ceil(r.span() / count));
  for (double k = std::floor(r.low); k <= r.high; ++k) {
    if (std::fmod(k, stride) != 0) continue;
    for (double m = 1; m < (stride == 1 ? 10 : 2); ++m) {
      const double at = k + std::log10(m), power = std::pow(10, k);
      if (at < r.low || at > r.high) continue;
      const bool labelled = m == 1 || (r.span() < 2 && (m == 2 || m == 5));
      const std::string label = std::abs(k) < 4 ? tick_label(m * power, power, m * power) : fmt::format("{}e{}", m, k);
      out.push_back({at, labelled ? label : ""});
    }
  }
  return out;
}

XAxis x_axis(const std::vector<Curve>& curves) {
  XAxis x;
  const auto include = [&](double v) { x.range.include(v), x.min_step = v == std::floor(v) ? x.min_step : 0; };
  for (const Curve& c : curves) {
    for (const Point& p : c.points) include(p.x);
    for (const double v : c.missing) include(v);
  }
  return x;
}

std::vector<Points> strokes(const Points& points, const std::function<double(double)>& column) {
  std::vector<Points> out;
  for (std::size_t i = 0, end; i < points.size(); i = end) {
    const auto joined = [&](std::size_t k) { return points[k].index == points[k - 1].index + 1; };
    const double here = std::floor(column(points[i].x));
    std::array<std::size_t, 4> visit{i, i, i, i};
    for (end = i + 1; end < points.size() && joined(end) && std::floor(column(points[end].x)) == here; ++end) {
      if (points[end].y < points[visit[1]].y) visit[1] = end;
      if (points[end].y > points[visit[2]].y) visit[2] = end;
      visit[3] = end;
    }
    std::sort(visit.begin(), visit.end());
    if (i == 0 || !joined(i)) out.emplace_back();
    const auto last = std::unique(visit.begin(), visit.end());
    for (auto k = visit.begin(); k != last; ++k) out.back().push_back(points[*k]);
  }
  return out;
}

std::string off_axis_note(const std::vector<Curve>& curves, Range y, bool log_y) {
  std::size_t outside = 0, missing = 0;
  Range reach;
  for (const Curve& c : curves) {
    for (const Point& p : c.points)
      if (p.y < y.low || p.y > y.high) ++outside, reach.include(p.y);
    missing += c.missing.size() + c.unplaced;
  }
  std::string note;
  const auto value = [&](double v) { return fmt::format("{:.3g}", log_y ? std::pow(10, v) : v); };
  if (outside > 0) {
    note = fmt::format("▲ {} outside", outside);
    if (reach.low < y.low) note += fmt::format(", lowest {}", value(reach.low));
    if (reach.high > y.high) note += fmt::format(", highest {}", value(reach.high));
  }
  if (missing > 0)
    note += fmt::format("{}× {} not finite{}", note.empty() ? "" : "   ", missing, log_y ? " or not positive" : "");
  return note;
}

bool noisy(const Points& points) {
  if (points.size() <= 200) return false;
  std::size_t changes = 0;
  for (std::size_t i = 2; i < points.size(); ++i)
    changes += (points[i].y - points[i - 1].y) * (points[i - 1].y - points[i - 2].y) < 0;
  return changes * 5 > points.size();
}

Points smoothed(const Points& points) {
  const std::size_t n = points.size(), half = std::max<std::size_t>(3, n / 80), stride = n / 500 + 1;
  Points medians, out;
  std::vector<double> window;
  for (std::size_t i = 0; i < n; i += stride) {
    // Near an end the window shrinks, down to a quarter, so that a steep start is not flattened.
    const std::size_t h = std::clamp(std::min(i, n - 1 - i), half / 4 + 1, half);
    window.clear();
    for (std::size_t j = i - std::min(i, h); j <= std::min(n - 1, i + h); ++j) window.push_back(points[j].y);
    // Its index counts the medians, and skips one where values are missing for longer than the window.
    const bool gap = !medians.empty() && points[i].index - points[i - stride].index > stride + half;
    medians.push_back({points[i].x, quantile(window, 0.5), medians.empty() ? 0 : medians.back().index + 1 + gap});
  }
  for (std::size_t i = 0; i < medians.size(); ++i) {
    const std::size_t h = std::min<std::size_t>({2, i, medians.size() - 1 - i});
    Point p = medians[i];
    p.y = 0;
    for (std::size_t j = i - h; j <= i + h; ++j) p.y += medians[j].y / static_cast<double>(2 * h + 1);
    out.push_back(p);
  }
  return out;
}

}  // namespace duel::charts
