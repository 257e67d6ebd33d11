#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "engine/data/image_readers.h"
#include "engine/error.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

// Bytes of a plain file or of a gzip stream, told apart by their first two bytes. Not zlib's gzread, which lets a
// stream pass that ends before its checksum.
class ByteReader {
 public:
  explicit ByteReader(const fs::path& path)
      : name_(path.string()), disk_bytes_(fs::file_size(path)), file_(path, std::ios::binary), input_(1 << 16) {
    require(file_.is_open(), "{}: cannot be opened: {}", name_, std::strerror(errno));
    refill();
    gzip_ = stream_.avail_in >= 2 && input_[0] == 0x1f && input_[1] == 0x8b;
    constexpr int gzip_window = 15 + 16;
    if (gzip_ && inflateInit2(&stream_, gzip_window) != Z_OK) throw std::bad_alloc();
  }
  ~ByteReader() {
    if (gzip_) inflateEnd(&stream_);
  }
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  const std::string& name() const { return name_; }
  // Bytes of a plain file. A gzip stream says nothing that could be trusted.
  std::optional<std::uint64_t> known_size() const { return gzip_ ? std::nullopt : std::optional(disk_bytes_); }

  // Fills `to` (less than 4 GiB) as far as the file goes. Returns how many bytes that was.
  std::size_t read(std::span<std::uint8_t> to) {
    stream_.next_out = to.data();
    stream_.avail_out = static_cast<uInt>(to.size());
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !refill()) {
        require(!gzip_ || between_members_, "{}: the gzip stream is truncated", name_);
        break;
      }
      if (gzip_)
        inflate_some();
      else
        copy_some();
    }
    return to.size() - stream_.avail_out;
  }

 private:
  bool refill() {
    file_.read(reinterpret_cast<char*>(input_.data()), static_cast<std::streamsize>(input_.size()));
    require(!file_.bad(), "{}: cannot be read: {}", name_, std::strerror(errno));
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(file_.gcount());
    return stream_.avail_in > 0;
  }
  void copy_some() {
    const uInt n = std::min(stream_.avail_in, stream_.avail_out);
    std::memcpy(stream_.next_out, stream_.next_in, n);
    stream_.next_in += n, stream_.avail_in -= n;
    stream_.next_out += n, stream_.avail_out -= n;
  }
  void inflate_some() {
    if (between_members_) inflateReset(&stream_);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    require(code == Z_OK || code == Z_STREAM_END, "{}: the gzip stream is damaged: {}", name_,
            stream_.msg ? stream_.msg : zError(code));
    between_members_ = code == Z_STREAM_END;
  }

  std::string name_;
  std::uint64_t disk_bytes_;
  std::ifstream file_;
  std::vector<std::uint8_t> input_;
  z_stream stream_ = {};
  bool gzip_ = false, between_members_ = false;
};

// An IDX file of bytes: magic 0x0000'08'<rank>, one big-endian 32-bit word an axis, then the bytes, row-major.
struct Idx {
  std::array<std::int64_t, 3> dim = {1, 1, 1};
  std::vector<std::uint8_t> bytes;
};

constexpr std::string_view axis_names[] = {"count", "height", "width"};

std::uint32_t read_word(ByteReader& in, std::string_view field) {
  std::uint8_t b[4];
  const std::size_t got = in.read(b);
  require(got == 4, "{}: truncated in the {}: {} of its 4 bytes are there", in.name(), field, got);
  return (std::uint32_t{b[0]} << 24) | (std::uint32_t{b[1]} << 16) | (std::uint32_t{b[2]} << 8) | std::uint32_t{b[3]};
}

// The declared number of bytes, at least 1. Height and width are at most 2^16, so the product fits 64 bits.
std::uint64_t read_header(ByteReader& in, int rank, Idx& idx) {
  const std::uint32_t magic = read_word(in, "magic number");
  const std::uint32_t expected = 0x0800u + static_cast<std::uint32_t>(rank);
  require(magic == expected, "{}: the magic number is 0x{:08x}, expected 0x{:08x} (IDX, bytes, {} axes)", in.name(),
          magic, expected, rank);
  std::uint64_t total = 1;
  for (int i = 0; i < rank; ++i) {
    const std::uint32_t n = read_word(in, axis_names[i]);
    const std::uint32_t most = i == 0 ? std::numeric_limits<std::uint32_t>::max() : 1u << 16;
    require(n >= 1 && n <= most, "{}: the {} is {}, expected 1 to {}", in.name(), axis_names[i], n, most);
    idx.dim[static_cast<std::size_t>(i)] = n;
    total *= n;
  }
  require(total <= std::numeric_limits<std::int64_t>::max(), "{}: declares {} bytes, more than any file holds",
          in.name(), total);
  return total;
}

[[noreturn]] void fail_size(const std::string& file, std::uint64_t found, std::uint64_t declared) {
  if (found < declared) fail("{}: truncated: {} bytes follow the header, which declares {}", file, found, declared);
  fail("{}: trailing bytes: more follow the header than the {} bytes that it declares", file, declared);
}

Idx read_idx(const fs::path& path, int rank) {
  ByteReader in(path);
  Idx idx;
  const std::uint64_t declared = read_header(in, rank, idx);
  if (const auto size = in.known_size()) {
    const std::uint64_t held = *size - 4u * static_cast<std::uint64_t>(rank + 1);
    if (held != declared) fail_size(in.name(), held, declared);
    idx.bytes.reserve(declared);
  }
  // A gzip stream may declare anything, so the memory follows what comes out of it.
  constexpr std::uint64_t chunk = 1 << 20;
  while (idx.bytes.size() < declared) {
    const std::size_t begin = idx.bytes.size();
    const std::size_t want = std::min<std::uint64_t>(chunk, declared - begin);
    idx.bytes.resize(begin + want);
    const std::size_t got = in.read({idx.bytes.data() + begin, want});
    if (got < want) fail_size(in.name(), begin + got, declared);
  }
  std::uint8_t extra;
  if (in.read({&extra, 1}) != 0) fail_size(in.name(), declared + 1, declared);
  return idx;
}

std::string with_gz_or_not(const fs::path& stem) {
  for (const char* end : {"", ".gz"}) {
    const std::string path = stem.string() + end;
    if (fs::is_regular_file(path)) return path;
  }
  return {};
}

// The labels beside an images file, or "" where there are none.
std::string find_labels(const fs::path& images) {
  std::string file = images.filename().string();
  if (file.ends_with(".gz")) file.resize(file.size() - 3);
  for (const std::string separator : {"-", "."}) {
    const std::string tail = "images" + separator + "idx3-ubyte";
    if (!file.ends_with(tail)) continue;
    const std::string stem = file.substr(0, file.size() - tail.size());
    return with_gz_or_not(images.parent_path() / (stem + "labels" + separator + "idx1-ubyte"));
  }
  return {};
}

}  // namespace

std::optional<fs::path> find_idx(const fs::path& folder, bool test) {
  const std::string stem = test ? "t10k-images" : "train-images";
  for (const char* separator : {"-", "."}) {
    const std::string file = with_gz_or_not(folder / (stem + separator + "idx3-ubyte"));
    if (!file.empty()) return file;
  }
  return std::nullopt;
}

ImageSet read_idx_images(const fs::path& path) {
  Idx images = read_idx(path, 3);
  ImageSet set{.name = path.filename().string(),
               .count = images.dim[0],
               .height = images.dim[1],
               .width = images.dim[2],
               .channels = 1,
               .pixels = std::move(images.bytes),
               .labels = {}};
  const std::string labels_path = find_labels(path);
  if (labels_path.empty()) return set;
  const Idx labels = read_idx(labels_path, 1);
  require(labels.dim[0] == set.count, "{}: the count is {} labels, expected {}: one for each image of {}", labels_path,
          labels.dim[0], set.count, path.string());
  set.labels.assign(labels.bytes.begin(), labels.bytes.end());
  set.classes = *std::max_element(set.labels.begin(), set.labels.end()) + 1;
  return set;
}

}  // namespace duel
