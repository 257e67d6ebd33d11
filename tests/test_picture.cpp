#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/chart.h"
#include "engine/pictures/picture.h"

// fontconfig keeps about 1 kB of its font list for the life of the process, however many charts are drawn.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig"; }

using namespace duel;
namespace fs = std::filesystem;

namespace {

// A file name of this test's own, removed at its end.
struct Scratch {
  fs::path path;
  explicit Scratch(const char* name)
      : path(fs::temp_directory_path() / fmt::format("duel-picture-{}-{}", ::getpid(), name)) {}
  ~Scratch() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t v = 0;
  for (std::size_t i = at; i < at + 4; ++i) v = v << 8 | static_cast<unsigned char>(bytes[i]);
  return v;
}

// The first chunk of a PNG file holds width, height, bits and colour type.
void check_png(const fs::path& path, std::uint32_t width, std::uint32_t height) {
  const std::string bytes = read_text(path);
  REQUIRE(bytes.size() > 33);
  CHECK(bytes.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  CHECK(bytes.substr(12, 4) == "IHDR");
  CHECK(big_endian(bytes, 16) == width);
  CHECK(big_endian(bytes, 20) == height);
  CHECK(bytes[24] == 8);
  CHECK(bytes.substr(bytes.size() - 8, 4) == "IEND");
}

}  // namespace

TEST_CASE("tile: order, gaps, cells left over, upscaling") {
  std::vector<std::uint8_t> images(3 * 2 * 2);
  std::iota(images.begin(), images.end(), std::uint8_t{100});
  const std::uint8_t d = tile(images, 3, 2, 2, 1).pixels[2];  // the gap
  CHECK(d < 100);

  const Picture p = tile(images, 3, 2, 2, 1, 2, 1);
  CHECK(p.height == 5);
  CHECK(p.width == 5);
  CHECK(p.pixels == std::vector<std::uint8_t>{100, 101, d, 104, 105,  //
                                              102, 103, d, 106, 107,  //
                                              d,   d,   d, d,   d,    //
                                              108, 109, d, d,   d,    //
                                              110, 111, d, d,   d});

  const std::vector<std::uint8_t> rgb{1, 2, 3, 4, 5, 6};  // (1,1,2,3)
  const Picture big = tile(rgb, 1, 1, 2, 3, 0, 2, 2);
  CHECK(big.height == 2);
  CHECK(big.width == 4);
  CHECK(big.channels == 3);
  CHECK(big.pixels == std::vector<std::uint8_t>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6,  //
                                                1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6});

  const std::vector<std::uint8_t> many(64 * 4 * 4);
  CHECK(tile(many, 64, 4, 4, 1).width == 8 * 4 + 7 * 2);
  CHECK(tile(many, 64, 4, 4, 1).height == 8 * 4 + 7 * 2);
  CHECK(tile(many, 64, 4, 4, 1, 100).height == 4);  // no more columns than images
}

TEST_CASE("tile: refusals") {
  const std::vector<std::uint8_t> images(16);
  CHECK_THROWS_AS(tile(images, 1, 4, 4, 2), Error);
  CHECK_THROWS_AS(tile(images, 2, 4, 4, 1), Error);
  CHECK_THROWS_AS(tile(images, 0, 4, 4, 1), Error);
  CHECK_THROWS_AS(tile(images, -1, 4, -4, 1), Error);
  CHECK_THROWS_AS(tile(images, 1, 4, 4, 1, -1), Error);
  CHECK_THROWS_AS(tile(images, 1, 4, 4, 1, 0, -1), Error);
  CHECK_THROWS_AS(tile(images, 1, 4, 4, 1, 0, 2, 0), Error);
  CHECK_THROWS_AS(tile(images, std::int64_t{1} << 62, 4, 4, 1), Error);
}

TEST_CASE("save_png: signature and dimensions") {
  const Scratch file("a.png");
  const std::vector<std::uint8_t> images(5 * 3 * 7 * 3, 200);
  save_png(file.path, tile(images, 5, 3, 7, 3, 5, 0));
  check_png(file.path, 35, 3);
  save_png(file.path, {2, 3, 1, std::vector<std::uint8_t>(6)});
  check_png(file.path, 3, 2);
  CHECK(read_text(file.path)[25] == 0);  // grey
  CHECK_THROWS_AS(save_png(file.path, {2, 3, 1, std::vector<std::uint8_t>(5)}), Error);
  CHECK_THROWS_AS(save_png(file.path, {2, 3, 2, std::vector<std::uint8_t>(12)}), Error);
  CHECK_THROWS_AS(save_png(file.path, {}), Error);
}

TEST_CASE("save_npy: header and data") {
  const Scratch file("a.npy");
  const std::vector<std::uint8_t> data{1, 2, 3, 4, 5, 6};
  const auto header_of = [&](const std::vector<std::int64_t>& shape, std::size_t n) {
    save_npy(file.path, std::span(data).first(n), shape);
    const std::string bytes = read_text(file.path);
    REQUIRE(bytes.size() == 128 + n);
    CHECK(bytes.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
    CHECK(bytes[127] == '\n');
    CHECK(bytes.substr(128) == std::string("\1\2\3\4\5\6").substr(0, n));
    const std::string header = bytes.substr(10, 117);
    return header.substr(0, header.find_last_not_of(' ') + 1);
  };
  CHECK(header_of({1, 2, 3}, 6) == "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 3), }");
  CHECK(header_of({6}, 6) == "{'descr': '|u1', 'fortran_order': False, 'shape': (6,), }");
  CHECK(header_of({}, 1) == "{'descr': '|u1', 'fortran_order': False, 'shape': (), }");
  CHECK(header_of({4, 0}, 0) == "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 0), }");
  CHECK_THROWS_AS(save_npy(file.path, data, {5}), Error);
  CHECK_THROWS_AS(save_npy(file.path, data, {-2, -3}), Error);
}

TEST_CASE("save_charts: any input gives a picture") {
  const Scratch file("chart.png");
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const double largest = std::numeric_limits<double>::max(), smallest = std::numeric_limits<double>::denorm_min();
  save_charts(file.path, {});
  check_png(file.path, 960, 360);

  std::vector<Chart> charts(2);
  charts[1] = {"title", "x", "y", {{}, {"empty", {}, {}}}, true};
  Series noise{"noise", {}, {}};
  for (int i = 0; i < 5000; ++i) noise.y.push_back(std::sin(i * 12.9898) * (i % 70 ? 1 : nan) + (i == 77 ? 1e6 : 0));
  const std::vector<Series> odd{
      {"none", {}, {nan, inf, -inf}},
      {"one", {3}, {5}},
      {"x", {nan, inf, 1, largest}, {1, 2, 3, 4}},
      {"extremes", {}, {largest, -largest, smallest, 0, -0.0}},
      {"back", {3, 2, 1, 2, 3}, {1, 1, 1, 1, 1}},
      {"tiny", {}, {smallest, 2 * smallest}},
      {"narrow", {1e15, 1e15 + 1}, {1, std::nextafter(1, 2)}},
      noise,
  };
  for (const bool log_y : {false, true}) {
    for (const Series& s : odd) charts.push_back({s.name, "step", "value", {s}, log_y});
    charts.push_back({"all", "", "", odd, log_y});
    charts.push_back({"many", "", "", std::vector<Series>(40, {"a name", {}, {1, 2}}), log_y});
  }
  save_charts(file.path, charts, 400, 160);
  check_png(file.path, 400, static_cast<std::uint32_t>(160 * charts.size()));
}

TEST_CASE("save_charts: refusals") {
  const Scratch file("none.png");
  const auto refused = [&](const Chart& c, int width = 960) {
    CHECK_THROWS_AS(save_charts(file.path, std::span(&c, 1), width), Error);
  };
  refused({"", "", "", {{"a", {1, 2}, {1}}}, false});
  refused({"\xff", "", "", {}, false});
  refused({}, 10);
  refused({}, 1 << 30);
  CHECK_THROWS_AS(save_charts(file.path, std::vector<Chart>(1000)), Error);
  CHECK_FALSE(fs::exists(file.path));
}
