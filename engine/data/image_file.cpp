#include "engine/data/image_file.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "engine/data/image_codecs.h"
#include "engine/error.h"

namespace duel {
namespace {

bool starts_with(std::span<const std::byte> bytes, std::string_view start) {
  return bytes.size() >= start.size() && std::memcmp(bytes.data(), start.data(), start.size()) == 0;
}
bool is_png(std::span<const std::byte> bytes) { return starts_with(bytes, "\x89PNG\r\n\x1a\n"); }
bool is_jpeg(std::span<const std::byte> bytes) { return starts_with(bytes, "\xff\xd8\xff"); }

void check_kind(std::span<const std::byte> bytes, const std::string& name) {
  require(!bytes.empty(), "{}: the file is empty, expected a PNG or JPEG", name);
  std::string start;
  for (const std::byte b : bytes.first(std::min<std::size_t>(bytes.size(), 4)))
    start += fmt::format("{}{:02x}", start.empty() ? "" : " ", std::to_integer<int>(b));
  require(is_image(bytes), "{}: neither PNG nor JPEG: the first bytes are {}", name, start);
}

// The Exif orientations: 5 to 8 are turned by a quarter (rows and columns change places).
bool swaps_axes(int orientation) { return orientation >= 5; }
Picture turn(Picture picture, int orientation) {
  if (orientation == 1) return picture;
  const bool swap = swaps_axes(orientation);
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const std::int64_t h = picture.height, w = picture.width, c = picture.channels;
  Picture out{swap ? w : h, swap ? h : w, c, std::vector<std::uint8_t>(picture.pixels.size())};
  std::uint8_t* to = out.pixels.data();
  for (std::int64_t y = 0; y < out.height; ++y)
    for (std::int64_t x = 0; x < out.width; ++x, to += c) {
      const std::int64_t row = swap ? x : y, column = swap ? y : x;
      const std::int64_t pixel = (from_below ? h - 1 - row : row) * w + (from_right ? w - 1 - column : column);
      std::copy_n(picture.pixels.data() + pixel * c, c, to);
    }
  return out;
}

}  // namespace

bool has_image_name(const std::filesystem::path& path) {
  std::string end = path.extension().string();
  std::transform(end.begin(), end.end(), end.begin(), [](unsigned char c) { return std::tolower(c); });
  return end == ".png" || end == ".jpg" || end == ".jpeg";
}

bool is_image(std::span<const std::byte> bytes) { return is_png(bytes) || is_jpeg(bytes); }

void check_limits(const ImageHeader& header, std::uint64_t capacity, std::size_t file_bytes, const std::string& name) {
  const auto [h, w, c] = header;
  require(std::min(h, w) >= 1 && std::max(h, w) <= largest_image_side,
          "{}: declares {}x{} pixels (height x width), expected sides of 1 to {}", name, h, w, largest_image_side);
  require(static_cast<std::uint64_t>(h * w) <= capacity,
          "{}: declares {}x{} pixels (height x width), more than its {} bytes can hold", name, h, w, file_bytes);
  require(h * w * c <= largest_image_bytes, "{}: {}x{}x{} are {} bytes decoded, expected at most {}", name, h, w, c,
          h * w * c, largest_image_bytes);
}

ImageHeader read_image_header(std::span<const std::byte> bytes, const std::string& name, std::int64_t at_least) {
  check_kind(bytes, name);
  if (is_png(bytes)) return PngDecoder(bytes, name).open();
  JpegDecoder jpeg(bytes, name);
  ImageHeader header = jpeg.open(at_least);
  if (swaps_axes(jpeg.orientation())) std::swap(header.height, header.width);
  return header;
}

Picture decode_image(std::span<const std::byte> bytes, const std::string& name, std::int64_t at_least) {
  check_kind(bytes, name);
  if (is_png(bytes)) {
    PngDecoder png(bytes, name);
    png.open();
    return png.decode();
  }
  JpegDecoder jpeg(bytes, name);
  jpeg.open(at_least);
  const int orientation = jpeg.orientation();  // decode lets go of it
  return turn(jpeg.decode(), orientation);
}

}  // namespace duel
