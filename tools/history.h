// The numbers of a run over its steps, thinned out to what a chart can show.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace duel {

// One iteration's numbers: names and values of equal length.
struct Record {
  std::int64_t step = 0;
  std::span<const std::string> names;
  std::span<const double> values;
};

// Keeps at most `capacity` points, each the mean of `stride` successive records; the stride doubles when they are full.
class History {
 public:
  void add(const Record& record);
  // Losses in one chart, the discriminator's outputs in a second, all else in a third. Atomic.
  void draw(const std::filesystem::path& path, const std::string& title) const;

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
