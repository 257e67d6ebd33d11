// What the training tells while it runs: one line that is redrawn on a terminal, plain lines elsewhere.
#pragma once
#include <cstdint>
#include <string>

#include "tools/history.h"

namespace duel {

// Where the training stands. 0 stands for "no limit" and "not known yet".
struct Standing {
  std::int64_t step = 0, steps = 0;
  double images_per_s = 0;
  double seconds = 0, seconds_limit = 0;  // since the command began
  double seconds_left = 0;
};

class Progress {
 public:
  // A bar where standard output is a terminal that knows how to go back in a line (TERM is set and not "dumb"), in
  // colour unless NO_COLOR is set.
  explicit Progress(std::string title);

  // Draws at most ten bars a second or a line every five seconds; `now`: a line in any case (not a bar).
  void update(const Standing& standing, const Record& record, bool now = false);
  // A line of its own, above the bar.
  void say(const std::string& line);
  void warn(const std::string& line);  // "warning: <line>" on standard error

 private:
  void clear();
  void draw_bar(const Standing& standing, const Record& record);

  std::string title_;
  bool bar_ = false, colour_ = false, utf8_ = false;
  bool drawn_ = false;
  double last_ = -1e9;  // seconds
};

double seconds_now();                  // of a clock that never goes back
std::string duration(double seconds);  // "42s", "3m 05s", "2h 07m"

}  // namespace duel
