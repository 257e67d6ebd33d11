// The numbers of a run over its steps, thinned out to what a chart can show.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/pictures/chart.h"

namespace duel {

// One iteration's numbers: names and values of equal length.
struct Record {
  std::int64_t step = 0;
  std::span<const std::string> names;
  std::span<const double> values;
};

// "swd" and "diversity" (tools/sample_meter.h) are metrics of the snapshots' steps, "images_per_s" is one of every
// step. Keeps at most `capacity` points, each the mean of `stride` successive records; the stride doubles when they are
// full.
class History {
 public:
  void add(const Record& record);
  // A chart for each panel with values, in this order; losses in any case. `attainable`: a line for the distance of
  // real images; not a number: none.
  enum class Panel { distance, losses, outputs, diversity, others, speed };
  struct PanelChart {
    Panel panel;
    Chart chart;
  };
  std::vector<PanelChart> charts(double attainable) const;
  // All of them but the speed, in a PNG file. Atomic.
  void draw(const std::filesystem::path& path, const std::string& title, double attainable) const;
  // Of one metric; empty where there is none of that name.
  struct Points {
    std::vector<double> step, value;
  };
  Points points(const std::string& metric) const;

 private:
  static constexpr std::size_t capacity = 4096;
  struct Line {
    std::vector<double> x, y;
    double sum_x = 0, sum_y = 0;
    std::int64_t stride = 1, pending = 0;
    void add(double step, double value);
  };
  std::vector<std::string> order_;
  std::map<std::string, Line> lines_;
};

// "d_real" and "d_fake" as the papers write them: "D(x)", "D(G(z))"; other names stay as they are.
std::string label(const std::string& metric);

}  // namespace duel
