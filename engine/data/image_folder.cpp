// Folders of PNG and JPEG files.
#include <algorithm>
#include <exception>
#include <map>
#include <set>
#include <utility>

#include "engine/data/image_file.h"
#include "engine/data/image_readers.h"
#include "engine/error.h"
#include "engine/files.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

using Entry = ImageEntry;

struct Listing {
  std::vector<fs::path> images;   // sorted by name
  std::vector<fs::path> folders;  // sorted by name
};

bool by_name(const fs::path& a, const fs::path& b) { return a.filename().string() < b.filename().string(); }

// Whether a link leads back to the folder that it lies in, or to one above.
bool leads_back(const fs::path& link, const fs::path& folder) {
  std::error_code error;
  const fs::path to = fs::canonical(link, error), from = fs::canonical(folder, error);
  return error || std::mismatch(to.begin(), to.end(), from.begin(), from.end()).first == to.end();
}

// What cannot be looked at (a link in a circle, a folder without the right to read it) is passed over.
Listing list_folder(const fs::path& folder) {
  Listing out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    const fs::path& path = it->path();
    if (path.filename().string().starts_with(".")) continue;
    if (it->is_directory(unreadable)) {
      if (!it->is_symlink(unreadable) || !leads_back(path, folder)) out.folders.push_back(path);
    } else if (has_image_name(path) && it->is_regular_file(unreadable)) {
      out.images.push_back(path);
    }
  }
  std::sort(out.images.begin(), out.images.end(), by_name);
  std::sort(out.folders.begin(), out.folders.end(), by_name);
  return out;
}

// The images of a folder by class; one class without a name where they are unlabelled.
using Classes = std::map<std::string, std::vector<fs::path>>;
Classes find_classes(const fs::path& folder) {
  Classes classes;
  Listing top = list_folder(folder);
  for (const fs::path& sub : top.folders) {
    Listing inside = list_folder(sub);
    if (!inside.images.empty()) classes[sub.filename().string()] = std::move(inside.images);
  }
  require(top.images.empty() || classes.empty(),
          "{}: holds both images ({}) and a folder of images ({}), expected one or the other", folder.string(),
          top.images.empty() ? "" : top.images[0].filename().string(), classes.empty() ? "" : classes.begin()->first);
  if (!top.images.empty()) classes[""] = std::move(top.images);
  return classes;
}

// Whether the images lie in a folder train. A folder of that name may also be a class (of trains) beside others; it is
// not where there is a folder of test images as well.
bool is_split(const fs::path& folder) {
  static const std::set<std::string> others{"test", "val", "valid", "validation"};
  bool train = false, test = false, classes = false;
  for (const fs::path& sub : list_folder(folder).folders) {
    const std::string name = sub.filename().string();
    if (name == "train")
      train = true;
    else if (others.count(name))
      test = true;
    else
      classes = classes || !list_folder(sub).images.empty();
  }
  return train && (test || !classes);
}

// The first of each class, then the second of each, ...
std::vector<Entry> interleave(const Classes& classes, const std::vector<std::string>& names) {
  std::vector<Entry> entries;
  std::size_t longest = 0;
  for (const auto& [name, files] : classes) longest = std::max(longest, files.size());
  for (std::size_t i = 0; i < longest; ++i)
    for (const auto& [name, files] : classes) {
      const auto label = std::lower_bound(names.begin(), names.end(), name) - names.begin();
      if (i < files.size()) entries.push_back({files[i], static_cast<std::int32_t>(label)});
    }
  return entries;
}

// One file on its way into the set.
struct Decoded {
  Picture picture;    // of 1 or 3 channels
  ImageHeader found;  // the file's own size, where it is not the expected one; the picture is then empty
  std::string error;
};

// `expected`: the size of the images before, where they are not to be resized; 0 for the first of them.
Decoded decode_file(const fs::path& path, const ImageOptions& options, const ImageHeader& expected) {
  Decoded out;
  try {
    const std::string name = path.string();
    const std::vector<std::byte> bytes = read_image_bytes(path);
    if (expected.height > 0) {
      const ImageHeader header = read_image_header(bytes, name);
      if (header.height != expected.height || header.width != expected.width) {
        out.found = header;
        return out;
      }
    }
    out.picture = decode_entry(bytes, name, options);
  } catch (const Error& e) {
    out.error = e.what();
  }
  return out;
}

// Puts decoded images one after the other; the set is grey until the first one with colours.
class SetBuilder {
 public:
  SetBuilder(const fs::path& folder, std::size_t files, const ImageOptions& options)
      : folder_(folder.string()), files_(files), options_(options) {}

  bool empty() const { return set_.count == 0; }
  bool full() const { return options_.limit > 0 && set_.count == options_.limit; }
  ImageHeader expected() const {
    return options_.size > 0 ? ImageHeader{} : ImageHeader{set_.height, set_.width, set_.channels};
  }
  void add(const Entry& entry, const Decoded& decoded) {
    if (!decoded.error.empty()) return skip(decoded.error);
    const Picture& picture = decoded.picture;
    if (set_.count == 0) begin(entry, picture);
    require(picture.height == set_.height && picture.width == set_.width,
            "{}: the images differ in size: {} is {}x{}, {} is {}x{} (height x width); --size S makes them one size",
            folder_, first_.filename().string(), set_.height, set_.width, entry.path.filename().string(),
            decoded.found.height, decoded.found.width);  // a picture of another size was not decoded
    if (picture.channels > set_.channels) widen();
    if (picture.channels == set_.channels)
      set_.pixels.insert(set_.pixels.end(), picture.pixels.begin(), picture.pixels.end());
    else
      for (const std::uint8_t v : picture.pixels) set_.pixels.insert(set_.pixels.end(), 3, v);
    set_.labels.push_back(entry.label);
    ++set_.count;
  }
  ImageSet finish() {
    require(set_.count > 0, "{}: none of the {} images can be read; the first: {}", folder_, files_,
            set_.first_skipped);
    set_.pixels.shrink_to_fit();
    return std::move(set_);
  }

 private:
  void skip(const std::string& error) {
    require(options_.skip_broken, "{}", error);
    if (set_.skipped++ == 0) set_.first_skipped = error;
  }
  void begin(const Entry& entry, const Picture& picture) {
    first_ = entry.path;
    set_.height = picture.height, set_.width = picture.width, set_.channels = picture.channels;
  }
  void widen() {
    std::vector<std::uint8_t> wide;
    wide.reserve(3 * set_.pixels.capacity());
    for (const std::uint8_t v : set_.pixels) wide.insert(wide.end(), 3, v);
    set_.pixels = std::move(wide);
    set_.channels = 3;
  }

  std::string folder_;
  std::size_t files_;
  const ImageOptions& options_;
  fs::path first_;
  ImageSet set_;
};

ImageSet read_entries(const fs::path& folder, const std::vector<Entry>& entries, const ImageOptions& options) {
  SetBuilder builder(folder, entries.size(), options);
  std::vector<Decoded> decoded;
  // In portions: the first error by name ends the reading soon. One by one as long as no image has given its size.
  for (std::size_t begin = 0; begin < entries.size() && !builder.full();) {
    std::size_t n = builder.empty() ? 1 : std::min<std::size_t>(256, entries.size() - begin);
    if (options.limit > 0) n = std::min(n, static_cast<std::size_t>(options.limit));
    decoded.assign(n, {});
    const ImageHeader expected = builder.expected();
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < n; ++i) try {
        decoded[i] = decode_file(entries[begin + i].path, options, expected);
      } catch (...) {
#pragma omp critical
        failure = std::current_exception();
      }
    if (failure) std::rethrow_exception(failure);
    for (std::size_t i = 0; i < n && !builder.full(); ++i) builder.add(entries[begin + i], decoded[i]);
    begin += n;
  }
  return builder.finish();
}

}  // namespace

std::vector<std::byte> read_image_bytes(const fs::path& path, std::size_t most) {
  InputFile file(path);
  require(file.size() <= largest_image_bytes, "{}: the file has {} bytes, expected at most {}", path.string(),
          file.size(), largest_image_bytes);
  std::vector<std::byte> bytes(std::min(static_cast<std::size_t>(file.size()), most));
  file.read(bytes);
  return bytes;
}

Picture decode_entry(std::span<const std::byte> bytes, const std::string& name, const ImageOptions& options) {
  Picture picture = flatten(decode_image(bytes, name, options.size), options.background);
  return options.size > 0 ? crop_and_resize(picture, options.size) : picture;
}

std::optional<ImageSet> read_image_folder(const fs::path& folder, const ImageOptions& options) {
  const bool split = is_split(folder);
  if (options.test && !split) return std::nullopt;
  Classes classes = find_classes(split ? folder / "train" : folder);
  std::vector<std::string> names;
  for (const auto& [name, files] : classes) names.push_back(name);
  if (options.test) {  // labelled by the classes of train
    std::error_code error;
    if (!fs::is_directory(folder / "test", error)) return std::nullopt;
    classes = find_classes(folder / "test");
    for (const auto& [name, files] : classes)
      require(names.size() < 2 || std::binary_search(names.begin(), names.end(), name),
              "{}: the class {} is not one of train's, expected only those", (folder / "test").string(),
              name.empty() ? "''" : name);
  }
  if (classes.empty()) return std::nullopt;
  std::vector<Entry> entries = interleave(classes, names);
  ImageSet set = wants_stream(entries, options) ? stream_entries(folder, std::move(entries), options)
                                                : read_entries(folder, entries, options);
  if (names.size() < 2) {
    set.labels.clear();
  } else {
    set.classes = static_cast<std::int64_t>(names.size());
    set.class_names = std::move(names);
  }
  return set;
}

}  // namespace duel
