// The readers behind load_images (engine/images.h), one for each form that data sets come in. Errors name the file.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "engine/images.h"

namespace duel {

// IDX (engine/idx.cpp). The images file of a folder, where there is one; and that file with the labels beside it.
std::optional<std::filesystem::path> find_idx(const std::filesystem::path& folder, bool test);
ImageSet read_idx_images(const std::filesystem::path& path);

// CIFAR (engine/cifar.cpp). The files of a folder in their order, none where there are none; and what they hold, read
// until `limit` images are there (0: all).
std::vector<std::filesystem::path> find_cifar(const std::filesystem::path& folder, bool test);
ImageSet read_cifar(const std::vector<std::filesystem::path>& files, std::int64_t limit);

// PNG and JPEG files (engine/image_folder.cpp). Nothing where the folder holds none.
std::optional<ImageSet> read_image_folder(const std::filesystem::path& folder, const ImageOptions& options);

}  // namespace duel
