// report.html: a run on one page. One file without anything from outside, for wide and narrow screens, light and dark.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tools/history.h"
#include "tools/warnings.h"

namespace duel {

// What only the report keeps: the time and the machine are in no other file of a run. It goes through the file itself,
// so that a resumed run goes on with it.
struct ReportMemory {
  std::string begun;       // date_now() of the first call
  double seconds = 0;      // of all calls together
  std::int64_t calls = 0;  // 1 + how often it was resumed
  History::Points first;   // the distance at step 0, which the log does not hold; at most one
  std::vector<Warning> warnings;
};
// Of the report that is there; empty where there is none that can be read.
ReportMemory read_report_memory(const std::filesystem::path& report);

using Facts = std::vector<std::pair<std::string, std::string>>;  // names and values

// Everything that is shown. All texts are plain.
struct Report {
  std::string model, summary, paper, data;
  std::string state;                 // "training", "done", "stopped", "failed"
  std::int64_t step = 0, steps = 0;  // steps 0: no limit
  double images_per_s = 0, epochs = 0;
  std::string seed;
  double attainable = 0;       // the distance that real images have
  std::string reference;       // what the distance is to
  bool probabilities = false;  // what D answers
  std::string command, resume_command, sample_command;
  Facts settings, options, data_facts, machine;
  const History* history = nullptr;
  ReportMemory memory;
  std::filesystem::path folder;  // with samples/NNNNNN.png and real.png; they are embedded
};

// At most about 8 MB: of the samples at most 40 pictures and 5 MB, evenly chosen, the first and the latest among them.
std::string render(const Report& report);

struct Frame {
  std::int64_t step = 0;
  std::filesystem::path file;
  std::uintmax_t bytes = 0;
};
// The pictures up to `step` that are shown.
std::vector<Frame> choose_frames(const std::filesystem::path& samples, std::int64_t step);

}  // namespace duel
