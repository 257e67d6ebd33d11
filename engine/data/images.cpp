#include "engine/data/images.h"

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>
#include <utility>

#include "engine/data/image_file.h"
#include "engine/data/image_readers.h"
#include "engine/error.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

void check(const ImageOptions& options) {
  constexpr std::int64_t largest = 4096;
  require(options.size >= 0 && options.size <= largest, "[load_images] size is {}, expected 0 to {}", options.size,
          largest);
  require(options.limit >= 0, "[load_images] limit is {}, expected 0 or more", options.limit);
}

std::optional<ImageSet> load_folder(const fs::path& folder, const ImageOptions& options) {
  std::optional<ImageSet> set;
  if (const auto file = find_idx(folder, options.test))
    set = read_idx_images(*file);
  else if (const auto files = find_cifar(folder, options.test); !files.empty())
    set = read_cifar(files, options.limit);
  else
    set = read_image_folder(folder, options);
  if (set) set->name = fs::canonical(folder).filename().string();
  return set;
}

ImageSet load_file(const fs::path& path, const ImageOptions& options) {
  std::array<char, 8> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  require(!is_image(std::as_bytes(std::span(start))), "{}: found a single image, expected a folder of images",
          path.string());
  if (path.extension() == ".bin") return read_cifar({path}, options.limit);
  return read_idx_images(path);
}

[[noreturn]] void fail_empty(const fs::path& folder, bool test) {
  std::int64_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) files += !entry.path().empty();
  if (test)
    fail(
        "{}: the folder holds no test images, expected t10k-images-idx3-ubyte or .gz, test_batch.bin, or folders train "
        "and test of PNG or JPEG files",
        folder.string());
  fail(
      "{}: the folder holds no images that can be read among its {} entries, expected PNG or JPEG files, folders of "
      "them, data_batch_*.bin, train-images-idx3-ubyte or train-images-idx3-ubyte.gz",
      folder.string(), files);
}

// Runs `load`; what the system or the memory has against it becomes an Error that names the path.
template <class Load>
auto guarded(const std::string& path, Load load) {
  try {
    return load();
  } catch (const fs::filesystem_error& e) {
    fail("{}: cannot be read: {}", path, e.code().message());
  } catch (const std::bad_alloc&) {
    fail("{}: the images do not fit in memory", path);
  } catch (const std::length_error&) {
    fail("{}: the images do not fit in memory", path);
  }
}

}  // namespace

ImageSet load_images(const std::string& path, const ImageOptions& options) {
  check(options);
  return guarded(path, [&] {
    require(fs::exists(path), "{}: no such file or folder", path);
    if (!fs::is_directory(path)) {
      require(fs::is_regular_file(path), "{}: neither a file nor a folder", path);
      ImageSet set = load_file(path, options);
      apply_options(set, options);
      return set;
    }
    std::optional<ImageSet> set = load_folder(path, options);
    if (!set) fail_empty(path, options.test);
    apply_options(*set, options);
    return std::move(*set);
  });
}

std::optional<ImageSet> load_test_images(const std::string& path, ImageOptions options) {
  check(options);
  options.test = true;
  return guarded(path, [&] {
    std::optional<ImageSet> set;
    if (fs::is_directory(path)) set = load_folder(path, options);
    if (set) apply_options(*set, options);
    return set;
  });
}

void apply_options(ImageSet& set, const ImageOptions& options) {
  if (options.limit > 0 && options.limit < set.count) {
    set.count = options.limit;
    set.pixels.resize(static_cast<std::size_t>(set.count * set.height * set.width * set.channels));
    set.pixels.shrink_to_fit();
    if (!set.labels.empty()) set.labels.resize(static_cast<std::size_t>(set.count));
  }
  const std::int64_t size = options.size, c = set.channels;
  if (size == 0 || (set.height == size && set.width == size)) return;
  std::vector<std::uint8_t> resized(static_cast<std::size_t>(set.count) * static_cast<std::size_t>(size * size * c));
  const std::uint8_t* in = set.pixels.data();
  std::exception_ptr failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < set.count; ++i) try {
      crop_and_resize(in + i * set.height * set.width * c, set.height, set.width, c, size,
                      resized.data() + i * size * size * c);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  if (failure) std::rethrow_exception(failure);
  set.pixels = std::move(resized);
  set.height = set.width = size;
}

void keep_labels(ImageSet& set, std::int64_t count, std::uint64_t seed) {
  require(set.classes > 0, "{} has no labels, expected labelled images", set.name);
  if (count == 0) {
    set.labels.clear();
    set.classes = 0;
    return;
  }
  std::vector<std::vector<std::size_t>> of_class(static_cast<std::size_t>(set.classes));
  for (std::size_t i = 0; i < set.labels.size(); ++i)
    if (set.labels[i] >= 0) of_class[static_cast<std::size_t>(set.labels[i])].push_back(i);
  std::vector<std::int32_t> kept(set.labels.size(), -1);
  SplitMix64 random{seed};
  for (std::int64_t c = 0; c < set.classes; ++c) {
    std::vector<std::size_t>& images = of_class[static_cast<std::size_t>(c)];
    const auto share = static_cast<std::size_t>(count / set.classes + (c < count % set.classes));
    require(share <= images.size(), "{}: class {} has {} labels, expected {} for {} labels in all", set.name, c,
            images.size(), share, count);
    for (std::size_t k = 0; k < share; ++k) {
      std::swap(images[k], images[k + random.below(images.size() - k)]);
      kept[images[k]] = static_cast<std::int32_t>(c);
    }
  }
  set.labels = std::move(kept);
}

}  // namespace duel
