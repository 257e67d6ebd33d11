#include <doctest/doctest.h>
#include <png.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>

#include "engine/data/glyphs.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/picture.h"
#include "tests/support.h"

using namespace duel;
namespace fs = std::filesystem;

namespace {

struct Scratch {
  fs::path path = fs::temp_directory_path() / fmt::format("duel-apng-{}.png", ::getpid());
  ~Scratch() { fs::remove(path); }
};

std::uint32_t number(const std::string& s, std::size_t at, std::size_t bytes = 4) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < bytes; ++i) v = v << 8 | static_cast<unsigned char>(s.at(at + i));
  return v;
}

struct Chunk {
  std::string type, data;
};
// Every chunk of the file; checks lengths and CRCs.
std::vector<Chunk> chunks_of(const std::string& png) {
  CHECK(png.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  std::vector<Chunk> out;
  for (std::size_t at = 8; at < png.size();) {
    const std::size_t length = number(png, at);
    REQUIRE(at + 12 + length <= png.size());
    const std::string body = png.substr(at + 4, 4 + length);
    CHECK(number(png, at + 8 + length) ==
          crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
    out.push_back({body.substr(0, 4), body.substr(4)});
    at += 12 + length;
  }
  return out;
}

// PNG specification, sections 9 and 10, for the filters none, sub and up.
std::vector<std::uint8_t> decoded(const std::string& compressed, const Picture& like) {
  const auto row = static_cast<std::size_t>(like.width * like.channels), rows = static_cast<std::size_t>(like.height);
  const auto step = static_cast<std::size_t>(like.channels);
  std::string plain((row + 1) * rows + 1, '\0');
  uLongf size = plain.size();
  REQUIRE(uncompress(reinterpret_cast<Bytef*>(plain.data()), &size, reinterpret_cast<const Bytef*>(compressed.data()),
                     compressed.size()) == Z_OK);
  REQUIRE(size == (row + 1) * rows);
  std::vector<std::uint8_t> out(row * rows);
  for (std::size_t y = 0; y < rows; ++y) {
    const char filter = plain[y * (row + 1)];
    CHECK(filter >= 0);
    CHECK(filter <= 2);
    for (std::size_t i = 0; i < row; ++i) {
      const int left = i < step ? 0 : out[y * row + i - step], above = y == 0 ? 0 : out[(y - 1) * row + i];
      out[y * row + i] = static_cast<std::uint8_t>(plain[y * (row + 1) + 1 + i] + (filter == 1   ? left
                                                                                   : filter == 2 ? above
                                                                                                 : 0));
    }
  }
  return out;
}

std::vector<Picture> frames(std::int64_t count, std::int64_t channels) {
  const ImageSet digits = make_glyphs(count, 5);
  std::vector<Picture> out;
  for (std::int64_t f = 0; f < count; ++f) {
    Picture p{28, 28, channels, {}};
    for (std::int64_t i = 0; i < 28 * 28; ++i)
      for (std::int64_t c = 0; c < channels; ++c)
        p.pixels.push_back(static_cast<std::uint8_t>(digits.pixels[static_cast<std::size_t>(f * 784 + i)] / (c + 1)));
    out.push_back(p);
  }
  return out;
}

}  // namespace

TEST_CASE("apng: the chunks hold the frames") {
  const Scratch scratch;
  for (const std::int64_t channels : {1, 3})
    for (const std::int64_t count : {1, 4}) {
      const std::vector<Picture> in = frames(count, channels);
      save_apng(scratch.path, in, 70);
      const std::vector<Chunk> chunks = chunks_of(read_text(scratch.path));
      std::uint32_t sequence = 0;
      std::size_t frame = 0;
      for (const Chunk& c : chunks) {
        if (c.type == "acTL") {
          CHECK(number(c.data, 0) == static_cast<std::uint32_t>(count));
          CHECK(number(c.data, 4) == 0);
        } else if (c.type == "fcTL") {
          CHECK(c.data.size() == 26);
          CHECK(number(c.data, 0) == sequence++);
          CHECK(number(c.data, 4) == 28);
          CHECK(number(c.data, 20, 2) == 70);
          CHECK(number(c.data, 22, 2) == 1000);
        } else if (c.type == "IDAT" || c.type == "fdAT") {
          CHECK((c.type == "IDAT") == (frame == 0));
          if (c.type == "fdAT") CHECK(number(c.data, 0) == sequence++);
          CHECK((decoded(c.type == "IDAT" ? c.data : c.data.substr(4), in[frame]) == in[frame].pixels));
          ++frame;
        }
      }
      CHECK(frame == in.size());
      CHECK(chunks[0].type == "IHDR");
      CHECK(chunks[1].type == "acTL");
      CHECK(chunks[2].type == "fcTL");
      CHECK(chunks.back().type == "IEND");
    }
}

TEST_CASE("apng: libpng reads the first frame as a picture") {
  const Scratch scratch;
  for (const std::int64_t channels : {1, 3}) {
    const std::vector<Picture> in = frames(3, channels);
    save_apng(scratch.path, in, 70);
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    REQUIRE(png_image_begin_read_from_file(&image, scratch.path.c_str()) != 0);
    CHECK(image.format == (channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB));
    std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
    REQUIRE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr) != 0);
    CHECK(image.warning_or_error == 0);
    CHECK((pixels == in[0].pixels));
  }
}

TEST_CASE("apng: what cannot be written") {
  const Scratch scratch;
  std::vector<Picture> in = frames(2, 1);
  CHECK_THROWS_AS(save_apng(scratch.path, {}, 70), Error);
  CHECK_THROWS_AS(save_apng(scratch.path, in, 0), Error);
  in[1].width = 14;
  in[1].height = 56;
  CHECK_THROWS_AS(save_apng(scratch.path, in, 70), Error);
  CHECK_FALSE(fs::exists(scratch.path));
}

TEST_CASE("save_grid: images of a net become a picture") {
  const Scratch scratch;
  const Tensor x = from_vector<float>({2, 1, 2, 1}, {-1, 1, 0, std::numeric_limits<float>::quiet_NaN()});
  CHECK((to_bytes(x) == std::vector<std::uint8_t>{0, 255, 128, 0}));
  CHECK((to_bytes(2 * x) == std::vector<std::uint8_t>{0, 255, 128, 0}));
  save_grid(scratch.path, zeros({4, 28, 28, 3}));
  CHECK(number(read_text(scratch.path), 16) == 2 * 56 + 2);
  CHECK_THROWS_AS(save_grid(scratch.path, zeros({28, 28, 3})), Error);
}
