// The machine a run is computed on, in words; for the report only.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace duel {

// Names and values: processor, memory, system, compiler. What cannot be found out is left out.
std::vector<std::pair<std::string, std::string>> machine_facts();

// "2025-11-21 14:03 UTC"
std::string date_now();

}  // namespace duel
