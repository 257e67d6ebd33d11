// One PNG or JPEG file, decoded from memory. What it is, its first bytes say, whatever its name ends in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "engine/pictures/picture.h"

namespace duel {

// .png, .jpg or .jpeg, in capitals or not.
bool has_image_name(const std::filesystem::path& path);
// The first bytes of a PNG or JPEG file.
bool is_image(std::span<const std::byte> bytes);

constexpr std::int64_t largest_image_side = 16384;        // pixels
constexpr std::int64_t largest_image_bytes = 64ll << 20;  // of the file, and of the decoded pixels

// What decoding would give.
struct ImageHeader {
  std::int64_t height = 0, width = 0;
  std::int64_t channels = 0;  // 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
};

// 8 bits a channel, alpha not premultiplied; 16 bits are rounded, palettes resolved, colour profiles and
// gamma ignored; a JPEG is turned upright as its Exif orientation says. Every JPEG of grey, YCbCr or RGB, every PNG.
// Where a JPEG would exceed largest_image_bytes, it is decoded at 1/2, 1/4 or 1/8 of its size (by libjpeg's scaled
// inverse DCT) if its shorter side then still is at_least; 0: never.
// All that a header declares is checked before anything is allocated for it: the sides, the decoded bytes, and whether
// a file of that length can hold so many pixels at all (deflate packs at most 1032 to 1; a JPEG block of 8x8 pixels
// takes a bit at least).
// Error, with `name` in front: neither PNG nor JPEG; damaged, even if some pixels could be read; CMYK; a limit.
ImageHeader read_image_header(std::span<const std::byte> bytes, const std::string& name, std::int64_t at_least = 0);
Picture decode_image(std::span<const std::byte> bytes, const std::string& name, std::int64_t at_least = 0);

}  // namespace duel
