#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "engine/error.h"
#include "engine/files.h"

namespace duel {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and its data is copied as it is");

constexpr std::uint64_t header_limit = 100'000'000;  // bytes, the limit of the reference implementation
constexpr const char* metadata_name = "__metadata__";

constexpr std::pair<DType, std::string_view> dtype_names[] = {{DType::f32, "F32"}, {DType::f64, "F64"},
                                                              {DType::i32, "I32"}, {DType::i64, "I64"},
                                                              {DType::u8, "U8"},   {DType::bf16, "BF16"}};

std::string_view name_of(DType dtype) {
  for (const auto& [known, name] : dtype_names)
    if (known == dtype) return name;
  fail("unknown dtype {}", static_cast<int>(dtype));
}

// Text of a file as it may stand in an error message: one line, of bounded length.
std::string in_quotes(std::string_view text) {
  constexpr std::size_t limit = 200;
  std::string out = "'";
  for (const char c : text.substr(0, limit))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? fmt::format("\\x{:02x}", static_cast<int>(c))
                                                             : std::string(1, c);
  return out + (text.size() > limit ? "...'" : "'");
}

// The lengths of a shape, with commas. (fmt::join makes GCC 12 warn of an overflow at -O3.)
std::string joined(const std::vector<std::int64_t>& shape) {
  std::string out;
  for (const std::int64_t n : shape) out.append(out.empty() ? "" : ",").append(std::to_string(n));
  return out;
}

// size_of(dtype) * product(shape).
std::int64_t byte_count(DType dtype, const std::vector<std::int64_t>& shape, const std::string& at) {
  auto n = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t length : shape) {
    require(length >= 0, "{}: shape ({}) has a negative length", at, joined(shape));
    require(length == 0 || n <= std::numeric_limits<std::int64_t>::max() / length,
            "{}: shape ({}) of {} has more than 2^63 - 1 bytes", at, joined(shape), name_of(dtype));
    n *= length;
  }
  return n;
}

struct HeaderTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> offsets;  // begin, end
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Takes the header's JSON event by event and refuses the first thing that does not belong there.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(std::string file, TensorFile& out) : file_(std::move(file)), out_(out) {}

  std::vector<HeaderTensor> tensors;

  bool null() override { wrong("null"); }
  bool boolean(bool v) override { wrong(v ? "true" : "false"); }
  bool number_integer(number_integer_t v) override { wrong(fmt::format("{}", v)); }
  bool number_float(number_float_t, const string_t& text) override { wrong(in_quotes(text)); }
  bool binary(binary_t&) override { wrong("binary data"); }

  bool number_unsigned(number_unsigned_t v) override {
    const bool listed = where_ == Where::shape || where_ == Where::offsets;
    if (!listed || v >> 63) wrong(fmt::format("{}", v));
    auto& list = where_ == Where::shape ? tensors.back().shape : tensors.back().offsets;
    const int limit = where_ == Where::shape ? max_rank : 2;
    if (list.size() == static_cast<std::size_t>(limit)) wrong(fmt::format("more than {} numbers", limit));
    list.push_back(static_cast<std::int64_t>(v));
    return true;
  }

  bool string(string_t& text) override {
    if (where_ == Where::metadata) {
      out_.metadata[key_] = text;
      return true;
    }
    for (const auto& [dtype, name] : dtype_names) {
      if (where_ != Where::tensor || key_ != "dtype" || text != name) continue;
      tensors.back().dtype = dtype;
      return true;
    }
    wrong(in_quotes(text));
  }

  bool start_object(std::size_t) override {
    if (where_ == Where::outside) {
      where_ = Where::root;
    } else if (where_ == Where::root && key_ == metadata_name) {
      where_ = Where::metadata;
    } else if (where_ == Where::root) {
      where_ = Where::tensor;
      tensors.push_back({});
      tensors.back().name = key_;
    } else {
      wrong("an object");
    }
    return true;
  }

  bool end_object() override {
    if (where_ == Where::tensor) {
      const HeaderTensor& t = tensors.back();
      const char* missing = !t.has_dtype ? "dtype" : !t.has_shape ? "shape" : !t.has_offsets ? "data_offsets" : nullptr;
      if (missing) fail("{}: tensor {} has no {}", file_, in_quotes(t.name), missing);
    }
    where_ = where_ == Where::root ? Where::outside : Where::root;
    return true;
  }

  bool start_array(std::size_t) override {
    if (where_ != Where::tensor || key_ == "dtype") wrong("an array");
    where_ = key_ == "shape" ? Where::shape : Where::offsets;
    return true;
  }

  bool end_array() override {
    if (where_ == Where::offsets && tensors.back().offsets.size() != 2)
      wrong(fmt::format("{} numbers", tensors.back().offsets.size()));
    where_ = Where::tensor;
    return true;
  }

  bool key(string_t& name) override {
    const bool twice = where_ == Where::root       ? !names_.insert(name).second
                       : where_ == Where::metadata ? !out_.metadata.emplace(name, "").second
                                                   : std::exchange(field(name), true);
    require(!twice, "{}: {}the name {} stands twice in the header", file_,
            where_ == Where::tensor ? fmt::format("tensor {}: ", in_quotes(tensors.back().name)) : "", in_quotes(name));
    key_ = name;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    fail("{}: the header is not valid JSON at byte {}: {}", file_, position, in_quotes(e.what()));
  }

 private:
  enum class Where { outside, root, metadata, tensor, shape, offsets };

  bool& field(const std::string& name) {
    HeaderTensor& t = tensors.back();
    if (name == "dtype") return t.has_dtype;
    if (name == "shape") return t.has_shape;
    if (name == "data_offsets") return t.has_offsets;
    fail("{}: tensor {} has an unknown field {}, expected dtype, shape, data_offsets", file_, in_quotes(t.name),
         in_quotes(name));
  }

  [[noreturn]] void wrong(const std::string& found) const {
    if (where_ == Where::outside) fail("{}: the header is {}, expected an object", file_, found);
    if (where_ == Where::metadata) fail("{}: metadata {} is {}, expected a string", file_, in_quotes(key_), found);
    if (where_ == Where::root) fail("{}: {} is {}, expected an object", file_, in_quotes(key_), found);
    const std::string expected = key_ == "dtype"   ? "one of \"F32\" \"F64\" \"I32\" \"I64\" \"U8\" \"BF16\""
                                 : key_ == "shape" ? fmt::format("at most {} integers from 0 to 2^63 - 1", max_rank)
                                                   : "[begin, end], two integers from 0 to 2^63 - 1";
    fail("{}: tensor {}: {} holds {}, expected {}", file_, in_quotes(tensors.back().name), key_, found, expected);
  }

  std::string file_;
  TensorFile& out_;
  Where where_ = Where::outside;
  std::string key_;
  std::set<std::string> names_;
};

std::string read_header(InputFile& input, const std::string& file) {
  const auto size = static_cast<std::uint64_t>(input.size());
  require(size >= 8, "{}: {} bytes, expected a safetensors file with at least 8", file, size);
  std::uint64_t length = 0;
  input.read(std::as_writable_bytes(std::span(&length, 1)));
  require(length <= size - 8, "{}: the header's length is {}, expected at most the {} bytes that follow it", file,
          length, size - 8);
  require(length <= header_limit, "{}: the header's length is {}, expected at most {}", file, length, header_limit);
  std::string header(static_cast<std::size_t>(length), '\0');
  input.read(std::as_writable_bytes(std::span(header)));
  require(header.starts_with('{'), "{}: the header does not begin with {{", file);
  // The JSON library takes a zero byte for the end of the text and would not look at the rest.
  const auto zero = header.find('\0');
  require(zero == std::string::npos, "{}: the header has a zero byte at {}, expected JSON", file, zero);
  return header;
}

// The ranges must lie one after the other and fill the data; tensors are sorted by their place.
void check_layout(std::vector<HeaderTensor>& tensors, std::int64_t data_size, const std::string& file) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  std::int64_t place = 0;
  for (const HeaderTensor& t : tensors) {
    const std::int64_t begin = t.offsets[0], end = t.offsets[1];
    const std::string at = fmt::format("{}: tensor {}: data_offsets [{}, {}]", file, in_quotes(t.name), begin, end);
    require(begin <= end, "{}: the end is before the begin", at);
    require(end <= data_size, "{}: the file has {} bytes of data", at, data_size);
    require(begin == place, "{}: expected to begin at {}, where the tensor before it ends", at, place);
    const std::int64_t bytes = byte_count(t.dtype, t.shape, at);
    require(bytes == end - begin, "{}: {} bytes, expected {} for shape ({}) of {}", at, end - begin, bytes,
            joined(t.shape), name_of(t.dtype));
    place = end;
  }
  require(place == data_size, "{}: the tensors end at byte {} of the data, expected its end at {}", file, place,
          data_size);
}

std::string header_text(const std::vector<const TensorEntry*>& entries, const std::vector<std::int64_t>& sizes,
                        const std::map<std::string, std::string>& metadata) {
  const auto quote = [](const std::string& s) { return nlohmann::json(s).dump(); };
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"{}\":{}", metadata_name, nlohmann::json(metadata).dump());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < entries.size(); begin += sizes[i++])
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", text.size() > 1 ? "," : "",
                        quote(entries[i]->name), name_of(entries[i]->dtype), joined(entries[i]->shape), begin,
                        begin + sizes[i]);
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

TensorFile read_safetensors(const std::filesystem::path& path) {
  const std::string file = path.string();
  InputFile input(path);
  const std::string header = read_header(input, file);
  TensorFile out;
  HeaderReader reader(file, out);
  nlohmann::json::sax_parse(header, &reader);
  check_layout(reader.tensors, input.size() - 8 - static_cast<std::int64_t>(header.size()), file);
  for (HeaderTensor& t : reader.tensors) {
    StoredTensor& stored = out.tensors[t.name];
    stored = {t.dtype, std::move(t.shape),
              std::vector<std::byte>(static_cast<std::size_t>(t.offsets[1] - t.offsets[0]))};
    input.read(stored.data);
  }
  return out;
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorEntry> entries,
                       const std::map<std::string, std::string>& metadata) {
  const std::string file = path.string();
  std::vector<const TensorEntry*> sorted;
  for (const TensorEntry& e : entries) sorted.push_back(&e);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::vector<std::int64_t> sizes;
  std::vector<std::span<const std::byte>> parts(2);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const TensorEntry& e = *sorted[i];
    const std::string at = fmt::format("{}: tensor {}", file, in_quotes(e.name));
    require(e.name != metadata_name, "{}: the format reserves this name", at);
    require(i == 0 || e.name != sorted[i - 1]->name, "{}: the name is given twice", at);
    require(e.shape.size() <= max_rank, "{}: rank {}, expected at most {}", at, e.shape.size(), max_rank);
    sizes.push_back(byte_count(e.dtype, e.shape, at));
    require(e.data || sizes[i] == 0, "{}: no data, expected {} bytes", at, sizes[i]);
    parts.emplace_back(static_cast<const std::byte*>(e.data), static_cast<std::size_t>(sizes[i]));
  }
  std::string header;
  try {
    header = header_text(sorted, sizes, metadata);
  } catch (const nlohmann::json::exception& e) {
    fail("{}: a name or a metadata text is not UTF-8: {}", file, e.what());
  }
  const std::uint64_t length = header.size();
  require(length <= header_limit, "{}: a header of {} bytes, expected at most {}", file, length, header_limit);
  parts[0] = std::as_bytes(std::span(&length, 1));
  parts[1] = std::as_bytes(std::span(header));
  write_file_atomically(path, parts);
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::vector<TensorEntry> entries;
  for (const auto& [name, t] : file.tensors) {
    const std::string at = fmt::format("{}: tensor {}", path.string(), in_quotes(name));
    const std::int64_t bytes = byte_count(t.dtype, t.shape, at);
    require(static_cast<std::size_t>(bytes) == t.data.size(), "{}: {} bytes of data, expected {} for shape ({}) of {}",
            at, t.data.size(), bytes, joined(t.shape), name_of(t.dtype));
    entries.push_back({name, t.dtype, t.shape, t.data.data()});
  }
  write_safetensors(path, entries, file.metadata);
}

}  // namespace duel
