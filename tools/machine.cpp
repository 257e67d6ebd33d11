#include "tools/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <ctime>
#include <fstream>

#include "tools/threads.h"

namespace duel {
namespace {

// The value of the first line that begins with `key`, after `separator`; "" where there is none.
std::string field(const char* file, const std::string& key, char separator) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t at = line.find(separator);
    if (at == line.npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t\"", at + 1);
    const std::size_t end = line.find_last_not_of(" \t\"");
    return begin == line.npos ? "" : line.substr(begin, end - begin + 1);
  }
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> machine_facts() {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.emplace_back(name, value);
  };
  add("processor", field("/proc/cpuinfo", "model name", ':'));
  add("processors to use", std::to_string(available_threads()));
  const std::string memory = field("/proc/meminfo", "MemTotal", ':');
  if (!memory.empty()) add("memory", fmt::format("{:.1f} GiB", std::strtod(memory.c_str(), nullptr) / (1 << 20)));
  utsname system{};
  if (::uname(&system) == 0) {
    const std::string name = field("/etc/os-release", "PRETTY_NAME=", '=');
    add("system",
        fmt::format("{}{} {}, {}", name.empty() ? "" : name + ", ", system.sysname, system.release, system.machine));
  }
#ifdef __clang__
  add("compiler", "Clang " __clang_version__);
#else
  add("compiler", "GCC " __VERSION__);
#endif
  return facts;
}

std::string date_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  char text[32] = "";
  if (::gmtime_r(&now, &utc)) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
  return text;
}

}  // namespace duel
