#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/tensor.h"
#include "tools/commands.h"

namespace duel {
namespace {

// A file's text on one line, and not all of it where it is long.
std::string on_a_line(const std::string& text) {
  constexpr std::size_t limit = 300;
  std::string out;
  for (const char c : text.substr(0, limit))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? fmt::format("\\x{:02x}", static_cast<int>(c))
                                                             : std::string(1, c);
  return text.size() > limit ? fmt::format("{}... ({} bytes)", out, text.size()) : out;
}

struct Numbers {
  double low = 0, mean = 0, high = 0;
  std::size_t count = 0, not_finite = 0;
};

template <class T>
Numbers numbers(const StoredTensor& t) {
  Numbers n;
  double sum = 0;
  for (std::size_t at = 0; at < t.data.size(); at += sizeof(T)) {
    T stored;
    std::memcpy(&stored, t.data.data() + at, sizeof(T));
    const auto v = static_cast<double>(stored);
    if (!std::isfinite(v)) {
      ++n.not_finite;
      continue;
    }
    n.low = n.count ? std::min(n.low, v) : v;
    n.high = n.count ? std::max(n.high, v) : v;
    sum += v;
    ++n.count;
  }
  n.mean = n.count ? sum / static_cast<double>(n.count) : 0;
  return n;
}

Numbers numbers_of(const StoredTensor& t) {
  switch (t.dtype) {
    case DType::f32:
      return numbers<float>(t);
    case DType::f64:
      return numbers<double>(t);
    case DType::i32:
      return numbers<std::int32_t>(t);
    case DType::i64:
      return numbers<std::int64_t>(t);
    case DType::u8:
      return numbers<std::uint8_t>(t);
    case DType::bf16:
      return numbers<bf16>(t);
  }
  return {};
}

// "net.9" before "net.10": runs of digits compare as numbers.
bool before(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto end_of = [&](const std::string& s, std::size_t from) {
    while (from < s.size() && digit(s[from])) ++from;
    return from;
  };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const std::size_t m = end_of(a, i), n = end_of(b, j);
    if (m - i != n - j) return m - i < n - j;
    if (const int order = a.compare(i, m - i, b, j, n - j)) return order < 0;
    i = m, j = n;
  }
  return a.size() - i < b.size() - j;
}

}  // namespace

int inspect(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path file = fs::is_directory(path, error) ? fs::path(path) / "checkpoint.safetensors" : fs::path(path);
  const TensorFile stored = read_safetensors(file);
  std::size_t name_width = 6, shape_width = 5, bytes = 0, elements = 0;
  std::vector<std::string> names;
  for (const auto& [name, t] : stored.tensors) {
    names.push_back(name);
    name_width = std::max(name_width, on_a_line(name).size());
    shape_width = std::max(shape_width, to_string(Shape(t.shape)).size());
  }
  fmt::print("{:<{}}  {:<5}  {:<{}}  {:>10}  {:>12}  {:>12}  {:>12}\n", "tensor", name_width, "dtype", "shape",
             shape_width, "bytes", "min", "mean", "max");
  std::sort(names.begin(), names.end(), before);
  for (const std::string& name : names) {
    const StoredTensor& t = stored.tensors.at(name);
    const Numbers n = numbers_of(t);
    fmt::print("{:<{}}  {:<5}  {:<{}}  {:>10}", on_a_line(name), name_width, to_string(t.dtype),
               to_string(Shape(t.shape)), shape_width, t.data.size());
    if (n.count) fmt::print("  {:>12.5g}  {:>12.5g}  {:>12.5g}", n.low, n.mean, n.high);
    fmt::print("{}\n", n.not_finite ? fmt::format("  {} not finite", n.not_finite) : "");
    bytes += t.data.size();
    elements += t.data.size() / size_of(t.dtype);
  }
  fmt::print("{} tensors, {} numbers, {} bytes\n", stored.tensors.size(), elements, bytes);
  for (const auto& [name, text] : stored.metadata) fmt::print("{} = {}\n", on_a_line(name), on_a_line(text));
  return 0;
}

}  // namespace duel
