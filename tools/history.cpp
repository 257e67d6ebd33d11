#include "tools/history.h"

#include <cmath>

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

namespace {
History::Panel panel_of(const std::string& metric) {
  using enum History::Panel;
  if (metric == "swd") return distance;
  if (metric == "diversity") return diversity;
  if (metric == "images_per_s") return speed;
  return metric.starts_with("loss_") ? losses : metric.starts_with("d_") ? outputs : others;
}

Chart empty_chart(History::Panel panel) {
  using enum History::Panel;
  static const std::map<History::Panel, std::pair<const char*, const char*>> words{
      {distance, {"sliced Wasserstein distance", "distance × 1000"}},
      {losses, {"losses", "loss"}},
      {outputs, {"outputs of D", "mean over the batch"}},
      {diversity, {"diversity", "distance of samples, real images: 1"}},
      {others, {"further numbers", "value"}},
      {speed, {"throughput", "images/s"}}};
  Chart chart;
  chart.title = words.at(panel).first;
  chart.x_label = "step";
  chart.y_label = words.at(panel).second;
  return chart;
}

Series level(const char* name, const Series& beside, double value) {
  return {name, {beside.x.front(), beside.x.back()}, {value, value}, true};
}
}  // namespace

std::vector<History::PanelChart> History::charts(double attainable) const {
  std::map<Panel, Chart> found{{Panel::losses, empty_chart(Panel::losses)}};
  for (const std::string& name : order_) {
    const Line& line = lines_.at(name);
    const Panel panel = panel_of(name);
    Chart& chart = found.try_emplace(panel, empty_chart(panel)).first->second;
    const bool of_samples = panel == Panel::distance || panel == Panel::diversity;
    chart.series.push_back({of_samples ? "samples" : label(name), line.x, line.y});
    if (line.x.empty()) continue;
    if (panel == Panel::distance && std::isfinite(attainable))
      chart.series.push_back(level("real images", chart.series.back(), attainable));
    if (panel == Panel::diversity) chart.series.push_back(level("real images", chart.series.back(), 1));
  }
  std::vector<PanelChart> out;
  for (auto& [panel, chart] : found) out.push_back({panel, std::move(chart)});
  return out;
}

void History::draw(const std::filesystem::path& path, const std::string& title, double attainable) const {
  std::vector<Chart> drawn;
  for (auto& [panel, chart] : charts(attainable)) {
    if (panel == Panel::speed) continue;
    drawn.push_back(chart);
    drawn.back().title = title + ": " + chart.title;
  }
  save_charts(path, drawn);
}

History::Points History::points(const std::string& metric) const {
  const auto it = lines_.find(metric);
  return it == lines_.end() ? Points{} : Points{it->second.x, it->second.y};
}

std::string label(const std::string& metric) {
  return metric == "d_real" ? "D(x)" : metric == "d_fake" ? "D(G(z))" : metric;
}

}  // namespace duel
