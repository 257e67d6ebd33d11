// Sets of pictures that are decoded whenever an image is asked for: the same images as in memory.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>

#include "engine/data/dataset.h"
#include "engine/error.h"
#include "tests/image_files.h"

namespace duel::test {
namespace {

using Stream = ImageOptions::Stream;

Picture noise(std::int64_t height, std::int64_t width, std::int64_t channels, SplitMix64& random) {
  Picture p{height, width, channels, {}};
  for (std::int64_t i = 0; i < height * width * channels; ++i)
    p.pixels.push_back(static_cast<std::uint8_t>(random.next()));
  return p;
}

// PNG and JPEG files in two classes, grey and RGB.
void write_pictures(const TempFolder& folder, int count, std::int64_t width) {
  SplitMix64 random{3};
  for (int i = 0; i < count; ++i) {
    const Picture p = noise(6, width, i % 5 == 4 ? 1 : 3, random);
    const std::string name = fmt::format("set/{}/{:02}", i % 3 ? "b" : "a", i);
    if (i % 2)
      folder.write(name + ".jpg", encode_jpeg(p));
    else
      folder.write(name + ".png", encode_png(p));
  }
}

std::vector<std::uint8_t> draw(Dataset& data, std::int64_t batches) {
  std::vector<std::uint8_t> out;
  for (const HostBatch& b : data.next(batches, 4)) {
    out.insert(out.end(), b.pixels, b.pixels + b.size * b.height * b.width * b.channels);
    for (std::int64_t i = 0; b.labels && i < b.size; ++i) out.push_back(static_cast<std::uint8_t>(b.labels[i]));
  }
  return out;
}

}  // namespace

TEST_CASE("images: streamed ones are those in memory, batch by batch") {
  const TempFolder folder;
  write_pictures(folder, 23, 7);
  for (const std::int64_t size : {0, 5}) {
    INFO(size);
    const ImageSet whole = load_images(folder / "set", {.size = size});
    for (const std::int64_t held : {1, 9, 100}) {
      INFO(held);
      const ImageSet part = load_images(folder / "set", {.size = size, .stream = Stream::yes, .held = held});
      REQUIRE(part.source);
      CHECK(part.held() == std::min<std::int64_t>(held, 23));
      CHECK(part.count == whole.count);
      CHECK(part.labels == whole.labels);
      CHECK(part.class_names == whole.class_names);
      CHECK(part.channels == whole.channels);
      std::vector<std::uint8_t> image(static_cast<std::size_t>(whole.image_bytes()));
      for (std::int64_t i = 0; i < whole.count; ++i) {
        part.source->read(i, image.data());
        CHECK(std::memcmp(image.data(), whole.pixels.data() + i * whole.image_bytes(), image.size()) == 0);
      }
      Dataset a(whole, 7, true), b(part, 7, true);
      for (int i = 0; i < 6; ++i) CHECK(draw(a, 2) == draw(b, 2));
      CHECK(a.cursor() == b.cursor());
    }
  }
  CHECK_FALSE(load_images(folder / "set", {.stream = Stream::automatic}).source);
  CHECK(load_images(folder / "set", {.limit = 5, .stream = Stream::yes}).count == 5);
}

TEST_CASE("images: what is wrong with a streamed file") {
  const TempFolder folder;
  write_pictures(folder, 12, 7);
  const ImageOptions options{.stream = Stream::yes, .held = 1};
  const ImageSet set = load_images(folder / "set", options);
  CHECK_THROWS_WITH_AS(Dataset(set, 1).make_resident(),
                       "[Dataset] set is decoded image by image, it cannot be resident", Error);

  // It is known by what can be seen without decoding.
  CHECK(load_images(folder / "set", options).source->fingerprint() == set.source->fingerprint());
  std::filesystem::rename(folder.path / "set/b/11.jpg", folder.path / "set/b/12.jpg");
  CHECK(load_images(folder / "set", options).source->fingerprint() != set.source->fingerprint());

  // The file is gone: whoever asks for it hears so, and the data set stays usable.
  Dataset data(set, 1);
  CHECK_THROWS_AS(for (int i = 0; i < 3; ++i) data.next(1, 4), Error);
  std::filesystem::rename(folder.path / "set/b/12.jpg", folder.path / "set/b/11.jpg");
  data.seek({});
  for (int i = 0; i < 3; ++i) data.next(1, 4);

  // Its size has changed.
  SplitMix64 random{1};
  folder.write("set/b/11.jpg", encode_jpeg(noise(6, 8, 3, random)));
  std::vector<std::uint8_t> image(6 * 7 * 3);
  CHECK_THROWS_WITH_AS(set.source->read(11, image.data()),
                       doctest::Contains("11.jpg: the file has changed: found 6x8x3, expected 6x7x3"), Error);
  CHECK_THROWS_WITH_AS(load_images(folder / "set", options), doctest::Contains("the images differ in size"), Error);

  // A header that cannot be read is an error at once, or left out.
  folder.write("set/b/11.jpg", "no picture");
  CHECK_THROWS_WITH_AS(load_images(folder / "set", options), doctest::Contains("11.jpg: neither PNG nor JPEG"), Error);
  ImageOptions skip = options;
  skip.skip_broken = true;
  const ImageSet rest = load_images(folder / "set", skip);
  CHECK(rest.count == 11);
  CHECK(rest.skipped == 1);
}

}  // namespace duel::test
