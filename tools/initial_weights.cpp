#include "tools/initial_weights.h"

#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/torch_names.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Stored = std::map<std::string, StoredTensor>;

std::string net_of(const std::string& name) { return name.substr(0, name.find('.')); }

// The model's tensors that belong to a net: what has parameters. (An optimizer has none.)
State weights_of(const Model& model) {
  std::set<std::string> nets;
  const State all = model.state();
  for (const NamedTensor& t : all)
    if (t.kind == Kind::parameter) nets.insert(net_of(t.name));
  State out;
  for (const NamedTensor& t : all)
    if (nets.count(net_of(t.name))) out.push_back(t);
  return out;
}

bool fits(const StoredTensor& stored, const Tensor& t) {
  return stored.dtype == t.dtype() && stored.shape == std::vector<std::int64_t>(t.shape().begin(), t.shape().end());
}

// How a state dict that names no net agrees with one of the model's.
struct Agreement {
  std::string net, problem;  // problem: "" where all agrees
  int score = 0;             // names in common, those with the same shape twice
};
Agreement compare(const std::string& net, const State& weights, const Stored& file, const std::string& name) {
  Agreement a{net, "", 0};
  std::map<std::string, Tensor> ours;
  for (const NamedTensor& t : weights)
    if (net_of(t.name) == net) ours[t.name.substr(net.size() + 1)] = t.value;
  for (const auto& [field, t] : ours) {
    const auto it = file.find(field);
    const bool fitting = it != file.end() && fits(it->second, t);
    a.score += (it != file.end() ? 1 : 0) + (fitting ? 1 : 0);
    if (fitting) continue;
    if (a.problem.empty() && it == file.end())
      a.problem = fmt::format("{}: {}.{} is missing, expected {}", name, net, field, t);
    else if (a.problem.empty())
      a.problem = fmt::format("{}: {} is {} {}, expected {}, as {}.{} is", name, field, Shape(it->second.shape),
                              it->second.dtype, t, net, field);
  }
  for (const auto& [field, t] : file)
    if (!ours.count(field) && a.problem.empty())
      a.problem = fmt::format("{}: {} {} is one tensor more than {} has", name, field, Shape(t.shape), net);
  return a;
}

// The net that a state dict without a net's name is for.
std::string find_net(const State& weights, const Stored& file, const std::string& name) {
  std::set<std::string> nets, fitting;
  for (const NamedTensor& t : weights)
    if (!net_of(t.name).ends_with("_ema")) nets.insert(net_of(t.name));
  Agreement best;
  best.score = -1;
  for (const std::string& net : nets) {
    const Agreement a = compare(net, weights, file, name);
    if (a.problem.empty()) fitting.insert(net);
    if (a.score > best.score) best = a;
  }
  if (fitting.empty()) fail("{}", best.problem);
  require(fitting.size() == 1, "{}: fits {}, expected one of them; put its name before the tensors' names", name,
          fmt::join(fitting, " and "));
  return *fitting.begin();
}

Stored read_weights(const fs::path& path, const State& weights) {
  const std::string name = path.string();
  TensorFile file = read_safetensors(path);
  if (file.metadata.count("duel.checkpoint")) return std::move(file.tensors);
  file = from_torch(file, name);
  Stored named, nameless;
  for (auto& [text, t] : file.tensors) (text[0] >= '0' && text[0] <= '9' ? nameless : named)[text] = std::move(t);
  if (nameless.empty()) return named;
  require(named.empty(), "{}: {} names its net and {} does not, expected one or the other", name, named.begin()->first,
          nameless.begin()->first);
  const std::string net = find_net(weights, nameless, name);
  for (auto& [text, t] : nameless) named[net + "." + text] = std::move(t);
  return named;
}

}  // namespace

InitialWeights load_weights(const std::string& from, const Model& model) {
  std::error_code error;
  const fs::path path = fs::is_directory(from, error) ? fs::path(from) / "checkpoint.safetensors" : fs::path(from);
  const State weights = weights_of(model);
  const Stored stored = read_weights(path, weights);
  InitialWeights out{path.string(), 0, static_cast<std::int64_t>(stored.size()), 0};
  std::vector<std::pair<Tensor, const StoredTensor*>> found;
  for (const NamedTensor& t : weights) {
    const std::string net = net_of(t.name);
    const bool average = net.ends_with("_ema");
    auto it = stored.find(t.name);
    if (it != stored.end())
      --out.unused;
    else if (average)
      it = stored.find(net.substr(0, net.size() - 4) + t.name.substr(net.size()));
    if (it == stored.end()) {
      ++out.initial;
      continue;
    }
    require(fits(it->second, t.value), "{}: tensor {} is {} {}, expected {}", out.file, it->first,
            Shape(it->second.shape), it->second.dtype, t.value);
    found.emplace_back(t.value, &it->second);
  }
  out.loaded = static_cast<std::int64_t>(stored.size()) - out.unused;
  require(out.loaded > 0, "{}: none of its {} tensors has a name of the model's; found {}, expected {}", out.file,
          stored.size(), stored.empty() ? "nothing" : stored.begin()->first, weights.at(0).name);
  for (const auto& [t, source] : found) assign(t, source->data.data(), source->data.size());
  return out;
}

}  // namespace duel
