#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/data/dataset.h"
#include "engine/data/images.h"
#include "engine/error.h"
#include "tests/image_files.h"

using namespace duel;
using namespace duel::test;
namespace fs = std::filesystem;

namespace {

Picture filled(std::int64_t h, std::int64_t w, std::vector<std::uint8_t> color) {
  Picture p{h, w, static_cast<std::int64_t>(color.size()), {}};
  for (std::int64_t i = 0; i < h * w; ++i) p.pixels.insert(p.pixels.end(), color.begin(), color.end());
  return p;
}

void check_error(const std::string& path, const ImageOptions& options, const std::vector<std::string>& parts) {
  std::string what = "no error";
  try {
    load_images(path, options);
  } catch (const Error& e) {
    what = e.what();
  }
  CAPTURE(what);
  CHECK(what.find('\n') == what.npos);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(what.find(part) != what.npos);
  }
}

// The first byte of each image.
std::vector<int> firsts(const ImageSet& set) {
  std::vector<int> out;
  const std::size_t bytes = set.pixels.size() / static_cast<std::size_t>(set.count);
  for (std::size_t at = 0; at < set.pixels.size(); at += bytes) out.push_back(set.pixels[at]);
  return out;
}

std::string grey_png(int value, std::int64_t side = 4) {
  return encode_png(filled(side, side, {static_cast<std::uint8_t>(value)}));
}

// Record i: label i % classes, planes of i, i + 1, i + 2 but for the red of pixel (1,2), which is 99.
std::string cifar(int records, int label_bytes, int first = 0) {
  std::string out;
  for (int i = first; i < first + records; ++i) {
    if (label_bytes == 2) out += '\7';
    out += static_cast<char>(i % 10);
    for (int c = 0; c < 3; ++c) out += std::string(1024, static_cast<char>(i + c));
    out[out.size() - 3072 + 34] = 99;
  }
  return out;
}

}  // namespace

TEST_CASE("images: alpha is put on the background before anything else") {
  CHECK(parse_color("white") == Color{255, 255, 255});
  CHECK(parse_color("black") == Color{0, 0, 0});
  CHECK(parse_color("#10fE03") == Color{16, 254, 3});
  CHECK(to_string(Color{16, 254, 3}) == "#10fe03");
  for (const char* text : {"", "red", "#12345", "#1234567", "#12345g", "123456", "#-12345"})
    CHECK_THROWS_AS(parse_color(text), Error);
  const Color red{255, 0, 0}, grey{128, 128, 128};
  CHECK(flatten({1, 2, 4, {10, 20, 30, 255, 10, 20, 30, 0}}, red).pixels ==
        std::vector<std::uint8_t>{10, 20, 30, 255, 0, 0});
  CHECK(flatten({1, 1, 4, {100, 200, 0, 51}}, grey).pixels == std::vector<std::uint8_t>{122, 142, 102});
  CHECK(flatten({1, 2, 2, {100, 255, 100, 0}}, grey).pixels == std::vector<std::uint8_t>{100, 128});
  CHECK(flatten({1, 1, 2, {100, 0}}, red).pixels == std::vector<std::uint8_t>{255, 0, 0});
  CHECK(flatten({1, 1, 1, {7}}, red).channels == 1);

  // Black under the transparent half: no darkness seeps in.
  PngSource s{.height = 8, .width = 8, .color = 6};
  for (int i = 0; i < 64; ++i)
    for (const int v : i % 8 < 3 ? std::vector<int>{0, 0, 0, 0} : std::vector<int>{255, 255, 255, 255})
      s.samples.push_back(v);
  const TempFolder folder;
  folder.write("a.png", encode_png(s));
  const ImageSet set = load_images(folder.path.string(), {.size = 5});
  CHECK(set.channels == 3);
  CHECK(*std::min_element(set.pixels.begin(), set.pixels.end()) == 255);
}

TEST_CASE("images: folders, flat and by class") {
  const TempFolder folder;
  for (const int i : {3, 1, 2}) folder.write(fmt::format("flat/{}.png", i), grey_png(i));
  folder.write("flat/readme.txt", "no image");
  folder.write("flat/.hidden.png", "no image");
  fs::create_symlink("loop.png", folder.path / "flat/loop.png");
  fs::create_directory_symlink(".", folder.path / "flat/again");
  ImageSet set = load_images(folder / "flat/../flat");
  CHECK(set.name == "flat");
  CHECK(set.channels == 1);
  CHECK(set.labels.empty());
  CHECK(firsts(set) == std::vector<int>{1, 2, 3});
  CHECK(firsts(load_images(folder / "flat", {.limit = 2})) == std::vector<int>{1, 2});

  // Three classes of 3, 1 and 2 images; one in colour.
  for (const int i : {1, 2, 3}) folder.write(fmt::format("by/cat/{}.png", i), grey_png(10 + i));
  folder.write("by/ant/x.JPG", encode_jpeg(filled(4, 4, {50})));
  folder.write("by/dog/1.png", encode_png(filled(4, 4, {31, 0, 255})));
  folder.write("by/dog/2.png", grey_png(32));
  folder.write("by/notes/a.txt", "no class");
  set = load_images(folder / "by");
  CHECK(set.class_names == std::vector<std::string>{"ant", "cat", "dog"});
  CHECK(set.classes == 3);
  CHECK(set.channels == 3);
  CHECK(firsts(set) == std::vector<int>{50, 11, 31, 12, 32, 13});
  CHECK(set.labels == std::vector<std::int32_t>{0, 1, 2, 1, 2, 1});
  CHECK(set.pixels[2 * 48 + 2] == 255);
  CHECK(set.pixels[3 * 48 + 2] == 12);
  set = load_images(folder / "by", {.limit = 4});
  CHECK(set.labels == std::vector<std::int32_t>{0, 1, 2, 1});
  CHECK(set.classes == 3);
  CHECK(load_images(folder / "by/cat/..", {.limit = 100}).count == 6);

  folder.write("by/top.png", grey_png(1));
  check_error(folder / "by", {}, {folder / "by", "top.png", "ant"});
  fs::create_directory(folder.path / "none");
  folder.write("none/a.gif", "GIF");
  check_error(folder / "none", {}, {folder / "none", "no images", "1 entries", "PNG or JPEG"});
  check_error(folder / "flat/1.png", {}, {"1.png", "a single image"});
}

TEST_CASE("images: train and test folders") {
  const TempFolder folder;
  folder.write("a/train/cat/1.png", grey_png(1));
  folder.write("a/train/dog/1.png", grey_png(2));
  folder.write("a/train/emu/1.png", grey_png(3));
  folder.write("a/test/dog/1.png", grey_png(4));
  folder.write("a/test/emu/1.png", grey_png(5));
  CHECK(firsts(load_images(folder / "a")) == std::vector<int>{1, 2, 3});
  const auto test = load_test_images(folder / "a");
  REQUIRE(test.has_value());
  CHECK(firsts(*test) == std::vector<int>{4, 5});
  CHECK(test->labels == std::vector<std::int32_t>{1, 2});  // as in train
  CHECK(test->classes == 3);
  CHECK_FALSE(load_test_images(folder / "a/train").has_value());
  check_error(folder / "a/train", {.test = true}, {"no test images"});
  folder.write("a/test/fox/1.png", grey_png(6));
  check_error(folder / "a", {.test = true}, {"fox"});

  folder.write("b/train/1.png", grey_png(1));  // a class of trains
  folder.write("b/ship/1.png", grey_png(2));
  CHECK(load_images(folder / "b").class_names == std::vector<std::string>{"ship", "train"});
  folder.write("c/train/1.png", grey_png(1));
  folder.write("c/test/1.png", grey_png(2));
  CHECK(load_images(folder / "c").labels.empty());
  CHECK(firsts(load_images(folder / "c", {.test = true})) == std::vector<int>{2});
  CHECK(load_held_out("glyphs", {.limit = 20})->count == 20);
  CHECK(load_held_out("glyphs", {.limit = 20})->pixels != load_dataset("glyphs", 1, {.limit = 20}).images().pixels);
}

TEST_CASE("images: mixed sizes need a size, broken files are named or left out") {
  const TempFolder folder;
  for (int i = 0; i < 20; ++i) folder.write(fmt::format("{:02}.png", i), grey_png(i));
  folder.write("12.png", grey_png(12, 6));
  folder.write("15.png", grey_png(15, 7));
  check_error(folder.path.string(), {}, {"00.png is 4x4", "12.png is 6x6", "--size"});
  check_error(folder.path.string(), {.skip_broken = true}, {"12.png"});
  CHECK(load_images(folder.path.string(), {.size = 5}).count == 20);
  CHECK(load_images(folder.path.string(), {.limit = 12}).count == 12);

  folder.write("03.png", grey_png(3).substr(0, 50));
  folder.write("00.png", "");
  folder.write("07.png", "text");
  check_error(folder.path.string(), {.size = 4}, {folder / "00.png", "empty"});
  const ImageSet set = load_images(folder.path.string(), {.size = 4, .skip_broken = true});
  CHECK(set.count == 17);
  CHECK(set.skipped == 3);
  CHECK(set.first_skipped.find("00.png") != std::string::npos);
  const std::vector<int> first =
      firsts(load_images(folder.path.string(), {.size = 4, .limit = 4, .skip_broken = true}));
  CHECK(first == std::vector<int>{1, 2, 4, 5});
  for (int i = 0; i < 20; ++i) folder.write(fmt::format("{:02}.png", i), "x");
  check_error(folder.path.string(), {.skip_broken = true}, {"none of the 20 images", "00.png"});
}

TEST_CASE("images: CIFAR binary files") {
  const TempFolder folder;
  folder.write("ten/data_batch_2.bin", cifar(3, 1, 4));
  folder.write("ten/data_batch_1.bin", cifar(4, 1));
  folder.write("ten/test_batch.bin", cifar(2, 1, 100));
  ImageSet set = load_images(folder / "ten");
  CHECK(set.count == 7);
  CHECK(set.height == 32);
  CHECK(set.width == 32);
  CHECK(set.channels == 3);
  CHECK(set.labels == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(set.classes == 10);
  CHECK(set.class_names.at(9) == "truck");
  CHECK(std::vector<int>(set.pixels.begin() + 3072, set.pixels.begin() + 3075) == std::vector<int>{1, 2, 3});
  CHECK(set.pixels[3072 + (32 + 2) * 3] == 99);
  CHECK(load_images(folder / "ten", {.limit = 5}).labels.size() == 5);
  CHECK(load_images(folder / "ten", {.test = true}).count == 2);
  CHECK(load_images(folder / "ten/data_batch_2.bin").count == 3);
  set = load_images(folder / "ten", {.size = 16});
  CHECK(set.width == 16);
  CHECK(set.pixels.size() == 7 * 16 * 16 * 3);

  folder.write("hundred/train.bin", cifar(5, 2));
  set = load_images(folder / "hundred");
  CHECK(set.classes == 100);
  CHECK(set.labels == std::vector<std::int32_t>{0, 1, 2, 3, 4});
  CHECK_FALSE(load_test_images(folder / "hundred").has_value());

  folder.write("bad/data_batch_1.bin", cifar(2, 1).substr(1));
  check_error(folder / "bad", {}, {"data_batch_1.bin", "6145 bytes", "3073"});
  folder.write("bad/data_batch_1.bin", "");
  check_error(folder / "bad", {}, {"data_batch_1.bin", "0 bytes"});
  std::string label = cifar(2, 1);
  label[3073] = 10;
  folder.write("bad/data_batch_1.bin", label);
  check_error(folder / "bad", {}, {"data_batch_1.bin", "record 1", "label 10"});
}

TEST_CASE("images: flips are decided by seed, epoch and index alone") {
  ImageSet set{.name = "pairs", .count = 64, .height = 2, .width = 2, .channels = 3, .pixels = {}, .labels = {}};
  for (int i = 0; i < 64; ++i)
    for (const int v : {0, 1, 2, 3})
      for (int c = 0; c < 3; ++c) set.pixels.push_back(static_cast<std::uint8_t>(i * 4 + v));
  auto draw = [](Dataset& data, std::int64_t batches) {
    std::vector<std::uint8_t> out;
    for (const HostBatch& b : data.next(batches, 16)) out.insert(out.end(), b.pixels, b.pixels + 16 * 12);
    return out;
  };
  Dataset plain(set, 5), a(set, 5, true), b(set, 5, true), other(set, 6, true);
  int flipped = 0, differ = 0;
  std::vector<bool> last, now;
  for (int epoch = 0; epoch < 8; ++epoch, last = now) {
    const auto straight = draw(plain, 4), mirrored = draw(a, 4);
    now.clear();
    for (std::size_t i = 0; i < straight.size(); i += 12) {
      const bool is_flipped = straight[i] != mirrored[i];
      now.push_back(is_flipped);
      flipped += is_flipped;
      for (std::size_t p = 0; p < 4; ++p)
        for (std::size_t c = 0; c < 3; ++c)
          CHECK(mirrored[i + 3 * p + c] == straight[i + 3 * (is_flipped ? p ^ 1 : p) + c]);
    }
    if (!last.empty()) differ += now != last;
  }
  CHECK(flipped > 8 * 64 / 2 - 50);
  CHECK(flipped < 8 * 64 / 2 + 50);
  CHECK(differ == 7);

  // Resumed from a cursor, and in other portions: the same images.
  draw(b, 7);
  Dataset resumed(set, 5, true);
  resumed.seek(b.cursor());
  const auto whole = draw(b, 6);
  auto parts = draw(resumed, 1);
  for (const std::int64_t n : {2, 3}) {
    const auto more = draw(resumed, n);
    parts.insert(parts.end(), more.begin(), more.end());
  }
  CHECK((whole == parts));
  b.seek({0, 0});
  CHECK((draw(b, 4) != draw(other, 4)));
}
