#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/image_file.h"
#include "engine/data/images.h"
#include "engine/error.h"
#include "tests/image_files.h"

using namespace duel;
using namespace duel::test;

namespace {

Picture decode(const std::string& file, std::int64_t at_least = 0) {
  const auto bytes = std::as_bytes(std::span(file));
  const ImageHeader header = read_image_header(bytes, "file", at_least);
  Picture out = decode_image(bytes, "file", at_least);
  CHECK(header.height == out.height);
  CHECK(header.width == out.width);
  CHECK(header.channels == out.channels);
  return out;
}

void check_refused(const std::string& file, const std::string& what) {
  try {
    decode(file);
    FAIL_CHECK("no error, expected: " << what);
  } catch (const Error& e) {
    const std::string text = e.what();
    CAPTURE(text);
    CHECK(text.starts_with("file: "));
    CHECK(text.find(what) != text.npos);
    CHECK(text.find('\n') == text.npos);
  }
}

std::vector<int> samples(int n, int levels, std::uint64_t seed) {
  SplitMix64 random{seed};
  std::vector<int> out;
  for (int i = 0; i < n; ++i) out.push_back(static_cast<int>(random.below(static_cast<std::uint64_t>(levels))));
  return out;
}

// What the decoder should make of the source, from the PNG standard.
std::vector<int> expected(const PngSource& s) {
  const int channels = s.color == 2 ? 3 : s.color == 4 ? 2 : s.color == 6 ? 4 : 1, most = (1 << s.bits) - 1;
  std::vector<int> out;
  for (std::size_t at = 0; at < s.samples.size(); at += static_cast<std::size_t>(channels)) {
    const int* v = &s.samples[at];
    if (s.color == 3) {
      for (int c = 0; c < 3; ++c) out.push_back(s.palette[static_cast<std::size_t>(3 * *v + c)]);
      if (s.transparency.empty()) continue;
      const auto index = static_cast<std::size_t>(*v);
      out.push_back(index < s.transparency.size() ? s.transparency[index] : 255);
      continue;
    }
    for (int c = 0; c < channels; ++c) out.push_back(static_cast<int>(std::lround(v[c] * 255.0 / most)));
    if (!s.transparency.empty()) out.push_back(std::equal(v, v + channels, s.transparency.begin()) ? 0 : 255);
  }
  return out;
}

Picture smooth(std::int64_t h, std::int64_t w, std::int64_t channels) {
  Picture p{h, w, channels, {}};
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        p.pixels.push_back(static_cast<std::uint8_t>(30 * c + 100 * y / h + 80 * x / w));
  return p;
}

int max_difference(const Picture& a, const Picture& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  int worst = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  return worst;
}

}  // namespace

TEST_CASE("images: every kind of PNG is decoded as the standard says") {
  const int channels_of[] = {1, 0, 3, 1, 2, 0, 4};
  for (const int color : {0, 2, 3, 4, 6})
    for (const int bits : {1, 2, 4, 8, 16})
      for (const bool interlaced : {false, true})
        for (const bool transparent : {false, true}) {
          if ((bits < 8 && color != 0 && color != 3) || (bits == 16 && color == 3)) continue;
          if (transparent && color >= 4) continue;
          CAPTURE(
              fmt::format("color {}, {} bits, interlaced {}, transparent {}", color, bits, interlaced, transparent));
          PngSource s{.height = 11, .width = 13, .color = color, .bits = bits, .interlaced = interlaced};
          s.samples = samples(11 * 13 * channels_of[color], 1 << bits, 7);
          if (color == 3) s.palette = samples(3 << bits, 256, 8);
          if (transparent && color == 3) s.transparency = samples(1 << (bits - 1), 256, 9);
          if (transparent && color != 3) s.transparency.assign(s.samples.begin() + 3, s.samples.begin() + 6);
          if (transparent && color == 0) s.transparency.resize(1);
          const Picture out = decode(encode_png(s));
          CHECK(out.height == 11);
          CHECK(out.width == 13);
          CHECK((std::vector<int>(out.pixels.begin(), out.pixels.end()) == expected(s)));
        }
}

TEST_CASE("images: JPEG, grey and colour, baseline and progressive") {
  for (const std::int64_t channels : {1, 3}) {
    const Picture source = smooth(37, 50, channels);
    const Picture baseline = decode(encode_jpeg(source, {.quality = 95}));
    CHECK(baseline.channels == channels);
    CHECK(max_difference(baseline, source) <= 6);
    // The same coefficients in another order.
    CHECK(max_difference(decode(encode_jpeg(source, {.quality = 95, .progressive = true})), baseline) == 0);
    CHECK(max_difference(decode(encode_jpeg(source, {.quality = 95, .restart = 1})), baseline) == 0);
  }
  check_refused(encode_jpeg(smooth(8, 8, 4), {.cmyk = true}), "CMYK");
}

TEST_CASE("images: a JPEG is turned as its Exif orientation says") {
  // Four flat blocks, from the upper left: 20, 90, 160, 230. The outcome is named by where they went.
  Picture source{16, 32, 1, {}};
  for (int i = 0; i < 16 * 32; ++i)
    source.pixels.push_back(static_cast<std::uint8_t>(20 + 70 * (i % 32 / 16) + 140 * (i / 32 / 8)));
  const std::string jpeg = encode_jpeg(source, {.quality = 100});
  const std::vector<std::vector<int>> corners{{20, 90, 160, 230}, {90, 20, 230, 160}, {230, 160, 90, 20},
                                              {160, 230, 20, 90}, {20, 160, 90, 230}, {160, 20, 230, 90},
                                              {230, 90, 160, 20}, {90, 230, 20, 160}};
  for (const bool little : {false, true})
    for (int orientation = 0; orientation <= 9; ++orientation) {
      const char v = static_cast<char>(orientation);
      const std::string tiff =
          little ? std::string("II*\0\x8\0\0\0\x1\0\x12\x1\x3\0\x1\0\0\0", 18) + v + std::string(7, '\0')
                 : std::string("MM\0*\0\0\0\x8\0\x1\x1\x12\0\x3\0\0\0\x1\0", 19) + v + std::string(6, '\0');
      const std::string exif = std::string("Exif\0\0", 6) + tiff;
      std::string file = jpeg;
      file.insert(20, std::string("\xff\xe1\0", 3) + static_cast<char>(exif.size() + 2) + exif);
      const Picture out = decode(file);
      const bool known = orientation >= 1 && orientation <= 8;
      const auto& expected_corners = corners[known ? static_cast<std::size_t>(orientation - 1) : 0];
      CAPTURE(orientation);
      CHECK(out.height == (known && orientation >= 5 ? 32 : 16));
      const auto h = static_cast<std::size_t>(out.height), w = static_cast<std::size_t>(out.width);
      const std::size_t at[] = {0, w - 1, (h - 1) * w, h * w - 1};
      for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(out.pixels[at[i]] - expected_corners[i]) <= 2);
      // Cut short, it says nothing.
      std::string cut = jpeg;
      cut.insert(20, std::string("\xff\xe1\0", 3) + static_cast<char>(18) + exif.substr(0, 16));
      CHECK(decode(cut).height == 16);
    }
}

TEST_CASE("images: a broken file is refused by name") {
  check_refused("", "the file is empty");
  check_refused("GIF89a", "neither PNG nor JPEG: the first bytes are 47 49 46 38");
  const std::string png = encode_png(smooth(20, 20, 3)), jpeg = encode_jpeg(smooth(20, 20, 3));
  for (const std::size_t size : {png.size() - 1, png.size() / 2, std::size_t{40}, std::size_t{12}})
    check_refused(png.substr(0, size), "the PNG is damaged: ");
  for (const std::size_t size : {jpeg.size() - 3, jpeg.size() / 2, std::size_t{20}, std::size_t{3}})
    check_refused(jpeg.substr(0, size), "the JPEG is damaged: ");
  std::string wrong = png;
  wrong[wrong.size() - 20] = static_cast<char>(wrong[wrong.size() - 20] ^ 1);
  check_refused(wrong, "the PNG is damaged: ");
  // Bytes between the segments of a JPEG lose nothing, and cameras leave some.
  std::string padded = jpeg;
  padded.insert(20, "\x11\x22");  // behind SOI and APP0
  CHECK(max_difference(decode(jpeg), decode(padded)) == 0);
}

TEST_CASE("images: a header's words are checked before anything is allocated for them") {
  auto png = [](std::uint32_t height, std::uint32_t width, std::size_t pad) {
    std::string bytes = encode_png(smooth(4, 4, 3));
    for (int i = 0; i < 4; ++i) {
      bytes[static_cast<std::size_t>(16 + i)] = static_cast<char>(width >> (24 - 8 * i));
      bytes[static_cast<std::size_t>(20 + i)] = static_cast<char>(height >> (24 - 8 * i));
    }
    return with_checksums(bytes) + std::string(pad, 'x');
  };
  check_refused(png(4, 20000, 0), "declares 4x20000 pixels (height x width), expected sides of 1 to 16384");
  check_refused(png(0xffffffff, 4, 0), "declares 4294967295x4 pixels");
  check_refused(png(0, 4, 0), "declares 0x4 pixels");
  check_refused(png(16000, 16000, 0), "declares 16000x16000 pixels (height x width), more than its ");
  check_refused(png(8192, 8192, 300000), "8192x8192x3 are 201326592 bytes decoded, expected at most 67108864");

  std::string jpeg = encode_jpeg(smooth(8, 8, 1));
  const std::size_t frame = jpeg.find("\xff\xc0") + 5;
  auto with_size = [&](unsigned height, unsigned width) {
    std::string out = jpeg;
    for (std::size_t i = 0; i < 2; ++i) {
      out[frame + i] = static_cast<char>(height >> (8 - 8 * i));
      out[frame + 2 + i] = static_cast<char>(width >> (8 - 8 * i));
    }
    return out;
  };
  check_refused(with_size(40000, 8), "declares 40000x8 pixels (height x width), expected sides of 1 to 16384");
  check_refused(with_size(16000, 16000), "declares 16000x16000 pixels (height x width), more than its ");
}

TEST_CASE("images: a large photo is decoded at a fraction of its size where that suffices") {
  const Picture source = smooth(400, 600, 3);
  const std::string jpeg = encode_jpeg(source, {.repeat = 10});  // 72 MB
  check_refused(jpeg, "4000x6000x3 are 72000000 bytes decoded, expected at most 67108864");
  CHECK_THROWS_AS(decode(jpeg, 2001), Error);
  const Picture half = decode(jpeg, 2000);
  CHECK(half.height == 2000);
  CHECK(half.width == 3000);
  int worst = 0;
  for (std::int64_t y = 8; y < 2000; y += 37)
    for (std::int64_t x = 8; x < 3000; x += 41) {
      if (y % 200 < 8 || y % 200 >= 192 || x % 300 < 8 || x % 300 >= 292) continue;  // where copies meet
      for (std::int64_t c = 0; c < 3; ++c)
        worst =
            std::max(worst, std::abs(half.pixels[static_cast<std::size_t>((y * 3000 + x) * 3 + c)] -
                                     source.pixels[static_cast<std::size_t>((y % 200 * 1200 + x % 300 * 2) * 3 + c)]));
    }
  CHECK(worst <= 6);
}

TEST_CASE("images: names") {
  for (const char* name : {"a.png", "b/A.PNG", "x.y.jpg", "c.JPeG"}) CHECK(has_image_name(name));
  for (const char* name : {"a.gif", "png", ".png", "a.png.txt", "a"}) CHECK_FALSE(has_image_name(name));
}
