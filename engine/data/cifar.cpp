// The binary versions of CIFAR-10 and CIFAR-100: records without a header, one after the other. A record is one label
// (CIFAR-100: a coarse one and a fine one), then three planes of 32x32 bytes, red, green and blue.
#include <algorithm>
#include <array>
#include <span>

#include "engine/data/image_readers.h"
#include "engine/error.h"
#include "engine/files.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t side = 32, plane = side * side, image_bytes = 3 * plane;
constexpr std::int64_t cifar10_record = 1 + image_bytes, cifar100_record = 2 + image_bytes;

const std::vector<std::string> cifar10_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                "dog",      "frog",       "horse", "ship", "truck"};

// Appends the records of a file, at most up to `limit` images in all.
void append(ImageSet& set, const fs::path& path, std::int64_t limit) {
  InputFile file(path);
  const std::string name = path.string();
  const std::int64_t size = file.size(), record = size % cifar10_record == 0 ? cifar10_record : cifar100_record;
  require(size > 0 && size % record == 0,
          "{}: found {} bytes, expected a multiple of {} (CIFAR-10) or {} (CIFAR-100) above 0", name, size,
          cifar10_record, cifar100_record);
  const std::int64_t classes = record == cifar10_record ? 10 : 100;
  require(set.count == 0 || set.classes == classes, "{}: found records of CIFAR-{}, expected CIFAR-{} as before", name,
          classes, set.classes);
  set.classes = classes;
  const std::int64_t room = limit > 0 ? limit - set.count : size, records = std::min(size / record, room);
  set.pixels.resize(static_cast<std::size_t>((set.count + records) * image_bytes));
  set.labels.reserve(static_cast<std::size_t>(set.count + records));
  std::array<std::uint8_t, cifar100_record> bytes;
  for (std::int64_t i = 0; i < records; ++i, ++set.count) {
    file.read(std::as_writable_bytes(std::span(bytes).first(static_cast<std::size_t>(record))));
    const std::uint8_t* planes = bytes.data() + (record - image_bytes);
    const std::int32_t label = planes[-1];
    require(label < classes, "{}: record {} has the label {}, expected 0 to {}", name, i, label, classes - 1);
    set.labels.push_back(label);
    std::uint8_t* out = set.pixels.data() + set.count * image_bytes;
    for (std::int64_t p = 0; p < plane; ++p)
      for (std::int64_t c = 0; c < 3; ++c) *out++ = planes[c * plane + p];
  }
}

}  // namespace

std::vector<fs::path> find_cifar(const fs::path& folder, bool test) {
  std::vector<fs::path> files;
  std::error_code unreadable;  // a link that leads nowhere, or in a circle, is no file
  if (test) {
    for (const char* name : {"test_batch.bin", "test.bin"})
      if (files.empty() && fs::is_regular_file(folder / name, unreadable)) files.push_back(folder / name);
    return files;
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("data_batch_") && name.ends_with(".bin") && entry.is_regular_file(unreadable))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty() && fs::is_regular_file(folder / "train.bin", unreadable)) files.push_back(folder / "train.bin");
  return files;
}

ImageSet read_cifar(const std::vector<fs::path>& files, std::int64_t limit) {
  ImageSet set{.name = files.at(0).filename().string(),
               .height = side,
               .width = side,
               .channels = 3,
               .pixels = {},
               .labels = {}};
  for (const fs::path& file : files)
    if (limit == 0 || set.count < limit) append(set, file, limit);
  if (set.classes == 10) set.class_names = cifar10_names;
  return set;
}

}  // namespace duel
