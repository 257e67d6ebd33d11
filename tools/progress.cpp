#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace duel {
namespace {

constexpr double bar_interval = 0.1, line_interval = 5;  // seconds

// A reader that went away is no reason to end a training: errors are left alone.
void put(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const std::string_view v = variable(name); !v.empty())
      return v.find("UTF-8") != v.npos || v.find("utf8") != v.npos || v.find("UTF8") != v.npos;
  return false;
}

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string number(double v) {
  if (!std::isfinite(v)) return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
  const double a = std::abs(v);
  return a >= 1e5 || (a < 1e-3 && a > 0) ? fmt::format("{:.2e}", v) : fmt::format("{:.{}f}", v, a >= 100 ? 1 : 3);
}

// Most important first: what does not fit is left out from the end.
std::vector<std::string> fields(const Standing& s, const Record& r) {
  std::vector<std::string> out;
  out.push_back(s.steps ? fmt::format("step {}/{}", s.step, s.steps) : fmt::format("step {}", s.step));
  if (s.images_per_s > 0) out.push_back(fmt::format("{:.0f} images/s", s.images_per_s));
  if (s.seconds_left > 0) out.push_back(duration(s.seconds_left) + " left");
  auto add = [&](auto wanted) {
    for (std::size_t i = 0; i < r.names.size(); ++i)
      if (wanted(r.names[i])) out.push_back(label(r.names[i]) + " " + number(r.values[i]));
  };
  auto main_loss = [](const std::string& n) { return n == "loss_d" || n == "loss_g"; };
  auto output = [](const std::string& n) { return n == "d_real" || n == "d_fake"; };
  add(main_loss);
  add(output);
  add([&](const std::string& n) { return !main_loss(n) && !output(n); });
  return out;
}

// Of everything that limits the run, the part that is done of the one that will stop it.
double fraction(const Standing& s) {
  double done = 0;
  if (s.steps > 0) done = static_cast<double>(s.step) / static_cast<double>(s.steps);
  if (s.seconds_limit > 0) done = std::max(done, s.seconds / s.seconds_limit);
  return std::clamp(done, 0.0, 1.0);
}

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration(double seconds) {
  const auto s = static_cast<long long>(std::ceil(std::clamp(seconds, 0.0, 1e9)));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
}

Progress::Progress(std::string title) : title_(std::move(title)) {
  const std::string_view terminal = variable("TERM");
  bar_ = ::isatty(STDOUT_FILENO) == 1 && !terminal.empty() && terminal != "dumb";
  colour_ = bar_ && variable("NO_COLOR").empty();
  utf8_ = speaks_utf8();
}

void Progress::update(const Standing& standing, const Record& record, bool now) {
  if (standing.seconds - last_ < (bar_ ? bar_interval : line_interval) && !now) return;
  last_ = standing.seconds;
  if (bar_) return draw_bar(standing, record);
  std::string line = title_;
  for (const std::string& field : fields(standing, record)) line += "  " + field;
  say(line);
}

void Progress::draw_bar(const Standing& standing, const Record& record) {
  // The last column stays free: some terminals wrap when it is written to.
  const auto room = static_cast<std::size_t>(std::max(terminal_columns() - 1, 1));
  constexpr std::size_t bar_most = 30;
  const std::size_t bar_least = room >= 80 ? 24 : 10;
  std::string text;
  for (const std::string& field : fields(standing, record)) {
    if (bar_least + text.size() + 2 + field.size() > room) break;
    text += "  " + field;
  }
  std::string bar;
  if (room >= bar_least + text.size()) {
    const std::size_t width = std::min(bar_most, room - text.size());
    const auto full = static_cast<std::size_t>(fraction(standing) * static_cast<double>(width));
    if (colour_) bar += "\x1b[36m";
    for (std::size_t i = 0; i < full; ++i) bar += utf8_ ? "━" : "#";
    if (colour_) bar += "\x1b[90m";
    for (std::size_t i = full; i < width; ++i) bar += utf8_ ? (colour_ ? "━" : "─") : "-";
    if (colour_) bar += "\x1b[0m";
  } else {
    bar = fmt::format("{}", standing.step).substr(0, room);
  }
  put("\r\x1b[K" + bar + text);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) put("\r\x1b[K");
  drawn_ = false;
}

void Progress::say(const std::string& line) {
  clear();
  put(line + "\n");
}

void Progress::warn(const std::string& line) {
  clear();
  std::fputs(("warning: " + line + "\n").c_str(), stderr);
}

}  // namespace duel
