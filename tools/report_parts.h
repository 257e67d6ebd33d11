// What report.cpp and report_memory.cpp share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tools/report.h"

namespace duel {

std::string grouped(std::int64_t n);  // 12,345
// The element of the page that read_report_memory finds again.
std::string memory_element(const ReportMemory& memory);
// RFC 4648, section 4.
std::string base64(std::span<const std::byte> bytes);

}  // namespace duel
