#include "engine/pictures/chart.h"

#include <cairo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <utility>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/chart_data.h"

namespace duel {
namespace {

using namespace charts;

using Surface = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;
using Context = std::unique_ptr<cairo_t, decltype(&cairo_destroy)>;

constexpr Colour text_colour{0.20, 0.22, 0.25}, quiet_colour{0.45, 0.47, 0.50};
constexpr double left_margin = 84, right_margin = 28, bottom_margin = 56, text_size = 12, title_size = 14;

// One chart on its part of the surface.
class Panel {
 public:
  Panel(cairo_t* cairo, const Chart& chart, double y, double width, double height)
      : cairo_(cairo), chart_(chart), top_(y + 44), right_(width - right_margin), bottom_(y + height - bottom_margin) {
    for (const Series& s : chart.series) curves_.push_back(curve_of(s, chart.log_y));
  }

  void draw() {
    draw_heading();
    draw_axes();
    cairo_save(cairo_);
    cairo_rectangle(cairo_, left_margin, top_ - 1, right_ - left_margin, bottom_ - top_ + 2);
    cairo_clip(cairo_);
    std::vector<char> noise;
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      noise.push_back(noisy(curves_[i].points));
      trace(curves_[i].points, i, noise.back() ? 0.9 : 1.8, noise.back() ? 0.28 : 1);
    }
    for (std::size_t i = 0; i < curves_.size(); ++i)
      if (noise[i]) trace(smoothed(curves_[i].points), i, 2, 1);
    cairo_restore(cairo_);
    draw_marks();
  }

 private:
  void colour(std::size_t series, double alpha = 1) {
    colour(chart_.series[series].reference ? quiet_colour : palette[series % std::size(palette)], alpha);
  }
  void colour(Colour c, double alpha = 1) { cairo_set_source_rgba(cairo_, c.red, c.green, c.blue, alpha); }
  double px(double x) const { return left_margin + (x - x_.low) / x_.span() * (right_ - left_margin); }
  // Far outside is cut off: cairo's coordinates have 24 bits.
  double py(double y) const {
    return std::clamp(bottom_ - (y - y_.low) / y_.span() * (bottom_ - top_), top_ - 1e4, bottom_ + 1e4);
  }

  void font(double size, bool bold = false) {
    cairo_select_font_face(cairo_, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo_, size);
  }
  double width_of(const std::string& text) {
    cairo_text_extents_t e;
    cairo_text_extents(cairo_, text.c_str(), &e);
    return e.x_advance;
  }
  // align: 0 x is the left end, 0.5 the middle, 1 the right end.
  void write(const std::string& text, double x, double y, double align) {
    cairo_move_to(cairo_, std::round(x - width_of(text) * align), std::round(y));
    cairo_show_text(cairo_, text.c_str());
  }
  // text, shortened at its end until it is at most width pixels wide.
  std::string fitted(std::string text, double width) {
    if (width_of(text) <= width) return text;
    while (!text.empty() && width_of(text + "…") > width) {
      while (text.size() > 1 && (text.back() & 0xc0) == 0x80) text.pop_back();  // the rest of a UTF-8 character
      text.pop_back();
    }
    return text + "…";
  }
  void line(double x0, double y0, double x1, double y1) {
    cairo_move_to(cairo_, x0, y0);
    cairo_line_to(cairo_, x1, y1);
  }
  void dashes(std::size_t series) {
    constexpr double patterns[][2] = {{7, 4}, {2, 4}, {12, 3}};
    const std::size_t round = chart_.series[series].reference ? 1 : series / std::size(palette);
    cairo_set_dash(cairo_, patterns[(round + 2) % 3], round == 0 ? 0 : 2, 0);
  }

  // The title, and the legend above the plot: on the title's line if it fits there, or on lines of its own.
  void draw_heading() {
    font(title_size, true);
    colour(text_colour);
    const double plot = right_ - left_margin;
    const std::string title = fitted(chart_.title, plot);
    const double title_width = width_of(title);
    double y = top_ - 20;
    write(title, left_margin, y, 0);
    font(text_size);
    struct Entry {
      std::size_t series;
      std::string name;
      double width;
    };
    std::vector<Entry> entries;
    double total = 0;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      if (chart_.series[i].name.empty()) continue;
      std::string name = fitted(chart_.series[i].name, plot / 2);
      const double width = 46 + width_of(name);
      entries.push_back({i, std::move(name), width});
      total += width;
    }
    if (entries.empty()) return;
    double x = right_ + 18 - total;
    if (x < left_margin + title_width + 24) x = left_margin, y += title.empty() ? 0 : 22;
    const int max_lines = std::clamp(static_cast<int>((bottom_ - y - 80) / 18), 1, 3);
    int lines = 1;
    for (std::size_t k = 0; k < entries.size(); ++k) {
      const double end = lines == max_lines && k + 1 < entries.size() ? right_ - 84 : right_;  // room for "and 9 more"
      if (x + entries[k].width - 18 > end && x > left_margin) {
        if (++lines > max_lines) {
          colour(quiet_colour);
          write(fmt::format("and {} more", entries.size() - k), right_, y, 1);
          break;
        }
        x = left_margin, y += 18;
      }
      colour(entries[k].series);
      cairo_set_line_width(cairo_, 2.5);
      dashes(entries[k].series);
      line(x, y - 4, x + 20, y - 4);
      cairo_stroke(cairo_);
      colour(text_colour);
      write(entries[k].name, x + 26, y, 0);
      x += entries[k].width;
    }
    cairo_set_dash(cairo_, nullptr, 0, 0);
    top_ = y + 20;
  }

  void draw_axes() {
    const auto [x, min_step] = x_axis(curves_);
    x_ = padded(x, 0.012);
    y_ = padded(y_range(curves_), 0.05);
    const double y_count = std::max(3.0, (bottom_ - top_) / 40), x_count = std::max(2.0, (right_ - left_margin) / 100);
    font(text_size - 1);
    cairo_set_line_width(cairo_, 1);
    for (const Tick& t : linear_ticks(x_, x_count, min_step)) {
      const double at = std::round(px(t.at)) + 0.5;
      grid_line(at, top_, at, bottom_, 0.93);
      colour(quiet_colour);
      write(t.label, at, bottom_ + 17, 0.5);
    }
    for (const Tick& t : chart_.log_y ? log_ticks(y_, y_count) : linear_ticks(y_, y_count, 0)) {
      const double at = std::round(py(t.at)) + 0.5;
      const bool zero = t.at == 0 && !chart_.log_y;
      grid_line(left_margin, at, right_, at, zero ? 0.72 : t.label.empty() ? 0.955 : 0.89);
      colour(quiet_colour);
      write(t.label, left_margin - 8, at + 4, 1);
    }
    grid_line(left_margin, std::round(bottom_) + 0.5, right_, std::round(bottom_) + 0.5, 0.6);
    draw_labels();
  }

  void grid_line(double x0, double y0, double x1, double y1, double grey) {
    colour({grey, grey, grey});
    line(x0, y0, x1, y1);
    cairo_stroke(cairo_);
  }

  void draw_labels() {
    font(text_size);
    colour(text_colour);
    const std::string label = fitted(chart_.x_label, (right_ - left_margin) / 3);
    write(label, (left_margin + right_) / 2, bottom_ + 38, 0.5);
    note_left_ = (left_margin + right_ + width_of(label)) / 2 + 16;
    cairo_save(cairo_);
    cairo_translate(cairo_, 22, (top_ + bottom_) / 2);
    cairo_rotate(cairo_, -std::numbers::pi / 2);
    write(fitted(chart_.y_label, bottom_ - top_), 0, 0, 0.5);
    cairo_restore(cairo_);
    if (std::any_of(curves_.begin(), curves_.end(), [](const Curve& c) { return !c.points.empty(); })) return;
    colour(quiet_colour);
    write("no values", (left_margin + right_) / 2, (top_ + bottom_) / 2, 0.5);
  }

  void trace(const Points& points, std::size_t series, double line_width, double alpha) {
    colour(series, alpha);
    cairo_set_line_width(cairo_, line_width);
    cairo_set_line_join(cairo_, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cairo_, CAIRO_LINE_CAP_ROUND);
    dashes(series);
    for (const Points& part : strokes(points, [this](double x) { return px(x); })) {
      cairo_new_sub_path(cairo_);
      for (const Point& p : part) cairo_line_to(cairo_, px(p.x), py(p.y));
      if (part.size() == 1) cairo_line_to(cairo_, px(part[0].x), py(part[0].y));  // a point of its own shows, too
    }
    cairo_stroke(cairo_);
    cairo_set_dash(cairo_, nullptr, 0, 0);
    if (points.size() > 60 || chart_.series[series].reference) return;
    for (const Point& p : points) {
      cairo_new_sub_path(cairo_);
      cairo_arc(cairo_, px(p.x), py(p.y), 3, 0, 2 * std::numbers::pi);
    }
    cairo_fill(cairo_);
  }

  // Triangles for values beyond the y axis, crosses for those with no place on it, and how many there are of them.
  void draw_marks() {
    cairo_set_line_width(cairo_, 1.3);
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      colour(i);
      double last[2] = {-1e9, -1e9};  // marks closer than 6 pixels are left out, on the lower and on the upper edge
      for (const Point& p : curves_[i].points) {
        if (p.y >= y_.low && p.y <= y_.high) continue;
        const bool up = p.y > y_.high;
        const double x = px(p.x), tip = up ? top_ - 1 : bottom_ + 1, base = tip + (up ? 7 : -7);
        if (std::abs(x - std::exchange(last[up], x)) < 6) continue;
        line(x, tip, x + 4.5, base);
        cairo_line_to(cairo_, x - 4.5, base);
        cairo_fill(cairo_);
      }
      double previous = -1e9;
      for (const double v : curves_[i].missing) {
        const double x = px(v), y = bottom_ - 6 - 9 * static_cast<double>(i % 4);
        if (std::abs(x - previous) < 8) continue;
        previous = x;
        line(x - 3, y - 3, x + 3, y + 3);
        line(x - 3, y + 3, x + 3, y - 3);
        cairo_stroke(cairo_);
      }
    }
    font(text_size - 1);
    colour(quiet_colour);
    write(fitted(off_axis_note(curves_, y_, chart_.log_y), right_ - note_left_), right_, bottom_ + 38, 1);
  }

  cairo_t* cairo_;
  const Chart& chart_;
  double top_, right_, bottom_;  // the plot's edges in pixels
  double note_left_ = 0;         // where the x label ends
  Range x_, y_;                  // the axes, y_ of logarithms where that axis is logarithmic
  std::vector<Curve> curves_;
};

cairo_status_t append(void* context, const unsigned char* data, unsigned size) {
  auto& png = *static_cast<std::vector<std::byte>*>(context);
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  png.insert(png.end(), bytes, bytes + size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

void save_charts(const std::filesystem::path& path, std::span<const Chart> charts, int width, int height_each) {
  require(width >= 360 && width <= 8192 && height_each >= 160 && height_each <= 4096,
          "[save_charts] charts of {} x {} pixels, expected 360..8192 x 160..4096", width, height_each);
  const Chart nothing;
  if (charts.empty()) charts = {&nothing, 1};
  require(charts.size() <= static_cast<std::size_t>(32000 / height_each),
          "[save_charts] {} charts of {} pixels, expected at most 32000 pixels in all", charts.size(), height_each);
  const int height = height_each * static_cast<int>(charts.size());
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height), &cairo_surface_destroy);
  const Context cairo(cairo_create(surface.get()), &cairo_destroy);
  cairo_set_source_rgb(cairo.get(), 1, 1, 1);
  cairo_paint(cairo.get());
  for (std::size_t i = 0; i < charts.size(); ++i)
    Panel(cairo.get(), charts[i], static_cast<double>(i) * height_each, width, height_each).draw();
  cairo_status_t status = cairo_status(cairo.get());
  std::vector<std::byte> png;
  if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_write_to_png_stream(surface.get(), append, &png);
  require(status == CAIRO_STATUS_SUCCESS, "[save_charts] cannot draw {}: {}", path.string(),
          cairo_status_to_string(status));
  const std::array<std::span<const std::byte>, 1> parts{png};
  write_file_atomically(path, parts);
}

}  // namespace duel
