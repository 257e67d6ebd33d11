// Pictures of 8-bit pixels: image grids, PNG (also animated) and NumPy files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "engine/tensor.h"

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
// What a grid is scaled by: images below 64 pixels are shown twice as large.
inline int grid_scale(std::int64_t h, std::int64_t w) { return h < 64 && w < 64 ? 2 : 1; }

// Pictures one below the other, at the left, with `gap` dark rows between. Error: none, or different channels.
Picture stack(std::span<const Picture> pictures, int gap);

// Images in [-1, 1] as bytes: round((v + 1) * 127.5), cut off to 0..255; what is not a number becomes 0.
std::vector<std::uint8_t> to_bytes(const Tensor& images);
// The opposite: bytes of images (N,H,W,C) as values in [-1, 1].
Tensor from_bytes(std::span<const std::uint8_t> images, const Shape& shape);
// A grid of images (N,H,W,C) in [-1, 1], C 1 or 3, as a PNG file; atomic.
void save_grid(const std::filesystem::path& path, const Tensor& images);

// Each writes atomically (engine/files.h). Error: sizes that disagree, and those of write_file_atomically.
void save_png(const std::filesystem::path& path, const Picture& picture);
// An animated PNG (W3C PNG, third edition, section 11.3.6) that plays without end; other readers see the first frame.
// Atomic. Error: no frames, frames of different shapes, delay_ms not in 1 .. 65535.
void save_apng(const std::filesystem::path& path, std::span<const Picture> frames, int delay_ms);
// A NumPy file, format version 1.0, of dtype uint8 and the given shape (lengths >= 0, () for a scalar), C order.
void save_npy(const std::filesystem::path& path, std::span<const std::uint8_t> data,
              const std::vector<std::int64_t>& shape);

}  // namespace duel
