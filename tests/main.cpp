#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "kernels/on_host/executor.h"

namespace {

// Prints how many of the CUDA kernels have run on the CPU. A template counts once, its instances are told beside.
// Answers how many have not.
int report_kernels() {
  std::map<std::string, bool> templates;
  std::size_t instances = 0, executed = 0;
  unsigned long long launches = 0;
  for (const auto& k : duel::on_host::kernel_records()) {
    if (k.name.find("kernels") == std::string::npos) continue;  // the tests' own
    const std::string name = k.name.substr(0, k.name.find('<'));
    templates[name] = templates[name] || k.launches > 0;
    ++instances;
    executed += k.launches > 0;
    launches += k.launches;
  }
  int missing = 0;
  for (const auto& [name, ran] : templates)
    if (!ran) {
      std::printf("kernels: no test has executed %s\n", name.c_str());
      ++missing;
    }
  std::printf("kernels: %zu of %zu executed, as %zu of %zu instances, %llu launches\n",
              templates.size() - static_cast<std::size_t>(missing), templates.size(), executed, instances, launches);
  return missing;
}

}  // namespace

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int failed = context.run();
  // Set where the tests of all kernels run together: each must have been executed then.
  if (!std::getenv("DUEL_EVERY_KERNEL")) return failed;
  return report_kernels() > 0 ? 1 : failed;
}
