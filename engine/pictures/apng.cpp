// Animated PNG: the format's own chunks, since the writer behind save_png knows single pictures only.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/picture.h"

namespace duel {
namespace {

void put(std::string& out, std::uint32_t v, int bytes = 4) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(v >> shift & 0xff);
}

// Length, type, data, and the CRC of type and data.
void put_chunk(std::string& out, const std::string& type, const std::string& data) {
  const std::string body = type + data;
  put(out, static_cast<std::uint32_t>(data.size()));
  out += body;
  put(out, static_cast<std::uint32_t>(
               crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

// Each row behind the filter (0: none, 1: minus the pixel to the left, 2: minus the one above) whose differences are
// smallest in sum: the usual rule of thumb (PNG specification, section 12.8).
std::string filtered(const Picture& p) {
  const auto row_bytes = static_cast<std::size_t>(p.width * p.channels), step = static_cast<std::size_t>(p.channels);
  const std::vector<std::uint8_t> black(row_bytes);
  std::array<std::string, 3> candidates;
  std::string out;
  for (std::int64_t y = 0; y < p.height; ++y) {
    const std::uint8_t* row = p.pixels.data() + static_cast<std::size_t>(y) * row_bytes;
    const std::uint8_t* above = y ? row - row_bytes : black.data();
    std::array<long, 3> cost{};
    for (std::size_t f = 0; f < candidates.size(); ++f) {
      candidates[f].assign(1, static_cast<char>(f));
      for (std::size_t i = 0; i < row_bytes; ++i) {
        const int guess = f == 0 ? 0 : f == 2 ? above[i] : i < step ? 0 : row[i - step];
        const auto difference = static_cast<signed char>(row[i] - guess);
        candidates[f] += static_cast<char>(difference);
        cost[f] += std::abs(difference);
      }
    }
    out += candidates[static_cast<std::size_t>(std::min_element(cost.begin(), cost.end()) - cost.begin())];
  }
  return out;
}

std::string compressed(const Picture& p) {
  const std::string plain = filtered(p);
  uLongf size = compressBound(static_cast<uLong>(plain.size()));
  std::string out(size, '\0');
  const int result = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                               reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()), 9);
  require(result == Z_OK, "zlib: compression failed with {}", result);
  out.resize(size);
  return out;
}

}  // namespace

void save_apng(const std::filesystem::path& path, std::span<const Picture> frames, int delay_ms) {
  constexpr std::int64_t side_limit = 1 << 16, byte_limit = 1LL << 29;
  const std::string file = path.string();
  require(!frames.empty(), "{}: no frames, expected at least one", file);
  require(delay_ms >= 1 && delay_ms <= 65535, "{}: a delay of {} ms, expected 1 to 65535", file, delay_ms);
  const Picture& first = frames[0];
  require(first.height >= 1 && first.height <= side_limit && first.width >= 1 && first.width <= side_limit &&
              (first.channels == 1 || first.channels == 3),
          "{}: frames of ({},{},{}), expected sides from 1 to {} and 1 or 3 channels", file, first.height, first.width,
          first.channels, side_limit);
  const std::int64_t bytes = first.height * first.width * first.channels;
  require(bytes <= byte_limit, "{}: a frame of {} bytes, expected at most {}", file, bytes, byte_limit);
  for (const Picture& f : frames)
    require(f.height == first.height && f.width == first.width && f.channels == first.channels &&
                f.pixels.size() == static_cast<std::size_t>(bytes),
            "{}: a frame of ({},{},{}) with {} bytes, expected all as the first, ({},{},{})", file, f.height, f.width,
            f.channels, f.pixels.size(), first.height, first.width, first.channels);

  const auto width = static_cast<std::uint32_t>(first.width), height = static_cast<std::uint32_t>(first.height);
  std::string out = "\x89PNG\r\n\x1a\n", header, control;
  put(header, width);
  put(header, height);
  // 8 bits; grey or RGB; the only compression and filter method; not interlaced
  header += {'\x08', first.channels == 1 ? '\x00' : '\x02', '\x00', '\x00', '\x00'};
  put_chunk(out, "IHDR", header);
  put(control, static_cast<std::uint32_t>(frames.size()));
  put(control, 0);  // plays without end
  put_chunk(out, "acTL", control);
  std::uint32_t number = 0;  // counts fcTL and fdAT chunks together
  for (const Picture& f : frames) {
    std::string frame, data;
    for (const std::uint32_t v : {number++, width, height, 0u, 0u}) put(frame, v);
    put(frame, static_cast<std::uint32_t>(delay_ms), 2);
    put(frame, 1000, 2);
    put(frame, 0, 2);  // leave the frame where it is; the next one replaces all of it
    put_chunk(out, "fcTL", frame);
    // The first frame is at the same time the picture for readers that know no animation.
    const bool still = &f == &first;
    if (!still) put(data, number++);
    put_chunk(out, still ? "IDAT" : "fdAT", data + compressed(f));
  }
  put_chunk(out, "IEND", "");
  write_file_atomically(path, out);
}

}  // namespace duel
