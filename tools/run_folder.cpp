#include "tools/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/picture.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string reason() { return std::generic_category().message(errno); }

// Numbers stay numbers in the file; text that is none (a word) is a string.
Json to_json(const std::string& text) {
  const Json parsed = Json::parse(text, nullptr, false);
  return parsed.is_number() ? parsed : Json(text);
}
std::string to_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::map<std::string, std::string> texts(const Json& object) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : object.items())
    if (value.is_string() || value.is_number()) out[name] = to_text(value);
  return out;
}

// Metrics are f32: the shortest text that reads back to the same one. JSON has no NaN and no infinity.
std::string number(double v) {
  if (!std::isfinite(v)) return "null";
  const auto f = static_cast<float>(v);
  return static_cast<double>(f) == v ? fmt::format("{}", f) : fmt::format("{}", v);
}

// The text of the folder's log up to the record of `step`.
std::string kept_log(const std::string& text, std::int64_t step, History& history) {
  std::string kept;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    const std::string_view line(text.data() + begin, end - begin);
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    if (json["step"].get<std::int64_t>() > step) continue;
    std::vector<std::string> names;
    std::vector<double> values;
    for (const auto& [name, value] : json.items()) {
      if (name == "step") continue;
      names.push_back(name);
      values.push_back(value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
    }
    history.add({json["step"].get<std::int64_t>(), names, values});
    kept.append(line).push_back('\n');
  }
  return kept;
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {}
RunFolder::~RunFolder() {
  if (log_ >= 0) ::close(log_);
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::check_free() const {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (status.type() == fs::file_type::not_found) {
    fs::path above = path_.parent_path();
    while (!above.empty() && !fs::exists(above, error)) above = above.parent_path();
    if (above.empty()) above = ".";
    require(fs::is_directory(above, error), "--out {}: {} is no folder", path_.string(), above.string());
    require(::access(above.c_str(), W_OK | X_OK) == 0, "--out {}: cannot be made: {}", path_.string(), reason());
    return;
  }
  require(status.type() == fs::file_type::directory,
          "--out {}: found a file or nothing that can be read, expected a folder", path_.string());
  require(::access(path_.c_str(), R_OK | W_OK | X_OK) == 0, "--out {}: cannot be written: {}", path_.string(),
          reason());
  if (fs::is_empty(path_, error) && !error) return;
  require(fs::exists(path_ / "config.json", error),
          "--out {}: the folder is not empty and holds no run; choose another --out", path_.string());
  std::string steps = "an unknown number of";
  std::string model = "an unknown model";
  try {
    model = read_config().model;
    const TensorFile file = read_safetensors(checkpoint());
    if (const auto it = file.tensors.find("iteration"); it != file.tensors.end() && it->second.data.size() == 8)
      steps = std::to_string(*reinterpret_cast<const std::int64_t*>(it->second.data.data()));
  } catch (const Error&) {  // the folder is refused either way
  }
  fail("--out {}: found a run of {} with {} steps; add --resume or choose another --out", path_.string(), model, steps);
}

RunConfig RunFolder::read_config() const {
  const fs::path file = path_ / "config.json";
  std::error_code error;
  require(fs::is_directory(path_, error), "{}: no such run folder", path_.string());
  require(fs::exists(file, error), "{}: the folder holds no run (no config.json)", path_.string());
  const Json json = Json::parse(read_text(file), nullptr, false);
  require(json.is_object() && json.contains("model") && json["model"].is_string() && json.contains("settings") &&
              json["settings"].is_object() && json.contains("options") && json["options"].is_object(),
          "{}: damaged, expected a JSON object with model, settings and options", file.string());
  return {json["model"].get<std::string>(), texts(json["settings"]), texts(json["options"])};
}

void RunFolder::open() {
  std::error_code error;
  fs::create_directories(path_ / "samples", error);
  require(!error, "--out {}: cannot be made: {}", path_.string(), error.message());
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(lock_ >= 0, "--out {}: cannot be opened: {}", path_.string(), reason());
  require(::flock(lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, "--out {}: another process is training there",
          path_.string());
}

void RunFolder::write_config(const RunConfig& config, const RunIdentity& identity) {
  Json json;
  json["duel"] = DUEL_VERSION;
  json["model"] = config.model;
  for (const auto& [name, value] : config.settings) json["settings"][name] = to_json(value);
  for (const auto& [name, value] : config.options)
    json["options"][name] = name == "data" || name == "init" ? Json(value) : to_json(value);
  json["data"] = {{"name", identity.data_name}, {"count", identity.data_count}, {"digest", identity.data_digest}};
  json["image"] = {
      {"height", identity.image.height}, {"width", identity.image.width}, {"channels", identity.image.channels}};
  write_file_atomically(path_ / "config.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void RunFolder::open_log(std::int64_t step, History& history) {
  const fs::path file = path_ / "log.jsonl";
  if (fs::exists(file)) {
    const std::string text = read_text(file), kept = kept_log(text, step, history);
    if (kept != text) write_file_atomically(file, kept);
  }
  log_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  require(log_ >= 0, "cannot write {}: {}", file.string(), reason());
}

void RunFolder::log(const Record& record, double images_per_s) {
  std::string line = fmt::format("{{\"step\": {}", record.step);
  for (std::size_t i = 0; i < record.names.size(); ++i)
    line += fmt::format(", \"{}\": {}", record.names[i], number(record.values[i]));
  line += fmt::format(", \"images_per_s\": {:.1f}}}\n", images_per_s);
  // One write for a line: whoever reads along, or finds it after a crash, sees whole lines.
  ssize_t done = -1;
  do done = ::write(log_, line.data(), line.size());
  while (done < 0 && errno == EINTR);
  require(done == static_cast<ssize_t>(line.size()), "cannot write {}: {}", (path_ / "log.jsonl").string(),
          done < 0 ? reason() : "the disk is full");
}

void RunFolder::write_samples(const ImageSet& images, std::int64_t columns, std::int64_t step) {
  save_grid(path_ / "samples" / fmt::format("{:06}.png", step), images, columns);
  save_grid(path_ / "samples.png", images, columns);
}

void save_grid(const fs::path& path, const ImageSet& images, std::int64_t columns) {
  save_png(path, tile(images.pixels, images.count, images.height, images.width, images.channels, columns, 2,
                      grid_scale(images.height, images.width)));
}

}  // namespace duel
