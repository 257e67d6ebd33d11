// The readers behind load_images (engine/data/images.h), one for each form that data sets come in. Errors name the
// file.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/data/images.h"
#include "engine/pictures/picture.h"

namespace duel {

// IDX (engine/data/idx.cpp). The images file of a folder, where there is one; and that file with the labels beside it.
std::optional<std::filesystem::path> find_idx(const std::filesystem::path& folder, bool test);
ImageSet read_idx_images(const std::filesystem::path& path);

// CIFAR (engine/data/cifar.cpp). The files of a folder in their order, none where there are none; and what they hold,
// read until `limit` images are there (0: all).
std::vector<std::filesystem::path> find_cifar(const std::filesystem::path& folder, bool test);
ImageSet read_cifar(const std::vector<std::filesystem::path>& files, std::int64_t limit);

// One PNG or JPEG file of a set.
struct ImageEntry {
  std::filesystem::path path;
  std::int32_t label = 0;
};
// Error: longer than largest_image_bytes. At most the first `most` bytes.
std::vector<std::byte> read_image_bytes(const std::filesystem::path& path, std::size_t most = ~std::size_t{0});
// The decoded file as the options want it, of 1 or 3 channels. Error: it cannot be read.
Picture decode_entry(std::span<const std::byte> bytes, const std::string& name, const ImageOptions& options);
// The set of these files with a source in the place of most pixels (engine/data/image_stream.cpp).
bool wants_stream(const std::vector<ImageEntry>& entries, const ImageOptions& options);
ImageSet stream_entries(const std::filesystem::path& folder, std::vector<ImageEntry> entries,
                        const ImageOptions& options);

// PNG and JPEG files (engine/data/image_folder.cpp). Nothing where the folder holds none.
std::optional<ImageSet> read_image_folder(const std::filesystem::path& folder, const ImageOptions& options);

}  // namespace duel
