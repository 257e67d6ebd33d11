// Readers of images against damaged files: each ends well or with an Error, within bounds of memory. ctest has
// AddressSanitizer refuse larger allocations (tests/CMakeLists.txt); elsewhere they are counted.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <array>

#include "engine/data/images.h"
#include "engine/error.h"
#include "tests/count_allocations.h"
#include "tests/image_files.h"

using namespace duel;
using namespace duel::test;

namespace {

struct Sample {
  std::string file, bytes;  // the file's name says how it is read
};

std::string gzip(const std::string& bytes) {
  std::string out(bytes.size() + 100, '\0');
  z_stream z{};
  REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::vector<Sample> make_samples() {
  std::vector<int> values;
  Picture grey{9, 10, 1, {}}, rgb{16, 24, 3, {}};
  SplitMix64 random{3};
  for (int i = 0; i < 90; ++i) grey.pixels.push_back(static_cast<std::uint8_t>(i * 2));
  for (int i = 0; i < 16 * 24 * 3; ++i) rgb.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
  for (int i = 0; i < 9 * 10 * 4; ++i) values.push_back(static_cast<int>(random.below(2)));
  const std::vector<int> few(values.begin(), values.begin() + 90);
  const std::string idx = std::string("\0\0\x8\x3\0\0\0\x1\0\0\0\x9\0\0\0\xa", 16) + std::string(90, '7');
  const std::string exif("\xff\xe1\0\x22\x45xif\0\0MM\0*\0\0\0\x8\0\x1\x1\x12\0\x3\0\0\0\x1\0\x6\0\0\0\0\0\0", 36);
  std::string cifar;
  for (int i = 0; i < 3073; ++i) cifar += static_cast<char>(i == 0 ? 3 : i % 251);
  return {
      {"a.png", encode_png(grey)},
      {"a.png", encode_png(rgb)},
      {"a.png", encode_png({.height = 9, .width = 10, .color = 6, .bits = 16, .samples = values, .interlaced = true})},
      {"a.png", encode_png({.height = 9,
                            .width = 10,
                            .color = 3,
                            .bits = 1,
                            .samples = few,
                            .palette = {1, 2, 3, 200, 100, 50},
                            .transparency = {70, 255}})},
      {"a.jpg", encode_jpeg(grey).insert(20, exif)},
      {"a.jpg", encode_jpeg(rgb)},
      {"a.jpg", encode_jpeg(rgb, {.progressive = true})},
      {"a.jpg", encode_jpeg(rgb, {.quality = 40, .restart = 1})},
      {"train-images-idx3-ubyte", idx},
      {"train-images-idx3-ubyte.gz", gzip(idx)},
      {"data_batch_1.bin", cifar}};
}

std::string mutate(std::string bytes, const std::vector<Sample>& samples, SplitMix64& random) {
  for (std::uint64_t n = 1 + random.below(4); n > 0 && !bytes.empty(); --n) {
    const std::size_t at = random.below(bytes.size());
    // Half of them near the start, where the headers are.
    const std::size_t where = random.below(2) ? at : at % std::min<std::size_t>(bytes.size(), 64);
    const std::size_t length = std::min<std::size_t>(1 + random.below(16), bytes.size() - where);
    switch (random.below(7)) {
      case 0:
        bytes[where] = static_cast<char>(bytes[where] ^ 1 << random.below(8));
        break;
      case 1:
        bytes[where] = static_cast<char>(random.next());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3: {  // bytes of another file
        const std::string& other = samples[random.below(samples.size())].bytes;
        bytes.replace(where, length, other, random.below(other.size()), length);
        break;
      }
      case 4:
        bytes.erase(where, length);
        break;
      case 5:
        bytes.insert(where, bytes.substr(where, length));
        break;
      default: {  // a size
        static const std::array<std::uint32_t, 6> words{0xffffffff, 0x7fffffff, 0x3fff3fff, 0x4000, 0x10000, 0};
        const std::uint32_t word = words[random.below(words.size())];
        for (std::size_t i = 0; i < 4 && where + i < bytes.size(); ++i)
          bytes[where + i] = static_cast<char>(word >> (24 - 8 * i));
      }
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("images: 10000 mutations of small files end well or with an error") {
  const std::vector<Sample> samples = make_samples();
  const TempFolder folder;
  for (std::size_t i = 0; i < samples.size(); ++i) {  // unharmed, each is read
    folder.write(fmt::format("{}/{}", i, samples[i].file), samples[i].bytes);
    CHECK(load_images(folder / std::to_string(i)).count == 1);
  }
  SplitMix64 random{11};
  int good = 0, refused = 0;
  const CountAllocations allocations;
  for (std::size_t i = 0; i < 10000; ++i) {
    const std::size_t which = i % samples.size();
    const Sample& sample = samples[which];
    std::string bytes = mutate(sample.bytes, samples, random);
    // With right checksums the words of a PNG get further than to the first look.
    if (sample.file.ends_with(".png") && random.below(4) > 0) bytes = with_checksums(bytes);
    if (sample.file.ends_with(".gz") && random.below(2))
      bytes = gzip(mutate(samples[which - 1].bytes, samples, random));
    folder.write(fmt::format("{}/{}", which, sample.file), bytes);
    try {
      const ImageSet set = load_images(folder / std::to_string(which), {.size = i % 3 == 0 ? 8 : 0});
      good += set.pixels.size() == static_cast<std::size_t>(set.count * set.height * set.width * set.channels);
    } catch (const Error& e) {
      ++refused;
      const std::string what = e.what();
      if (what.find(folder.path.string()) != 0 || what.find('\n') != what.npos) FAIL_CHECK(what);
    }
  }
  MESSAGE(good << " read, " << refused << " refused, the largest allocation " << allocations.largest() << " bytes");
  CHECK(good + refused == 10000);
  CHECK(good > 500);
  CHECK(refused > 5000);
  CHECK(allocations.largest() <= 64 << 20);
}
