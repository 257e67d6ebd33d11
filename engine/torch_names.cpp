#include "engine/torch_names.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>
#include <string_view>

#include "engine/error.h"
#include "engine/tensor.h"

namespace duel {
namespace {

constexpr std::string_view fields[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

struct TorchName {
  std::string net;  // "" or "G"
  int index = 0;
  std::string field;
};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t end; (end = text.find('.')) != text.npos; text.remove_prefix(end + 1))
    words.push_back(text.substr(0, end));
  words.push_back(text);
  return words;
}

bool is_index(std::string_view word, int& index) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
  return error == std::errc() && end == word.data() + word.size() && index >= 0;
}

bool parse(const std::string& text, TorchName& out) {
  const std::vector<std::string_view> words = split(text);
  const std::size_t n = words.size();
  if (n < 2 || !is_index(words[n - 2], out.index)) return false;
  out.field = words[n - 1];
  if (std::find(std::begin(fields), std::end(fields), out.field) == std::end(fields)) return false;
  for (std::size_t i = 0; i < n - 2; ++i) {
    int nested = 0;
    if (words[i] == "main" || words[i] == "module") continue;
    if (!out.net.empty() || words[i].empty() || is_index(words[i], nested)) return false;
    out.net = words[i];
  }
  return true;
}

// (a,b,h,w) -> (a,h,w,b)
StoredTensor channels_last(const StoredTensor& t) {
  const std::int64_t a = t.shape[0], b = t.shape[1], positions = t.shape[2] * t.shape[3];
  const std::size_t bytes = size_of(t.dtype);
  StoredTensor out{t.dtype, {a, t.shape[2], t.shape[3], b}, std::vector<std::byte>(t.data.size())};
  for (std::int64_t i = 0; i < a; ++i)
    for (std::int64_t j = 0; j < b; ++j)
      for (std::int64_t p = 0; p < positions; ++p)
        std::memcpy(out.data.data() + static_cast<std::size_t>((i * positions + p) * b + j) * bytes,
                    t.data.data() + static_cast<std::size_t>((i * b + j) * positions + p) * bytes, bytes);
  return out;
}

}  // namespace

TensorFile from_torch(const TensorFile& file, const std::string& name, TorchFlatten flatten) {
  std::map<std::string, TorchName> parsed;
  std::map<std::string, std::set<int>> layers;             // by net
  std::map<std::string, std::string> linear, convolution;  // by net: a tensor that shows it
  for (const auto& [text, tensor] : file.tensors) {
    TorchName& t = parsed[text];
    require(parse(text, t), "{}: tensor '{}', expected a PyTorch name [NET.][main.]<i>.<field>, <field> one of: {}",
            name, text, fmt::join(fields, ", "));
    layers[t.net].insert(t.index);
    if (t.field == "weight" && tensor.shape.size() == 2) linear[t.net] = text;
    if (t.field == "weight" && tensor.shape.size() == 4) convolution[t.net] = text;
  }
  for (const auto& [net, text] : linear)
    require(flatten == TorchFlatten::by_caller || convolution.count(net) == 0,
            "{}: tensor {} is of a Linear layer, {} of a convolution: expected one kind in a net, because PyTorch "
            "flattens maps in another order",
            name, text, convolution[net]);
  TensorFile out;
  out.metadata = file.metadata;
  for (const auto& [text, tensor] : file.tensors) {
    const TorchName& t = parsed.at(text);
    if (t.field == "num_batches_tracked") continue;
    const std::set<int>& all = layers.at(t.net);
    const auto k = std::distance(all.begin(), all.find(t.index));
    const std::string ours = fmt::format("{}{}{}.{}", t.net, t.net.empty() ? "" : ".", k, t.field);
    const bool added = out.tensors.emplace(ours, tensor.shape.size() == 4 ? channels_last(tensor) : tensor).second;
    require(added, "{}: tensor {} and another one both stand for {}", name, text, ours);
  }
  return out;
}

}  // namespace duel
