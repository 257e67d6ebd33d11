#include "tools/threads.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/device.h"
#include "engine/precision.h"
#include "engine/products.h"

namespace duel {
namespace {

// cgroup v2: "max 100000" or "<quota> <period>", in microseconds. 0: no limit.
int quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double limit = 0, period = 0;
  if (!(file >> limit >> period) || limit <= 0 || period <= 0) return 0;
  return std::max(1, static_cast<int>(limit / period + 0.999));
}

}  // namespace

int available_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
  if (const int limit = quota()) count = std::min(count, limit);
  return std::max(1, count);
}

void bound_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  // Alone on the machine 2000 turns cost nothing against libgomp's own choice; beside one busy process that choice
  // makes training 5 to 20 times slower, because a thread that waits keeps the processor from the one it waits for.
  ::setenv("GOMP_SPINCOUNT", "2000", 1);
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) ::execv(self.c_str(), argv);  // where that fails, the program goes on as it is
}

void configure_threads(int count) { omp_set_num_threads(count); }

void use_device(const std::string& word) { set_default_device(choose_device(word).device); }
void use_precision(const std::string& word) { set_precision(choose_precision(word, default_device())); }

Setting threads_option() {
  return {"threads", "threads to compute with", std::to_string(available_threads()), 1, 1024, true, {}};
}
Setting device_option() {
  return {"device", "where to compute; cuda-host: the GPU's kernels on the CPU", "auto", 0, 0, false, device_words()};
}
Setting conv_option() {
  return {"conv",
          "who convolves and multiplies on a GPU: Duel's kernels, cuDNN and cuBLASLt, or the fastest, tried for each "
          "shape; the latter two have not yet run on a GPU",
          "own",
          0,
          0,
          false,
          product_words()};
}
Setting precision_option() {
  return {"precision", "of what nets compute; the weights are f32", "f32", 0, 0, false, precision_words()};
}
Setting drawing_precision_option() {
  std::vector<std::string> words{"run"};
  words.insert(words.end(), precision_words().begin(), precision_words().end());
  return {"precision", "of what nets compute; run: as it was trained", "run", 0, 0, false, words};
}

}  // namespace duel
