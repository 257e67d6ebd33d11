#include "engine/net_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/torch_names.h"

namespace duel {
namespace {

using Json = nlohmann::json;

constexpr const char* key = "duel.net";
constexpr std::int64_t most_side = 4096;

// The numbers that a layer of each kind may be given.
const std::map<std::string, std::set<std::string>>& kinds() {
  static const std::map<std::string, std::set<std::string>> all{
      {"conv", {"stride", "padding"}}, {"linear", {}}, {"batch norm", {"eps"}}, {"relu", {}},
      {"leaky relu", {"slope"}},       {"tanh", {}},   {"max pool", {"size"}},  {"avg pool", {"size"}},
      {"flatten", {"channels first"}}};
  return all;
}

Json described(const NetLayer& l) {
  Json json{{"kind", l.kind}};
  if (l.kind == "conv") json.update({{"stride", l.stride}, {"padding", l.padding}});
  if (l.kind == "leaky relu") json["slope"] = l.slope;
  if (l.kind == "batch norm") json["eps"] = 1e-5;  // what it was built with; others are within the variances
  if (l.kind.ends_with("pool")) json["size"] = l.size;
  if (l.kind == "flatten") json["channels first"] = l.channels_first;
  return json;
}

// ---- reading ----

// A field of the description. Error: it is not what it should be.
class Reader {
 public:
  Reader(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {
    require(json_.is_object(), "{}: found {}, expected a JSON object", where_, json_.type_name());
  }
  const Json* find(const std::string& name) const { return json_.contains(name) ? &json_.at(name) : nullptr; }
  std::int64_t whole(const std::string& name, std::int64_t otherwise, std::int64_t low, std::int64_t high) const {
    const double v = number(name, static_cast<double>(otherwise));
    require(v >= static_cast<double>(low) && v <= static_cast<double>(high) && v == std::floor(v),
            "{}: {} is {}, expected a whole number from {} to {}", where_, name, v, low, high);
    return static_cast<std::int64_t>(v);
  }
  double number(const std::string& name, double otherwise) const {
    const Json* v = find(name);
    require(!v || v->is_number(), "{}: {} is {}, expected a number", where_, name, v ? v->type_name() : "");
    return v ? v->get<double>() : otherwise;
  }
  std::string word(const std::string& name, const std::string& otherwise) const {
    const Json* v = find(name);
    require(!v || v->is_string(), "{}: {} is {}, expected a text", where_, name, v ? v->type_name() : "");
    return v ? v->get<std::string>() : otherwise;
  }
  std::vector<double> numbers(const std::string& name, std::int64_t count, double otherwise) const {
    const Json* v = find(name);
    std::vector<double> out(static_cast<std::size_t>(count), otherwise);
    if (!v) return out;
    require(v->is_array() && v->size() == out.size() &&
                std::all_of(v->begin(), v->end(), [](const Json& n) { return n.is_number(); }),
            "{}: {} is not a list of {} numbers, one for each channel", where_, name, count);
    return v->get<std::vector<double>>();
  }
  void allow_only(const std::set<std::string>& names) const {
    for (const auto& item : json_.items())
      require(names.contains(item.key()), "{}: field '{}' is unknown, expected one of: {}", where_, item.key(),
              fmt::join(names, ", "));
  }

 private:
  Json json_;
  std::string where_;
};

NetInput read_input(const Reader& in) {
  in.allow_only({"height", "width", "channels", "scale", "shift"});
  NetInput input{
      in.whole("height", 0, 1, most_side), in.whole("width", 0, 1, most_side), in.whole("channels", 0, 1, 3), {}, {}};
  input.scale = in.numbers("scale", input.channels, 1);
  input.shift = in.numbers("shift", input.channels, 0);
  return input;
}

// What the description says of a layer, and what its tensors do.
NetLayer read_layer(const Json& json, const std::string& where, const TensorFile& file, int& counted) {
  const Reader in(json, where);
  NetLayer l{.kind = in.word("kind", "")};
  std::vector<std::string> names;
  for (const auto& item : kinds()) names.push_back(item.first);
  const auto kind = kinds().find(l.kind);
  require(kind != kinds().end(), "{}: kind '{}' is unknown, expected one of: {}", where, l.kind,
          fmt::join(names, ", "));
  std::set<std::string> fields = kind->second;
  fields.insert("kind");
  in.allow_only(fields);
  l.stride = in.whole("stride", 1, 1, most_side);
  l.padding = in.whole("padding", 0, 0, most_side);
  l.size = in.whole("size", 0, l.kind.ends_with("pool") ? 1 : 0, most_side);
  l.slope = in.number("slope", 0.2);
  l.eps = in.number("eps", 1e-5);
  require(l.slope >= 0 && l.slope <= 1 && l.eps >= 0 && l.eps <= 1, "{}: slope {} and eps {}, expected 0 to 1", where,
          l.slope, l.eps);
  if (const Json* first = in.find("channels first")) {
    require(first->is_boolean(), "{}: channels first is {}, expected true or false", where, first->type_name());
    l.channels_first = first->get<bool>();
  }
  if (!l.has_tensors()) return l;
  const std::string prefix = fmt::format("{}.", counted++);
  const auto weight = file.tensors.find(prefix + "weight");
  require(weight != file.tensors.end(), "{}: tensor {}weight is missing", where, prefix);
  const std::vector<std::int64_t>& shape = weight->second.shape;
  const std::size_t rank = l.kind == "conv" ? 4 : l.kind == "linear" ? 2 : 1;
  require(shape.size() == rank && std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n >= 1; }) &&
              (rank < 4 || shape[1] == shape[2]),
          "{}: tensor {}weight is {}, expected {}", where, prefix, to_string(Shape(shape)),
          rank == 4   ? "(out,k,k,in)"
          : rank == 2 ? "(out,in)"
                      : "(channels)");
  l.out = shape.front(), l.in = shape.back();
  if (rank == 4) l.kernel = shape[1];
  l.bias = file.tensors.count(prefix + "bias") > 0;
  return l;
}

// Running variances such that the net's own eps gives what the file's does.
void fit_eps(const ChainNet& chain, TensorFile& file) {
  int counted = 0;
  for (const NetLayer& l : chain.layers()) {
    const std::string name = fmt::format("{}.running_var", counted);
    counted += l.has_tensors();
    const auto it = file.tensors.find(name);
    if (l.kind != "batch norm" || it == file.tensors.end() || it->second.dtype != DType::f32) continue;
    auto* values = reinterpret_cast<float*>(it->second.data.data());
    for (std::size_t i = 0; i < it->second.data.size() / sizeof(float); ++i)
      values[i] += static_cast<float>(l.eps - 1e-5);
  }
}

void load_weights(const ChainNet& chain, const TensorFile& file, const std::string& name) {
  std::set<std::string> known;
  for (const NamedTensor& t : chain.net().state()) {
    known.insert(t.name);
    const auto it = file.tensors.find(t.name);
    require(it != file.tensors.end(), "{}: tensor {} is missing", name, t.name);
    const StoredTensor& s = it->second;
    require(s.dtype == DType::f32 && Shape(s.shape) == t.value.shape(), "{}: tensor {} is {} {}, expected {}", name,
            t.name, to_string(Shape(s.shape)), s.dtype, t.value);
    const auto* values = reinterpret_cast<const float*>(s.data.data());
    const std::size_t n = s.data.size() / sizeof(float);
    require(std::all_of(values, values + n, [](float v) { return std::isfinite(v); }),
            "{}: tensor {} holds values that are not finite", name, t.name);
    assign(t.value, s.data.data(), s.data.size());
  }
  for (const auto& item : file.tensors)
    require(known.contains(item.first), "{}: tensor {} belongs to no layer", name, item.first);
}

}  // namespace

void save_net(const std::filesystem::path& path, const ChainNet& chain,
              const std::map<std::string, std::string>& notes) {
  TensorFile file;
  for (const NamedTensor& t : chain.net().state()) {
    StoredTensor s{t.value.dtype(), {t.value.shape().begin(), t.value.shape().end()}, {}};
    s.data.resize(static_cast<std::size_t>(t.value.size()) * size_of(s.dtype));
    read(t.value, s.data.data(), s.data.size());
    file.tensors[t.name] = std::move(s);
  }
  const NetInput& in = chain.input();
  Json layers = Json::array();
  for (const NetLayer& l : chain.layers()) layers.push_back(described(l));
  file.metadata = notes;
  file.metadata[key] = Json{
      {"layout", "duel"},
      {"input",
       {{"height", in.height},
        {"width", in.width},
        {"channels", in.channels},
        {"scale", in.scale},
        {"shift", in.shift}}},
      {"layers", layers},
      {"features", chain.features()},
      {"classes",
       chain.classes()}}.dump();
  write_safetensors(path, file);
}

LoadedNet load_net(const std::filesystem::path& path) {
  const std::string name = path.string();
  TensorFile file = read_safetensors(path);
  const auto text = file.metadata.find(key);
  require(text != file.metadata.end(), "{}: the metadata lack '{}', expected the description of a net", name, key);
  const Reader in(Json::parse(text->second, nullptr, false), fmt::format("{}: {}", name, key));
  in.allow_only({"layout", "input", "layers", "features", "classes"});
  const std::string layout = in.word("layout", "duel");
  require(layout == "duel" || layout == "torch", "{}: layout is '{}', expected duel or torch", name, layout);
  const std::map<std::string, std::string> notes = file.metadata;
  if (layout == "torch") file = from_torch(file, name, TorchFlatten::by_caller);
  const Json* input = in.find("input");
  const Json* list = in.find("layers");
  require(input && list && list->is_array() && !list->empty() && list->size() <= 1000,
          "{}: {} has no input or no list of 1 to 1000 layers", name, key);
  int counted = 0;
  std::vector<NetLayer> layers;
  for (const Json& json : *list) {
    layers.push_back(read_layer(json, fmt::format("{}: layer {}", name, layers.size() + 1), file, counted));
    if (layout == "torch") layers.back().channels_first = layers.back().kind == "flatten";
  }
  const auto all = static_cast<std::int64_t>(layers.size());
  const auto features = static_cast<std::size_t>(in.whole("features", all, 1, all));
  try {
    LoadedNet out{
        ChainNet(read_input(Reader(*input, name + ": input")), layers, features, in.whole("classes", 0, 0, 1 << 20)),
        notes};
    fit_eps(out.net, file);
    load_weights(out.net, file, name);
    out.net.net().set_training(false);
    return out;
  } catch (const Error& e) {
    const std::string what = e.what();
    fail("{}", what.starts_with(name) ? what : name + ": " + what);
  }
}

}  // namespace duel
