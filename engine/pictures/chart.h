// Line charts in a PNG file, and as SVG.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace duel {

// Points (x[i], y[i]), drawn in this order. An empty x stands for 0, 1, 2, ...
struct Series {
  std::string name;  // for the legend; empty: not listed
  std::vector<double> x, y;
  bool reference = false;  // something to compare with: grey, dashed, without points
};

struct Chart {
  std::string title, x_label, y_label;  // UTF-8
  std::vector<Series> series;
  bool log_y = false;
};

// Draws the charts one below the other, width x (height_each * charts) pixels, and writes atomically (engine/files.h).
// - A noisy series of more than 200 points is drawn faint, with its running median (2.5 % of the points) over it.
// - Values that are NaN, infinite or, on a logarithmic axis, not positive interrupt the line: a cross on the lower
// edge.
// - The y axis spans the 1st to 99th percentile of each series of 50 points or more, and half that range beyond either
//   end where there are values; the values outside are triangles on the edge, and the chart says how many there are.
// A chart without values is drawn as an empty frame, and no chart at all as one such.
// Error: x and y of different lengths, width not 360..8192, height_each not 160..4096, more than 32000 pixels in all,
// text that is not UTF-8, and those of write_file_atomically.
void save_charts(const std::filesystem::path& path, std::span<const Chart> charts, int width = 960,
                 int height_each = 360);

// One chart as an <svg> element for a page, width x height units at 12 units of text; without title and legend, which
// the page writes (the i-th series has the colour palette[i], engine/pictures/chart_data.h). Everything has a class
// that the page's style can reach: the series' lines s0, s1, ... (reference lines: ref), grid, axis, tick, note. The
// line of class `now` is invisible until a script puts it somewhere: data-left, data-right, data-low and data-high on
// the element say where the plot and its x axis end. `description` is what a screen reader says. Error: as for
// save_charts.
std::string svg_chart(const Chart& chart, int width, int height, const std::string& description);

// The text with & < > " ' written so that HTML and XML read it back.
std::string escaped(const std::string& text);

}  // namespace duel
