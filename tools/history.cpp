#include "tools/history.h"

#include "engine/chart.h"

namespace duel {

void History::Line::add(double step, double value) {
  sum_x += step;
  sum_y += value;
  if (++pending < stride) return;
  x.push_back(sum_x / static_cast<double>(stride));
  y.push_back(sum_y / static_cast<double>(stride));
  sum_x = sum_y = 0;
  pending = 0;
  if (x.size() < capacity) return;
  for (std::size_t i = 0; i < capacity / 2; ++i) {
    x[i] = (x[2 * i] + x[2 * i + 1]) / 2;
    y[i] = (y[2 * i] + y[2 * i + 1]) / 2;
  }
  x.resize(capacity / 2);
  y.resize(capacity / 2);
  stride *= 2;
}

void History::add(const Record& record) {
  for (std::size_t i = 0; i < record.names.size(); ++i) {
    auto [it, is_new] = lines_.try_emplace(record.names[i]);
    if (is_new) order_.push_back(record.names[i]);
    it->second.add(static_cast<double>(record.step), record.values[i]);
  }
}

void History::draw(const std::filesystem::path& path, const std::string& title) const {
  Chart losses{.title = title + ": losses", .x_label = "step", .y_label = "loss", .series = {}};
  Chart outputs{.title = title + ": outputs of D", .x_label = "step", .y_label = "mean over the batch", .series = {}};
  Chart others{.title = title + ": further numbers", .x_label = "step", .y_label = "value", .series = {}};
  for (const std::string& name : order_) {
    const Line& line = lines_.at(name);
    Chart& chart = name.starts_with("loss_") ? losses : name.starts_with("d_") ? outputs : others;
    chart.series.push_back({label(name), line.x, line.y});
  }
  std::vector<Chart> charts{losses};
  for (const Chart& chart : {outputs, others})
    if (!chart.series.empty()) charts.push_back(chart);
  save_charts(path, charts);
}

std::string label(const std::string& metric) {
  return metric == "d_real" ? "D(x)" : metric == "d_fake" ? "D(G(z))" : metric;
}

}  // namespace duel
