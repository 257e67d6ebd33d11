#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "engine/data/images.h"
#include "engine/data/resize.h"
#include "engine/error.h"

using namespace duel;

namespace {

Picture filled(std::int64_t h, std::int64_t w, std::vector<std::uint8_t> color) {
  Picture p{h, w, static_cast<std::int64_t>(color.size()), {}};
  for (std::int64_t i = 0; i < h * w; ++i) p.pixels.insert(p.pixels.end(), color.begin(), color.end());
  return p;
}

double mean(const Picture& p) {
  return std::accumulate(p.pixels.begin(), p.pixels.end(), 0.0) / static_cast<double>(p.pixels.size());
}

}  // namespace

TEST_CASE("images resize: constants stay, means stay, ramps stay ramps") {
  for (const std::int64_t side : {1, 2, 5, 32, 100})
    for (const std::int64_t size : {1, 3, 32, 64, 77}) {
      CAPTURE(side);
      CAPTURE(size);
      const Picture out = crop_and_resize(filled(side, side, {0, 200, 255}), size);
      CHECK((out.pixels == filled(size, size, {0, 200, 255}).pixels));
    }
  Picture noise{96, 96, 1, {}}, ramp{60, 60, 1, {}};
  SplitMix64 random{1};
  for (int i = 0; i < 96 * 96; ++i) noise.pixels.push_back(static_cast<std::uint8_t>(64 + random.below(128)));
  for (int i = 0; i < 3600; ++i) ramp.pixels.push_back(static_cast<std::uint8_t>(4 * (i % 60)));
  for (const std::int64_t size : {17, 32, 48, 96, 150}) {
    CAPTURE(size);
    CHECK(std::abs(mean(crop_and_resize(noise, size)) - mean(noise)) < 1);
  }
  for (const std::int64_t size : {20, 33, 60, 120}) {  // pixel centres: x in the outcome lies at (x + 1/2) 60 / size
    const Picture out = crop_and_resize(ramp, size);
    for (std::int64_t x = size / 8; x < size - size / 8; ++x) {
      const double expected = 4 * ((static_cast<double>(x) + 0.5) * 60 / static_cast<double>(size) - 0.5);
      CHECK(std::abs(out.pixels[static_cast<std::size_t>(size * (size / 2) + x)] - expected) <= 0.51);
    }
  }
}

TEST_CASE("images resize: a fine pattern becomes grey, not a coarse pattern") {
  for (const std::int64_t size : {10, 16, 23, 31, 32}) {
    Picture board{64, 64, 1, {}}, lines = board;
    for (int i = 0; i < 64 * 64; ++i) {
      board.pixels.push_back((i + i / 64) % 2 ? 255 : 0);
      lines.pixels.push_back(i % 2 ? 255 : 0);
    }
    for (const Picture& p : {board, lines}) {
      const Picture out = crop_and_resize(p, size);
      int low = 255, high = 0;
      for (std::int64_t y = 2; y < size - 2; ++y)  // at the border the filter is cut off
        for (std::int64_t x = 2; x < size - 2; ++x) {
          const int v = out.pixels[static_cast<std::size_t>(y * size + x)];
          low = std::min(low, v), high = std::max(high, v);
        }
      CAPTURE(size);
      CHECK(low >= 120);
      CHECK(high <= 135);
    }
  }
}

TEST_CASE("images resize: known numbers, the middle square, and the same size") {
  // A line, halved: f((k + 1/2 - (i + 1/2) 2) / 2) over its sum, which is 2 but for the borders.
  Picture impulse = filled(1, 1, {0});
  impulse = {16, 16, 1, std::vector<std::uint8_t>(256, 0)};
  for (int y = 0; y < 16; ++y) impulse.pixels[static_cast<std::size_t>(16 * y + 8)] = 255;
  const Picture out = crop_and_resize(impulse, 8);
  const std::vector<std::uint8_t> row(out.pixels.begin() + 24, out.pixels.begin() + 32);
  CHECK(row[4] == 111);  // 255 f(1/4) / 2 = 255 * 0.8672 / 2
  CHECK(row[3] == 29);   // 255 f(3/4) / 2 = 255 * 0.2266 / 2
  CHECK(row[5] == 0);    // f(5/4) < 0

  Picture wide{4, 9, 3, {}};
  for (int i = 0; i < 4 * 9 * 3; ++i) wide.pixels.push_back(static_cast<std::uint8_t>(i));
  const Picture middle = crop_and_resize(wide, 4);
  CHECK(middle.height == 4);
  CHECK(middle.width == 4);
  for (int y = 0; y < 4; ++y)
    for (int i = 0; i < 12; ++i) CHECK(middle.pixels[static_cast<std::size_t>(y * 12 + i)] == y * 27 + 6 + i);
  Picture tall = wide;
  std::swap(tall.height, tall.width);
  CHECK(crop_and_resize(tall, 4).pixels[0] == 2 * 12);
}
