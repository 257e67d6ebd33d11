// The rooms of the house: includes go down only, and nobody reaches into a sibling. Prints the line counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::vector<std::string>>& may_include() {
  static const std::map<std::string, std::vector<std::string>> rules{
      {"kernels", {"kernels"}},
      {"engine", {"engine", "kernels"}},
      {"losses", {"losses", "engine"}},
      {"models", {"models", "losses", "engine"}},
      {"tools", {"tools", "models", "losses", "engine"}},
  };
  return rules;
}

bool is_source(const fs::path& p) {
  const std::string e = p.extension().string();
  return e == ".h" || e == ".cpp" || e == ".cu" || e == ".cuh";
}

}  // namespace

TEST_CASE("house: includes go down only") {
  const fs::path root = DUEL_SOURCE_FOLDER;
  for (const auto& [room, allowed] : may_include()) {
    int files = 0, lines = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
      if (!is_source(entry.path())) continue;
      ++files;
      std::ifstream in(entry.path());
      int own = 0;
      for (std::string line; std::getline(in, line); ++own) {
        if (line.rfind("#include \"", 0) != 0) continue;
        const std::string target = line.substr(10, line.find('"', 10) - 10),
                          target_room = target.substr(0, target.find('/'));
        CHECK_MESSAGE(std::find(allowed.begin(), allowed.end(), target_room) != allowed.end(),
                      entry.path().filename().string() << " in " << room << " includes " << target);
        if (room == "models") {  // papers share the interface, the nets and the common recipes, never each other
          static const std::set<std::string> shared{"models/model.h",        "models/nets.h",
                                                    "models/adversarial.h",  "models/unconditional.h",
                                                    "models/critic_input.h", "models/progressive.h"};
          const std::string name = entry.path().stem().string();
          const bool sibling = target_room == "models" && !shared.contains(target) && target != "models/" + name + ".h";
          CHECK_MESSAGE(!sibling, entry.path().filename().string() << " includes its sibling " << target);
        }
      }
      lines += own;
      CHECK_MESSAGE(own <= 600, entry.path().filename().string() << " has " << own << " lines");
    }
    std::printf("house: %-8s %3d files %6d lines\n", room.c_str(), files, lines);
  }
}
