// Pictures of 8-bit pixels: image grids, PNG and NumPy files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace duel {

// Pixels (height, width, channels), row-major; channels is 1 (grey) or 3 (RGB).
struct Picture {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

// Lays images (n,h,w,c) out in a grid, from left to right and then down. columns 0: as many as make it about square.
// Each pixel becomes scale x scale equal ones; gap dark pixels (not scaled) lie between images, none around them. Cells
// left over are dark. Error: n, h, w or scale below 1, c not 1 or 3, a size of images that is not n*h*w*c.
Picture tile(std::span<const std::uint8_t> images, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
             std::int64_t columns = 0, int gap = 2, int scale = 1);

// Both write atomically (engine/files.h). Error: sizes that disagree, and those of write_file_atomically.
void save_png(const std::filesystem::path& path, const Picture& picture);
// A NumPy file, format version 1.0, of dtype uint8 and the given shape (lengths >= 0, () for a scalar), C order.
void save_npy(const std::filesystem::path& path, std::span<const std::uint8_t> data,
              const std::vector<std::int64_t>& shape);

}  // namespace duel
