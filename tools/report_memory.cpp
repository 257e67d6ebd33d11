#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/error.h"
#include "engine/files.h"
#include "tools/report.h"
#include "tools/report_parts.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *memory_begin = "<script type=\"application/json\" id=\"memory\">", *memory_end = "</script>";
constexpr std::size_t most_frames = 40;
constexpr std::uintmax_t most_bytes = 5 << 20;

// A report that somebody edited is not worth ending a training for.
ReportMemory parse(const Json& json) {
  ReportMemory m;
  m.begun = json.at("begun").get<std::string>();
  m.seconds = json.at("seconds").get<double>();
  m.calls = json.at("calls").get<std::int64_t>();
  for (const double v : json.at("first_distance")) m.first.step.push_back(0), m.first.value.push_back(v);
  for (const Json& w : json.at("warnings"))
    m.warnings.push_back({w.at("id").get<std::string>(), w.at("step").get<std::int64_t>(),
                          w.at("text").get<std::string>(), w.at("advice").get<std::string>()});
  return m;
}

std::uintmax_t total(const std::vector<Frame>& frames) {
  std::uintmax_t sum = 0;
  for (const Frame& f : frames) sum += f.bytes;
  return sum;
}

}  // namespace

ReportMemory read_report_memory(const fs::path& report) try {
  std::error_code error;
  if (!fs::exists(report, error)) return {};
  const std::string text = read_text(report);
  const std::size_t begin = text.rfind(memory_begin);
  if (begin == text.npos) return {};
  const std::size_t from = begin + std::string_view(memory_begin).size(), to = text.find(memory_end, from);
  return parse(Json::parse(text.substr(from, to == text.npos ? to : to - from)));
} catch (const nlohmann::json::exception&) {
  return {};
} catch (const Error&) {
  return {};
}

std::string memory_element(const ReportMemory& m) {
  Json json{{"begun", m.begun}, {"seconds", m.seconds}, {"calls", m.calls}, {"first_distance", m.first.value}};
  json["warnings"] = Json::array();
  for (const Warning& w : m.warnings)
    json["warnings"].push_back({{"id", w.id}, {"step", w.step}, {"text", w.text}, {"advice", w.advice}});
  std::string out = memory_begin;
  // No "<" inside: it could end the element.
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) c == '<' ? out += "\\u003c" : out += c;
  return out + memory_end;
}

std::vector<Frame> choose_frames(const fs::path& samples, std::int64_t step) {
  std::vector<Frame> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(samples, error)) {
    const std::string name = entry.path().filename().string();
    std::int64_t at = 0;
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), at);
    if (bad != std::errc() || std::string_view(end) != ".png" || at > step) continue;
    std::error_code gone;
    const std::uintmax_t bytes = entry.file_size(gone);
    if (!gone) all.push_back({at, entry.path(), bytes});
  }
  std::sort(all.begin(), all.end(), [](const Frame& a, const Frame& b) { return a.step < b.step; });
  for (std::size_t count = std::min(all.size(), most_frames);; --count) {
    std::vector<Frame> chosen;
    for (std::size_t i = 0; i < count; ++i)
      chosen.push_back(all[count == 1 ? all.size() - 1 : i * (all.size() - 1) / (count - 1)]);
    if (count <= 1 || total(chosen) <= most_bytes) return chosen;
  }
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    unsigned word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < n ? static_cast<unsigned>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= n ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace duel
