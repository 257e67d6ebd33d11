// What a chart computes before it draws: points with a place on the axes, ranges, ticks and smoothed lines.
#pragma once
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/pictures/chart.h"

namespace duel::charts {

struct Colour {
  double red, green, blue;
};
// Okabe and Ito's palette, which the colour-blind can tell apart, without its yellow: too pale on white.
inline constexpr Colour palette[] = {{0.00, 0.45, 0.70}, {0.84, 0.37, 0.00}, {0.00, 0.62, 0.45}, {0.80, 0.47, 0.65},
                                     {0.90, 0.62, 0.00}, {0.34, 0.71, 0.91}, {0.25, 0.25, 0.25}};

struct Point {
  double x, y;        // y on the axis: its logarithm where that is logarithmic
  std::size_t index;  // in the series: neighbours that do not follow each other are not joined
};
using Points = std::vector<Point>;

struct Curve {
  Points points;
  std::vector<double> missing;  // x of what has no place on the y axis
  std::size_t unplaced = 0;     // those that have none on the x axis either
};

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool empty() const { return low > high; }
  double span() const { return high - low; }
  void include(double v) { low = std::min(low, v), high = std::max(high, v); }
};

struct Tick {
  double at;
  std::string label;  // empty: a minor line
};

// Error if x and y have different lengths.
Curve curve_of(const Series& s, bool log_y);
Range y_range(const std::vector<Curve>& curves);
// A range that can be drawn: not empty, wide enough for short labels, with a margin of the given part on either side.
Range padded(Range r, double margin);
// Ticks inside r at multiples of 1, 2 or 5 times a power of ten, at most about count of them, min_step or more apart.
std::vector<Tick> linear_ticks(Range r, double count, double min_step);
// r is of logarithms, and so are the places of the ticks.
std::vector<Tick> log_ticks(Range r, double count);
// The range of all x, and the least distance of its ticks: steps and epochs have no fractions.
struct XAxis {
  Range range;
  double min_step = 1;
};
XAxis x_axis(const std::vector<Curve>& curves);
// Polylines through the points, broken where values are missing: in each column of pixels no more than its first,
// lowest, highest and last point. column: of an x, in pixels.
std::vector<Points> strokes(const Points& points, const std::function<double(double)>& column);
// What lies off the axes, in words; empty where nothing does.
std::string off_axis_note(const std::vector<Curve>& curves, Range y, bool log_y);
// Whether the differences of neighbours often change their sign, as they do not along a schedule or a smooth curve.
bool noisy(const Points& points);
// The running median at about 500 places and, since that has small steps, the mean of 5 neighbours of it.
Points smoothed(const Points& points);

}  // namespace duel::charts
