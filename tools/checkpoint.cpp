#include "tools/checkpoint.h"

#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/error.h"

namespace duel {
namespace {

constexpr const char* format_version = "1";
constexpr const char *iteration_name = "iteration", *epoch_name = "data.epoch", *index_name = "data.index";

template <class T>
T whole(const std::string& text, const std::string& file, const std::string& field) {
  T v{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  require(error == std::errc() && end == text.data() + text.size(), "{}: {} is '{}', expected a whole number", file,
          field, text);
  return v;
}

StoredTensor store(const Tensor& t) {
  StoredTensor stored{t.dtype(), {t.shape().begin(), t.shape().end()}, {}};
  stored.data.resize(static_cast<std::size_t>(t.size()) * size_of(t.dtype()));
  read(t, stored.data.data(), stored.data.size());
  return stored;
}

StoredTensor store(std::int64_t value) {
  StoredTensor stored{DType::i64, {}, std::vector<std::byte>(sizeof value)};
  std::memcpy(stored.data.data(), &value, sizeof value);
  return stored;
}

const StoredTensor& find(const TensorFile& file, const std::string& name, const std::string& tensor) {
  const auto it = file.tensors.find(tensor);
  require(it != file.tensors.end(), "{}: tensor {} is missing", name, tensor);
  return it->second;
}

std::int64_t counter(const TensorFile& file, const std::string& name, const std::string& tensor) {
  const StoredTensor& t = find(file, name, tensor);
  std::int64_t v = 0;
  require(t.dtype == DType::i64 && t.data.size() == sizeof v, "{}: tensor {} is {} values of {}, expected one i64",
          name, tensor, t.data.size() / size_of(t.dtype), to_string(t.dtype));
  std::memcpy(&v, t.data.data(), sizeof v);
  require(v >= 0, "{}: {} is {}, expected 0 or more", name, tensor, v);
  return v;
}

}  // namespace

std::map<std::string, std::string> RunIdentity::metadata() const {
  std::map<std::string, std::string> fields{{"duel.checkpoint", format_version},
                                            {"model", model},
                                            {"settings", nlohmann::json(settings).dump()},
                                            {"image.height", std::to_string(image.height)},
                                            {"image.width", std::to_string(image.width)},
                                            {"image.channels", std::to_string(image.channels)},
                                            {"batch", std::to_string(batch)},
                                            {"seed", std::to_string(seed)},
                                            {"data", data_name},
                                            {"data.count", std::to_string(data_count)},
                                            {"data.digest", data_digest},
                                            {"data.flip", flip ? "yes" : "no"}};
  if (precision != "f32") fields["precision"] = precision;
  if (image.classes > 0) fields["classes"] = std::to_string(image.classes);
  if (!labels.empty()) fields["data.labels"] = labels;
  return fields;
}

RunIdentity RunIdentity::parse(const std::map<std::string, std::string>& metadata, const std::string& file) {
  auto text = [&](const char* field) -> const std::string& {
    const auto it = metadata.find(field);
    require(it != metadata.end(), "{}: the metadata lack '{}', expected a checkpoint of duel", file, field);
    return it->second;
  };
  auto number = [&](const char* field) { return whole<std::int64_t>(text(field), file, field); };
  require(text("duel.checkpoint") == format_version, "{}: checkpoint format '{}', expected {}", file,
          text("duel.checkpoint"), format_version);
  RunIdentity run;
  run.model = text("model");
  try {
    run.settings = nlohmann::json::parse(text("settings")).get<std::map<std::string, std::string>>();
  } catch (const nlohmann::json::exception&) {
    fail("{}: the settings are '{}', expected a JSON object of texts", file, text("settings"));
  }
  run.image = {number("image.height"), number("image.width"), number("image.channels"), 0};
  constexpr std::int64_t most = 1 << 16;
  for (const std::int64_t n : {run.image.height, run.image.width, run.image.channels})
    require(n >= 1 && n <= most, "{}: the image shape holds {}, expected 1 to {}", file, n, most);
  if (metadata.count("classes")) run.image.classes = number("classes");
  require(run.image.classes >= 0 && run.image.classes <= most, "{}: {} classes, expected 0 to {}", file,
          run.image.classes, most);
  run.batch = number("batch");
  run.seed = whole<std::uint64_t>(text("seed"), file, "seed");
  run.data_name = text("data");
  run.data_count = number("data.count");
  run.data_digest = text("data.digest");
  run.flip = metadata.count("data.flip") > 0 && text("data.flip") == "yes";
  if (metadata.count("precision")) run.precision = text("precision");
  if (metadata.count("data.labels")) run.labels = text("data.labels");
  return run;
}

Settings canonical(const std::vector<Setting>& known, const std::map<std::string, std::string>& given) {
  const Settings checked(known, given);
  std::map<std::string, std::string> values = checked.values();
  for (const Setting& s : known)
    if (s.choices.empty()) values[s.name] = fmt::format("{}", checked.number(s.name));
  return {known, values};
}

std::string digest(const ImageSet& images) {
  std::uint64_t h = 0;
  auto mix = [&h](std::uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  };
  auto mix_bytes = [&](const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i, std::min<std::size_t>(8, size - i));
      mix(word);
    }
  };
  for (const std::int64_t n : {images.count, images.height, images.width, images.channels})
    mix(static_cast<std::uint64_t>(n));
  mix_bytes(images.pixels.data(), images.pixels.size());
  if (images.source) mix(images.source->fingerprint());
  mix_bytes(images.labels.data(), images.labels.size() * sizeof(std::int32_t));
  return fmt::format("{:016x}", h);
}

void save_checkpoint(const std::filesystem::path& path, const RunIdentity& run, const Model& model,
                     const Progression& at) {
  TensorFile file;
  file.metadata = run.metadata();
  for (const NamedTensor& t : model.state())
    require(file.tensors.emplace(t.name, store(t.value)).second, "{}: the model has two tensors {}", run.model, t.name);
  file.tensors[iteration_name] = store(at.iteration);
  file.tensors[epoch_name] = store(at.cursor.epoch);
  file.tensors[index_name] = store(at.cursor.index);
  write_safetensors(path, file);
}

Progression load_state(const TensorFile& file, const std::string& name, const Model& model) {
  const State state = model.state();
  std::map<std::string, bool> known{{iteration_name, true}, {epoch_name, true}, {index_name, true}};
  for (const NamedTensor& t : state) {
    known[t.name] = true;
    const StoredTensor& stored = find(file, name, t.name);
    require(stored.dtype == t.value.dtype() &&
                stored.shape == std::vector<std::int64_t>(t.value.shape().begin(), t.value.shape().end()),
            "{}: tensor {} is {} {}, expected {}", name, t.name, to_string(Shape(stored.shape)),
            to_string(stored.dtype), t.value.describe());
  }
  for (const auto& [tensor, stored] : file.tensors)
    require(known.count(tensor) > 0, "{}: tensor {} is not one of the model's", name, tensor);
  const Progression at{counter(file, name, iteration_name),
                       {counter(file, name, epoch_name), counter(file, name, index_name)}};
  for (const NamedTensor& t : state) {
    const StoredTensor& stored = file.tensors.at(t.name);
    assign(t.value, stored.data.data(), stored.data.size());
  }
  return at;
}

}  // namespace duel
