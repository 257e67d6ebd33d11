// Folders of PNG and JPEG files that are decoded whenever an image is asked for.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "engine/data/image_file.h"
#include "engine/data/image_readers.h"
#include "engine/error.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t header_bytes = 64 << 10;
constexpr std::int64_t most_held_bytes = std::int64_t{1} << 30;

// Of what decode_entry gives (flatten in engine/data/resize.h).
ImageHeader flattened(const ImageHeader& h, const ImageOptions& options) {
  const Color& c = options.background;
  const bool grey = h.channels == 1 || (h.channels == 2 && c.red == c.green && c.green == c.blue);
  const std::int64_t channels = grey ? 1 : 3;
  return options.size > 0 ? ImageHeader{options.size, options.size, channels}
                          : ImageHeader{h.height, h.width, channels};
}

class FolderSource final : public ImageSource {
 public:
  FolderSource(std::vector<ImageEntry> entries, const ImageOptions& options, const ImageHeader& shape)
      : entries_(std::move(entries)), options_(options), shape_(shape) {}

  void read(std::int64_t i, std::uint8_t* pixels) const override {
    const fs::path& path = entries_[static_cast<std::size_t>(i)].path;
    const std::string name = path.string();
    const Picture p = decode_entry(read_image_bytes(path), name, options_);
    require(p.height == shape_.height && p.width == shape_.width && p.channels <= shape_.channels,
            "{}: the file has changed: found {}x{}x{}, expected {}x{}x{}", name, p.height, p.width, p.channels,
            shape_.height, shape_.width, shape_.channels);
    if (p.channels == shape_.channels)
      std::copy(p.pixels.begin(), p.pixels.end(), pixels);
    else
      for (const std::uint8_t v : p.pixels) pixels = std::fill_n(pixels, 3, v);
  }
  std::uint64_t fingerprint() const override {
    std::uint64_t h = 0xcbf29ce484222325u;  // FNV-1a (Fowler, Noll and Vo)
    const auto mix = [&h](unsigned char byte) { h = (h ^ byte) * 0x100000001b3u; };
    for (const ImageEntry& e : entries_) {
      for (const char c : e.path.filename().string()) mix(static_cast<unsigned char>(c));
      std::error_code error;
      const std::uintmax_t size = fs::file_size(e.path, error);
      for (int byte = 0; byte < 8; ++byte) mix(static_cast<unsigned char>(size >> 8 * byte));
    }
    return h;
  }

 private:
  std::vector<ImageEntry> entries_;
  ImageOptions options_;
  ImageHeader shape_;
};

// What a header says, or why it cannot be read. Most lie in the first few bytes; what does not is read whole.
struct Looked {
  ImageHeader header;
  std::string error;
};
ImageHeader header_of(const fs::path& path, const ImageOptions& options) {
  const std::string name = path.string();
  std::vector<std::byte> bytes;
  try {
    bytes = read_image_bytes(path, header_bytes);
    return read_image_header(bytes, name, options.size);
  } catch (const Error&) {
    if (bytes.size() < header_bytes) throw;
  }
  return read_image_header(read_image_bytes(path), name, options.size);
}
std::vector<Looked> look(const std::vector<ImageEntry>& entries, const ImageOptions& options) {
  std::vector<Looked> out(entries.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 64)
  for (std::size_t i = 0; i < entries.size(); ++i) try {
      out[i].header = flattened(header_of(entries[i].path, options), options);
    } catch (const Error& e) {
      out[i].error = e.what();
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  if (failure) std::rethrow_exception(failure);
  return out;
}

}  // namespace

bool wants_stream(const std::vector<ImageEntry>& entries, const ImageOptions& options) {
  if (options.stream != ImageOptions::Stream::automatic || entries.empty())
    return options.stream == ImageOptions::Stream::yes;
  auto count = static_cast<double>(entries.size());
  if (options.limit > 0) count = std::min(count, static_cast<double>(options.limit));
  const std::vector<ImageEntry> first{entries[0]};
  const ImageHeader shape = look(first, options)[0].header;
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return count * static_cast<double>(shape.height * shape.width * 3) > memory / 2;
}

ImageSet stream_entries(const fs::path& folder, std::vector<ImageEntry> entries, const ImageOptions& options) {
  if (options.limit > 0 && !options.skip_broken && static_cast<std::size_t>(options.limit) < entries.size())
    entries.resize(static_cast<std::size_t>(options.limit));
  const std::vector<Looked> looked = look(entries, options);
  ImageSet set;
  std::vector<ImageEntry> good;
  for (std::size_t i = 0; i < entries.size() && (options.limit == 0 || set.count < options.limit); ++i) {
    const Looked& at = looked[i];
    if (!at.error.empty()) {
      require(options.skip_broken, "{}", at.error);
      if (set.skipped++ == 0) set.first_skipped = at.error;
      continue;
    }
    const ImageEntry& first = good.empty() ? entries[i] : good[0];
    if (good.empty()) set.height = at.header.height, set.width = at.header.width;
    require(at.header.height == set.height && at.header.width == set.width,
            "{}: the images differ in size: {} is {}x{}, {} is {}x{} (height x width); --size S makes them one size",
            folder.string(), first.path.filename().string(), set.height, set.width, entries[i].path.filename().string(),
            at.header.height, at.header.width);
    set.channels = std::max(set.channels, at.header.channels);
    set.labels.push_back(entries[i].label);
    good.push_back(entries[i]);
    ++set.count;
  }
  require(set.count > 0, "{}: none of the {} images can be read; the first: {}", folder.string(), entries.size(),
          set.first_skipped);
  const auto source =
      std::make_shared<const FolderSource>(std::move(good), options, ImageHeader{set.height, set.width, set.channels});
  const std::int64_t bytes = set.image_bytes();
  const std::int64_t held = std::clamp<std::int64_t>(most_held_bytes / bytes, 1, std::min(set.count, options.held));
  set.pixels.resize(static_cast<std::size_t>(held * bytes));
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < held; ++i) try {
      source->read(i, set.pixels.data() + i * bytes);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  if (failure) std::rethrow_exception(failure);
  set.source = source;
  return set;
}

}  // namespace duel
