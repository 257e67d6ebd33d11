#include "kernels/gpu/tuner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace duel::kernels {
namespace {

namespace fs = std::filesystem;

constexpr int rounds = 5, cache_format = 1;
constexpr double margin = 1.03;

// Infinity where a value is missing or not a number.
double error(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= largest)) largest = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
    square += static_cast<double>(b[i]) * b[i];
  }
  const double size = std::sqrt(square / std::max<double>(1, static_cast<double>(b.size())));
  return largest == 0 ? 0 : largest / size;
}

nlohmann::json read_json(const fs::path& file) {
  std::ifstream in(file);
  nlohmann::json all = nlohmann::json::parse(in, nullptr, false);
  const bool known = all.is_object() && all.value("format", nlohmann::json()) == cache_format &&
                     all.contains("environments") && all["environments"].is_object();
  return known ? all : nlohmann::json{{"format", cache_format}, {"environments", nlohmann::json::object()}};
}

}  // namespace

fs::path default_tuner_cache() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (std::getenv("DUEL_TUNER_CACHE")) return variable("DUEL_TUNER_CACHE");
  fs::path folder = variable("XDG_CACHE_HOME");
  if (!folder.is_absolute() && variable("HOME").is_absolute()) folder = variable("HOME") / ".cache";
  return folder.is_absolute() ? folder / "duel" / "engines.json" : fs::path();
}

Tuner::Tuner(std::string environment, fs::path cache) : environment_(std::move(environment)), cache_(std::move(cache)) {
  if (!cache_.empty()) read();
}

void Tuner::set(Prefer prefer, bool deterministic) {
  prefer_ = prefer;
  deterministic_ = deterministic;
}

std::size_t Tuner::choose(const std::string& key, std::span<const Engine> engines, const Trial& trial,
                          double tolerance) {
  // Those of the library come first where they are preferred: in that order one is taken without times.
  std::vector<std::size_t> wanted;
  const auto want = [&](std::size_t i) {
    if (engines[i].deterministic || !deterministic_) wanted.push_back(i);
  };
  if (prefer_ == Prefer::fastest) want(0);
  for (std::size_t i = 1; i < engines.size() && prefer_ != Prefer::own; ++i) want(i);
  if (prefer_ != Prefer::fastest) want(0);
  if (wanted.empty()) throw NotDeterministic(key + ": none of its kernels is deterministic, expected one");
  if (wanted.size() == 1 && wanted[0] == 0) return 0;

  auto& records = records_[key];
  bool changed = check(engines, wanted, trial, tolerance, records);
  std::erase_if(wanted, [&](std::size_t i) { return i > 0 && !records[engines[i].name].right; });
  if (prefer_ == Prefer::library && wanted.size() > 1) std::erase(wanted, std::size_t{0});
  if (!deterministic_ && wanted.size() > 1) {
    if (time(engines, wanted, trial, records)) changed = true;
    std::erase_if(wanted, [&](std::size_t i) { return !records[engines[i].name].why.empty(); });
  }
  if (changed) write();
  if (wanted.empty()) return 0;
  if (deterministic_) return wanted[0];
  const auto seconds = [&](std::size_t i) { return records[engines[i].name].seconds * (i == 0 ? 1 : margin); };
  return *std::min_element(wanted.begin(), wanted.end(),
                           [&](std::size_t a, std::size_t b) { return seconds(a) < seconds(b); });
}

// Answers whether there is anything new.
bool Tuner::check(std::span<const Engine> engines, const std::vector<std::size_t>& wanted, const Trial& trial,
                  double tolerance, std::map<std::string, Record>& records) {
  std::vector<float> expected;
  bool changed = false;
  for (const std::size_t i : wanted) {
    Record& record = records[engines[i].name];
    if (i == 0 || record.right || !record.why.empty()) continue;
    if (expected.empty()) expected = trial.result(engines[0]);
    changed = true;
    try {
      const double e = error(trial.result(engines[i]), expected);
      record.right = e <= tolerance;
      if (!record.right) record.why = fmt::format("wrong by {:.2g}, expected at most {:.2g}", e, tolerance);
    } catch (const std::exception& e) {
      trial.after_failure();
      record.why = e.what();
    }
  }
  return changed;
}

bool Tuner::time(std::span<const Engine> engines, const std::vector<std::size_t>& wanted, const Trial& trial,
                 std::map<std::string, Record>& records) {
  const bool known =
      std::all_of(wanted.begin(), wanted.end(), [&](std::size_t i) { return records[engines[i].name].seconds > 0; });
  if (known) return false;
  // All of them anew: times of another day are those of another load.
  std::map<std::size_t, std::vector<double>> seconds;
  for (int round = 0; round < rounds; ++round)
    for (const std::size_t i : wanted) {
      Record& record = records[engines[i].name];
      if (!record.why.empty()) continue;
      try {
        seconds[i].push_back(trial.seconds(engines[i]));
      } catch (const std::exception& e) {
        if (i == 0) throw;
        trial.after_failure();
        record = {.why = e.what()};
      }
    }
  for (auto& [i, s] : seconds) {
    std::sort(s.begin(), s.end());
    // A clock too coarse to see it at all still has seen it.
    records[engines[i].name].seconds = std::max(s[s.size() / 2], 1e-9);
  }
  return true;
}

void Tuner::drop(const std::string& key, const std::string& name, const std::string& why) {
  records_[key][name] = {.why = why};
  write();
}

std::vector<std::string> Tuner::dropped() const {
  std::vector<std::string> lines;
  for (const auto& [key, engines] : records_)
    for (const auto& [name, record] : engines)
      if (!record.why.empty()) lines.push_back(key + ": " + name + ": " + record.why);
  return lines;
}

void Tuner::read() {
  try {
    const nlohmann::json all = read_json(cache_);
    const auto here = all["environments"].find(environment_);
    if (here == all["environments"].end()) return;
    Records found;
    for (const auto& [key, engines] : here->items())
      for (const auto& [name, r] : engines.items()) {
        const Record record{r.at("right").get<bool>(), r.at("seconds").get<double>(), r.at("why").get<std::string>()};
        if (!std::isfinite(record.seconds) || record.seconds < 0 || (record.right && !record.why.empty())) return;
        found[key][name] = record;
      }
    records_ = std::move(found);
  } catch (const std::exception&) {  // as good as none
  }
}

void Tuner::write() const {
  std::error_code error;
  // Never in the place of a device or a folder.
  if (cache_.empty() || (fs::exists(cache_, error) && !fs::is_regular_file(cache_, error))) return;
  try {
    nlohmann::json all = read_json(cache_), here = nlohmann::json::object();
    for (const auto& [key, engines] : records_)
      for (const auto& [name, r] : engines)
        if (r.right || r.seconds > 0 || !r.why.empty())
          here[key][name] = {{"right", r.right}, {"seconds", r.seconds}, {"why", r.why}};
    all["environments"][environment_] = here;
    fs::create_directories(cache_.parent_path(), error);
    const fs::path fresh = cache_.string() + "." + std::to_string(::getpid());
    std::ofstream out(fresh);
    out << all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    out.close();
    error.clear();
    if (out) fs::rename(fresh, cache_, error);
    if (!out || error) fs::remove(fresh, error);
  } catch (const std::exception&) {  // measured again next time
  }
}

}  // namespace duel::kernels
