#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/pictures/chart.h"
#include "engine/pictures/chart_data.h"

namespace duel {
namespace {

using namespace charts;

constexpr double top_margin = 26, bottom_margin = 40, right_margin = 14, letter = 6.7;  // of a digit at 11 units

// Coordinates with one decimal: a tenth of a pixel is seen by nobody, and a page holds thousands of them.
std::string place(double x, double y) { return fmt::format("{:.1f} {:.1f}", x, y); }

class Drawing {
 public:
  Drawing(const Chart& chart, double width, double height)
      : chart_(chart), right_(width - right_margin), bottom_(height - bottom_margin) {
    for (const Series& s : chart.series) curves_.push_back(curve_of(s, chart.log_y));
    const XAxis x = x_axis(curves_);
    x_ = padded(x.range, 0.012);
    y_ = padded(y_range(curves_), 0.05);
    const double y_count = std::max(3.0, (bottom_ - top_margin) / 36);
    y_ticks_ = chart.log_y ? log_ticks(y_, y_count) : linear_ticks(y_, y_count, 0);
    std::size_t longest = 2;
    for (const Tick& t : y_ticks_) longest = std::max(longest, t.label.size());
    left_ = 12 + letter * static_cast<double>(longest);
    x_ticks_ = linear_ticks(x_, std::max(2.0, (right_ - left_) / 64), x.min_step);
  }

  std::string elements() {
    axes();
    for (std::size_t i = 0; i < curves_.size(); ++i) series(i);
    for (std::size_t i = 0; i < curves_.size(); ++i) marks(i);
    const bool empty = std::all_of(curves_.begin(), curves_.end(), [](const Curve& c) { return c.points.empty(); });
    if (empty) text("note", (left_ + right_) / 2, (top_margin + bottom_) / 2, "middle", "no values yet");
    out_ += fmt::format("<line class=\"now\" y1=\"{:.1f}\" y2=\"{:.1f}\" visibility=\"hidden\"/>", top_margin, bottom_);
    return out_;
  }

  std::string places() const {
    return fmt::format("data-left=\"{:.1f}\" data-right=\"{:.1f}\" data-low=\"{}\" data-high=\"{}\"", left_, right_,
                       x_.low, x_.high);
  }

 private:
  double px(double x) const { return left_ + (x - x_.low) / x_.span() * (right_ - left_); }
  double py(double y) const {
    return std::clamp(bottom_ - (y - y_.low) / y_.span() * (bottom_ - top_margin), top_margin - 1, bottom_ + 1);
  }
  void text(const char* name, double x, double y, const char* anchor, const std::string& words) {
    out_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", name, x, y, anchor,
                        escaped(words));
  }
  void line(const char* name, double x0, double y0, double x1, double y1) {
    out_ += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", name, x0, y0,
                        x1, y1);
  }

  void axes() {
    text("tick", 2, 13, "start", chart_.y_label);
    for (const Tick& t : y_ticks_) {
      const double y = std::round(py(t.at)) + 0.5;
      line(t.at == 0 && !chart_.log_y ? "grid zero" : "grid", left_, y, right_, y);
      if (!t.label.empty()) text("tick", left_ - 7, y + 3.5, "end", t.label);
    }
    line("axis", left_, std::round(bottom_) + 0.5, right_, std::round(bottom_) + 0.5);
    for (const Tick& t : x_ticks_) {
      line("axis", px(t.at), bottom_, px(t.at), bottom_ + 4);
      text("tick", px(t.at), bottom_ + 17, "middle", t.label);
    }
    text("tick", right_, bottom_ + 34, "end", chart_.x_label);
    const std::string note = off_axis_note(curves_, y_, chart_.log_y);
    if (!note.empty()) text("note", left_, bottom_ + 34, "start", note);
  }

  std::string name(std::size_t i) const {
    return chart_.series[i].reference ? "ref" : fmt::format("s{}", i % std::size(palette));
  }

  void series(std::size_t i) {
    const Points& points = curves_[i].points;
    if (points.empty()) return;
    const bool noise = noisy(points);
    trace(points, name(i) + (noise ? " faint" : ""));
    if (noise) trace(smoothed(points), name(i));
    if (points.size() > 40 || chart_.series[i].reference) return;
    for (const Point& p : points)
      if (p.y >= y_.low && p.y <= y_.high)
        out_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\"/>", name(i), px(p.x), py(p.y));
  }
  void trace(const Points& points, const std::string& css) {
    std::string d;
    for (const Points& part : strokes(points, [this](double x) { return px(x); }))
      for (std::size_t k = 0; k < part.size(); ++k)
        d += (k == 0 ? "M" : k == 1 ? "L" : " ") + place(px(part[k].x), py(part[k].y));
    out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>", css, d);
  }

  // Triangles for what lies beyond the y axis, crosses for what has no place on it; no closer than 7 units.
  void marks(std::size_t i) {
    std::string d;
    double last[2] = {-1e9, -1e9};
    for (const Point& p : curves_[i].points) {
      if (p.y >= y_.low && p.y <= y_.high) continue;
      const bool up = p.y > y_.high;
      if (std::abs(px(p.x) - last[up]) < 7) continue;
      last[up] = px(p.x);
      d += fmt::format("M{}l4 {}h-8z", place(px(p.x), up ? top_margin : bottom_), up ? 6 : -6);
    }
    if (!d.empty()) out_ += fmt::format("<path class=\"{} mark\" d=\"{}\"/>", name(i), d);
    d.clear();
    double previous = -1e9;
    for (const double v : curves_[i].missing) {
      if (std::abs(px(v) - previous) < 8) continue;
      previous = px(v);
      d += fmt::format("M{}l6 6m0 -6l-6 6", place(px(v) - 3, bottom_ - 10 - 9 * static_cast<double>(i % 4)));
    }
    if (!d.empty()) out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>", name(i), d);
  }

  const Chart& chart_;
  double left_ = 0, right_, bottom_;
  Range x_, y_;
  std::vector<Curve> curves_;
  std::vector<Tick> x_ticks_, y_ticks_;
  std::string out_;
};

}  // namespace

std::string svg_chart(const Chart& chart, int width, int height, const std::string& description) {
  require(width >= 240 && width <= 8192 && height >= 160 && height <= 4096,
          "[svg_chart] a chart of {} x {}, expected 240..8192 x 160..4096", width, height);
  Drawing drawing(chart, width, height);
  const std::string elements = drawing.elements();
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" {}>{}</svg>",
      width, height, escaped(description), drawing.places(), elements);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace duel
