#include "engine/pictures/picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "engine/error.h"
#include "engine/files.h"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

namespace duel {
namespace {

constexpr std::uint8_t gap_value = 32;
constexpr std::int64_t side_limit = 1 << 20;    // pixels
constexpr std::int64_t byte_limit = 1LL << 29;  // the writer counts in int and grows its buffer by doubling

void append(void* context, void* data, int size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  static_cast<std::vector<std::byte>*>(context)->insert(static_cast<std::vector<std::byte>*>(context)->end(), bytes,
                                                        bytes + size);
}

// The lengths of a shape with the given text between them. (fmt::join makes GCC 12 warn of an overflow at -O3.)
std::string joined(const std::vector<std::int64_t>& shape, const char* separator = ",") {
  std::string out;
  for (const std::int64_t n : shape) out.append(out.empty() ? "" : separator).append(std::to_string(n));
  return out;
}

bool valid_side(std::int64_t n) { return n >= 1 && n <= side_limit; }

}  // namespace

Picture tile(std::span<const std::uint8_t> images, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
             std::int64_t columns, int gap, int scale) {
  require(valid_side(n) && valid_side(h) && valid_side(w),
          "[tile] images are ({},{},{},{}), expected lengths from 1 to {}", n, h, w, c, side_limit);
  require(c == 1 || c == 3, "[tile] {} channels, expected 1 or 3: images ({},{},{},{})", c, n, h, w, c);
  require(columns >= 0 && gap >= 0 && scale >= 1 && gap <= 4096 && scale <= 4096,
          "[tile] columns {}, gap {}, scale {}, expected columns >= 0, gap 0 to 4096, scale 1 to 4096", columns, gap,
          scale);
  // h * w <= 2^40 and n <= 2^20 by the limits above, so only the product of all could overflow.
  require(h * w <= byte_limit && h * w * n <= byte_limit && images.size() == static_cast<std::size_t>(n * h * w * c),
          "[tile] {} pixel bytes, expected ({},{},{},{})", images.size(), n, h, w, c);
  if (columns == 0) columns = static_cast<std::int64_t>(std::ceil(std::sqrt(double(n) * double(h) / double(w)) - 1e-9));
  columns = std::clamp<std::int64_t>(columns, 1, n);
  const std::int64_t rows = (n + columns - 1) / columns;

  const std::int64_t step_y = h * scale + gap, step_x = w * scale + gap;
  Picture out{rows * step_y - gap, columns * step_x - gap, c, {}};
  require(double(out.height) * double(out.width) * double(c) <= double(byte_limit),
          "[tile] the grid has {} x {} pixels, expected at most {} bytes", out.height, out.width, byte_limit);
  out.pixels.assign(static_cast<std::size_t>(out.height * out.width * c), gap_value);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint8_t* in = images.data() + i * h * w * c;
    std::uint8_t* corner = out.pixels.data() + (i / columns * step_y * out.width + i % columns * step_x) * c;
    for (std::int64_t y = 0; y < h * scale; ++y)
      for (std::int64_t x = 0; x < w * scale; ++x)
        std::copy_n(in + (y / scale * w + x / scale) * c, c, corner + (y * out.width + x) * c);
  }
  return out;
}

Picture stack(std::span<const Picture> pictures, int gap) {
  require(!pictures.empty(), "[stack] no pictures");
  Picture out{0, 0, pictures[0].channels, {}};
  for (const Picture& p : pictures) {
    require(p.channels == out.channels, "[stack] pictures of {} and of {} channels", out.channels, p.channels);
    out.width = std::max(out.width, p.width);
    out.height += p.height + (out.height > 0 ? gap : 0);
  }
  out.pixels.assign(static_cast<std::size_t>(out.height * out.width * out.channels), gap_value);
  std::uint8_t* to = out.pixels.data();
  for (const Picture& p : pictures) {
    for (std::int64_t y = 0; y < p.height; ++y, to += out.width * out.channels)
      std::copy_n(p.pixels.data() + y * p.width * p.channels, p.width * p.channels, to);
    to += gap * out.width * out.channels;
  }
  return out;
}

std::vector<std::uint8_t> to_bytes(const Tensor& images) {
  std::vector<std::uint8_t> out;
  out.reserve(static_cast<std::size_t>(images.size()));
  for (const float value : images.to_vector<float>()) {
    const float v = std::round((value + 1) * 127.5f);
    out.push_back(static_cast<std::uint8_t>(v >= 0 ? std::min(v, 255.0f) : 0));
  }
  return out;
}

Tensor from_bytes(std::span<const std::uint8_t> images, const Shape& shape) {
  std::vector<float> values;
  values.reserve(images.size());
  for (const std::uint8_t byte : images) values.push_back(static_cast<float>(byte) / 127.5f - 1);
  return from_vector(shape, values);
}

void save_grid(const std::filesystem::path& path, const Tensor& images) {
  require(images && images.rank() == 4, "[save_grid] images are {}, expected (N,H,W,C)", images);
  const std::int64_t n = images.dim(0), h = images.dim(1), w = images.dim(2), c = images.dim(3);
  save_png(path, tile(to_bytes(images), n, h, w, c, 0, 2, grid_scale(h, w)));
}

void save_png(const std::filesystem::path& path, const Picture& p) {
  require(valid_side(p.height) && valid_side(p.width) && (p.channels == 1 || p.channels == 3),
          "{}: a picture of ({},{},{}), expected sides from 1 to {} and 1 or 3 channels", path.string(), p.height,
          p.width, p.channels, side_limit);
  const std::int64_t bytes = p.height * p.width * p.channels;
  require(bytes <= byte_limit, "{}: a picture of {} bytes, expected at most {}", path.string(), bytes, byte_limit);
  require(p.pixels.size() == static_cast<std::size_t>(bytes), "{}: {} pixel bytes, expected {} for ({},{},{})",
          path.string(), p.pixels.size(), bytes, p.height, p.width, p.channels);
  std::vector<std::byte> png;
  const int width = static_cast<int>(p.width), channels = static_cast<int>(p.channels);
  const int ok = stbi_write_png_to_func(append, &png, width, static_cast<int>(p.height), channels, p.pixels.data(),
                                        width * channels);
  require(ok != 0, "{}: the PNG encoder ran out of memory", path.string());
  const std::array<std::span<const std::byte>, 1> parts{png};
  write_file_atomically(path, parts);
}

void save_npy(const std::filesystem::path& path, std::span<const std::uint8_t> data,
              const std::vector<std::int64_t>& shape) {
  double expected = 1;  // a double: lengths of any size compare without overflow
  for (const std::int64_t n : shape) {
    require(n >= 0, "{}: shape ({}) has a negative length", path.string(), joined(shape));
    expected *= double(n);
  }
  require(double(data.size()) == expected, "{}: {} bytes of data, expected {} for ({})", path.string(), data.size(),
          expected, joined(shape));
  std::string header = fmt::format("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}{}), }}", joined(shape, ", "),
                                   shape.size() == 1 ? "," : "");
  // The data begins at a multiple of 64: 10 bytes before the header, and its last is a line end.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  require(header.size() <= 0xffff, "{}: rank {} is too large for the header", path.string(), shape.size());
  std::string start = "\x93NUMPY";
  start += {'\x01', '\x00', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  start += header;
  const std::array<std::span<const std::byte>, 2> parts{std::as_bytes(std::span(start)), std::as_bytes(data)};
  write_file_atomically(path, parts);
}

}  // namespace duel
