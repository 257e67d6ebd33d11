// Line charts in a PNG file.
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

}  // namespace duel
