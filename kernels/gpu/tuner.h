// Which of several engines computes an op at a shape: our own kernel or one of a library's. Knows nothing of CUDA: an
// engine is a name and a function, and how engines are tried is given by who asks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace duel::kernels {

// One way to compute an op at one shape. a, b and out are the kernel's; `workspace` holds at least that many bytes.
// run() throws where it fails.
struct Engine {
  std::string name;
  std::size_t workspace = 0;
  bool deterministic = true;  // gives the same bits every time
  std::function<void(View a, View b, View out, View workspace)> run;
};

struct Trial {
  std::function<std::vector<float>(const Engine&)> result;  // what it computes into memory that held something else
  std::function<double(const Engine&)> seconds;             // how long it takes, once
  std::function<void()> after_failure = [] {};              // throws where no engine can be tried any more
};

enum class Prefer : std::uint8_t {
  own,      // our own kernels, always; nothing is measured
  library,  // the fastest of the library's, our own where none is right
  fastest,  // the fastest of all; our own if it takes at most 3 % longer
};

// A file for the measurements: what DUEL_TUNER_CACHE names (none where it is empty), else duel/engines.json in the
// user's folder of caches (XDG_CACHE_HOME or ~/.cache); empty where there is no such folder.
std::filesystem::path default_tuner_cache();

// An op that has to be deterministic and has no such engine.
class NotDeterministic : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Tuner {
 public:
  // Measurements hold for one `environment` (GPU, driver, versions) and are read from and written to the file `cache`,
  // which keeps those of other environments as they are. A file that cannot be read, or is damaged, is as good as none,
  // and one that cannot be written is left. Empty: none.
  Tuner(std::string environment, std::filesystem::path cache);

  // Deterministic: only engines that are, and the first right one instead of the fastest, since times differ from run
  // to run.
  void set(Prefer prefer, bool deterministic);

  // The engine for what `key` names, an op with shape and types: an index into `engines`, whose first is our own
  // kernel. The others are checked against it, once: largest |difference| / (root of the mean square of ours) must be
  // at most `tolerance`. One that is wrong or fails is dropped for good. The right ones are timed in turn, median of 5
  // rounds. Errors: NotDeterministic, naming `key`; what our own kernel throws.
  std::size_t choose(const std::string& key, std::span<const Engine> engines, const Trial& trial, double tolerance);

  // Of the engine `name`, which failed later.
  void drop(const std::string& key, const std::string& name, const std::string& why);
  // "conv y f32 ...: cudnn 3: wrong ..." of every engine that was dropped.
  std::vector<std::string> dropped() const;

 private:
  struct Record {
    bool right = false;
    double seconds = 0;  // 0: not timed
    std::string why;     // it was dropped
  };
  using Records = std::map<std::string, std::map<std::string, Record>>;  // by key and engine

  bool check(std::span<const Engine> engines, const std::vector<std::size_t>& wanted, const Trial& trial,
             double tolerance, std::map<std::string, Record>& records);
  bool time(std::span<const Engine> engines, const std::vector<std::size_t>& wanted, const Trial& trial,
            std::map<std::string, Record>& records);
  void read();
  void write() const;

  std::string environment_;
  std::filesystem::path cache_;
  Prefer prefer_ = Prefer::own;
  bool deterministic_ = false;
  Records records_;
};

}  // namespace duel::kernels
