#include <doctest/doctest.h>
#include <stdlib.h>  // mkdtemp
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/glyphs.h"
#include "engine/data/images.h"
#include "engine/error.h"

using namespace duel;
namespace fs = std::filesystem;

namespace {

struct TempFolder {
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "duel_test_data_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TempFolder() { fs::remove_all(path); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& file) const { return (path / file).string(); }
  fs::path path;
};

void write_plain(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void write_gz(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  REQUIRE(gzclose(file) == Z_OK);
}

std::string read_plain(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string idx(const std::vector<std::uint32_t>& dims, const std::string& body) {
  std::string bytes = {0, 0, 8, static_cast<char>(dims.size())};
  for (const std::uint32_t n : dims)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>((n >> shift) & 0xff);
  return bytes + body;
}

std::string ramp(std::size_t n) {
  std::string bytes;
  for (std::size_t i = 0; i < n; ++i) bytes += static_cast<char>(i * 7);
  return bytes;
}

const std::string images_name = "train-images-idx3-ubyte", labels_name = "train-labels-idx1-ubyte";

std::string error_of(const std::string& path, bool test = false) {
  try {
    load_images(path, {.test = test});
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// The error is one line that names the file and holds all of `parts`.
void check_error(const std::string& path, const std::string& file, const std::vector<std::string>& parts) {
  const std::string what = error_of(path);
  CAPTURE(what);
  CHECK(what.find(file) != std::string::npos);
  CHECK(what.find('\n') == std::string::npos);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(what.find(part) != std::string::npos);
  }
}

// Image i is one pixel of value i, labelled i % 5.
ImageSet numbered(std::int64_t count) {
  ImageSet set;
  set.name = "numbered";
  set.count = count;
  set.height = set.width = set.channels = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    set.pixels.push_back(static_cast<std::uint8_t>(i));
    set.labels.push_back(static_cast<std::int32_t>(i % 5));
  }
  set.classes = 5;
  return set;
}

// The pixels of the next batches, one after the other; checks that the labels belong to them.
std::vector<int> draw(Dataset& data, std::int64_t batches, std::int64_t batch_size) {
  std::vector<int> drawn;
  const auto span = data.next(batches, batch_size);
  CHECK(span.size() == static_cast<std::size_t>(batches));
  for (const HostBatch& batch : span) {
    CHECK(batch.size == batch_size);
    for (std::int64_t i = 0; i < batch.size; ++i) {
      CHECK(batch.labels[i] == batch.pixels[i] % 5);
      drawn.push_back(batch.pixels[i]);
    }
  }
  return drawn;
}

}  // namespace

TEST_CASE("glyphs: a sample depends on the seed and its index alone") {
  const ImageSet few = make_glyphs(37, 5), many = make_glyphs(200, 5), other = make_glyphs(37, 6);
  CHECK(few.height == 28);
  CHECK(few.width == 28);
  CHECK(few.channels == 1);
  CHECK(few.pixels.size() == 37u * 784u);
  CHECK(std::equal(few.pixels.begin(), few.pixels.end(), many.pixels.begin()));
  CHECK(std::equal(few.labels.begin(), few.labels.end(), many.labels.begin()));
  CHECK(few.pixels != other.pixels);
  CHECK(few.labels != other.labels);
  CHECK_THROWS_AS(make_glyphs(0, 1), Error);
}

TEST_CASE("glyphs: balanced labels, white on black, in the middle") {
  const ImageSet set = make_glyphs(2000, 3);
  CHECK(set.classes == 10);
  std::vector<int> counts(10);
  for (const std::int32_t label : set.labels) ++counts[static_cast<std::size_t>(label)];
  for (const int n : counts) CHECK(n == 200);
  for (std::size_t i = 0; i < 2000; ++i) {
    int ink = 0, brightest = 0, border = 0;
    for (std::size_t p = 0; p < 784; ++p) {
      const int v = set.pixels[i * 784 + p];
      ink += v > 100;
      brightest = std::max(brightest, v);
      if (p < 28 || p >= 756 || p % 28 == 0 || p % 28 == 27) border = std::max(border, v);
    }
    CAPTURE(i);
    CHECK(ink > 20);
    CHECK(ink < 300);
    CHECK(brightest > 180);
    CHECK(border == 0);
  }
}

TEST_CASE("glyphs: the digits differ from each other more than samples of one digit do") {
  const ImageSet set = make_glyphs(4000, 11);
  std::vector<std::vector<double>> mean(10, std::vector<double>(784));
  for (std::size_t i = 0; i < 2000; ++i)
    for (std::size_t p = 0; p < 784; ++p)
      mean[static_cast<std::size_t>(set.labels[i])][p] += set.pixels[i * 784 + p] / 200.0;
  int right = 0;
  for (std::size_t i = 2000; i < 4000; ++i) {
    std::vector<double> distance(10);
    for (std::size_t d = 0; d < 10; ++d)
      for (std::size_t p = 0; p < 784; ++p) {
        const double difference = set.pixels[i * 784 + p] - mean[d][p];
        distance[d] += difference * difference;
      }
    right += std::min_element(distance.begin(), distance.end()) - distance.begin() == set.labels[i];
  }
  CHECK(right > 1400);  // of 2000 by the nearest mean; chance is 200
}

TEST_CASE("idx: what was written is read, plain and gzip, from a folder and from a file") {
  const TempFolder folder;
  const std::string pixels = ramp(3 * 4 * 5), labels = {2, 0, 7};
  bool gz = false;
  SUBCASE("plain") {}
  SUBCASE("gzip") { gz = true; }
  const auto write = gz ? write_gz : write_plain;
  const std::string end = gz ? ".gz" : "";
  write(folder / (images_name + end), idx({3, 4, 5}, pixels));
  write(folder / (labels_name + end), idx({3}, labels));
  write(folder / ("t10k-images-idx3-ubyte" + end), idx({1, 2, 2}, "abcd"));

  for (const std::string& path : {folder.path.string(), folder.path.string() + "/", folder / (images_name + end)}) {
    const ImageSet set = load_images(path);
    CHECK(set.count == 3);
    CHECK(set.height == 4);
    CHECK(set.width == 5);
    CHECK(set.channels == 1);
    CHECK(std::string(set.pixels.begin(), set.pixels.end()) == pixels);
    CHECK(set.labels == std::vector<std::int32_t>{2, 0, 7});
    CHECK(set.classes == 8);
  }
  CHECK(load_images(folder.path.string() + "/").name == folder.path.filename().string());
  const ImageSet test = load_images(folder.path.string(), {.test = true});
  CHECK(test.count == 1);
  CHECK(test.labels.empty());
  CHECK(test.classes == 0);
}

TEST_CASE("idx: a gzip stream of several chunks") {
  const TempFolder folder;
  const std::string pixels = ramp(3000 * 28 * 28);
  write_gz(folder / (images_name + ".gz"), idx({3000, 28, 28}, pixels));
  const ImageSet set = load_images(folder.path.string());
  CHECK(std::equal(set.pixels.begin(), set.pixels.end(), pixels.begin(), pixels.end(),
                   [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
}

TEST_CASE("idx: every damaged file is an error that names it") {
  const TempFolder folder;
  const std::string plain = folder / images_name, gz = plain + ".gz";
  const std::string good = idx({2, 2, 2}, "12345678");
  struct Case {
    std::string bytes;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {"", {"truncated", "magic number"}},
      {good.substr(0, 3), {"truncated", "magic number"}},
      {good.substr(0, 9), {"truncated", "height"}},
      {idx({2}, "12"), {"magic number", "0x00000801", "0x00000803"}},
      {"not an idx file at all", {"magic number", "0x00000803"}},
      {good.substr(0, good.size() - 1), {"truncated", "7", "8"}},
      {good + "x", {"trailing bytes", "8"}},
      {idx({0, 2, 2}, ""), {"count", "0"}},
      {idx({2, 0, 2}, ""), {"height", "0"}},
      {idx({2, 2, 70000}, ""), {"width", "70000"}},
      {idx({0xffffffff, 65536, 65536}, "x"), {"declares"}},
      {idx({0xffffffff, 30000, 30000}, "lying"), {"truncated", "5"}},  // 4 EB would not be allocated
  };
  for (const Case& c : cases) {
    write_plain(plain, c.bytes);
    check_error(plain, plain, c.parts);
    check_error(folder.path.string(), plain, c.parts);
    fs::remove(plain);
    write_gz(gz, c.bytes);
    check_error(gz, gz, c.parts);
    fs::remove(gz);
  }
}

TEST_CASE("idx: a damaged gzip stream is an error") {
  const TempFolder folder;
  const std::string gz = folder / (images_name + ".gz");
  std::string pixels;
  SplitMix64 random{1};
  for (int i = 0; i < 100 * 28 * 28; ++i) pixels += static_cast<char>(random.next());
  write_gz(gz, idx({100, 28, 28}, pixels));
  const std::string bytes = read_plain(gz);
  for (const std::size_t size : {bytes.size() - 1, bytes.size() - 8, bytes.size() / 2, std::size_t{12}}) {
    write_plain(gz, bytes.substr(0, size));
    check_error(gz, gz, {"truncated"});
  }
  std::string wrong = bytes;
  wrong[wrong.size() - 6] = static_cast<char>(wrong[wrong.size() - 6] ^ 1);  // the checksum
  write_plain(gz, wrong);
  check_error(gz, gz, {"gzip", "damaged"});
  write_plain(gz, bytes + "garbage");
  check_error(gz, gz, {"gzip", "damaged"});
  write_plain(gz, bytes + bytes);  // a second member is more data
  check_error(gz, gz, {"trailing bytes"});
}

TEST_CASE("idx: labels must fit the images") {
  const TempFolder folder;
  const std::string labels = folder / labels_name;
  write_plain(folder / images_name, idx({2, 2, 2}, "12345678"));
  write_plain(labels, idx({3}, "123"));
  check_error(folder.path.string(), labels, {"3 labels", "2", images_name});
  write_plain(labels, idx({2}, "1"));
  check_error(folder.path.string(), labels, {"truncated"});
  write_plain(labels, idx({2, 2, 2}, "12345678"));
  check_error(folder.path.string(), labels, {"magic number", "0x00000801"});
}

TEST_CASE("load_images: nothing usable") {
  const TempFolder folder;
  check_error(folder / "missing", folder / "missing", {"no such file or folder"});
  check_error(folder.path.string(), folder.path.string(), {"train-images-idx3-ubyte.gz"});
  CHECK(error_of(folder.path.string(), true).find("t10k-images-idx3-ubyte") != std::string::npos);
  CHECK_THROWS_AS(load_dataset(folder / "missing", 1), Error);
}

TEST_CASE("dataset: an epoch visits each image at most once, and its order differs from the last one's") {
  Dataset data(numbered(103), 9);
  std::vector<int> last;
  for (int epoch = 0; epoch < 5; ++epoch) {
    const std::vector<int> drawn = draw(data, 10, 10);
    CHECK(std::set<int>(drawn.begin(), drawn.end()).size() == 100);
    CHECK(data.cursor() == Cursor{epoch, 100});
    CHECK(drawn != last);
    last = drawn;
  }
  draw(data, 11, 10);  // one call may reach into the next epoch
  CHECK(data.cursor() == Cursor{6, 10});
  Dataset whole(numbered(7), 1);
  std::vector<int> all = draw(whole, 1, 7);
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("dataset: seed and cursor determine the batches") {
  Dataset a(numbered(50), 4), b(numbered(50), 4), other(numbered(50), 5);
  CHECK(a.cursor() == Cursor{0, 0});
  const std::vector<int> first = draw(a, 1, 8);
  CHECK(first == draw(b, 1, 8));
  CHECK(first != draw(other, 1, 8));
  CHECK(draw(a, 4, 8) == draw(b, 4, 8));

  for (int i = 0; i < 5; ++i) draw(a, 3, 8);
  const Cursor mark = a.cursor();
  std::vector<int> expected;
  for (int i = 0; i < 20; ++i) {
    const std::vector<int> drawn = draw(a, 3, 8);
    expected.insert(expected.end(), drawn.begin(), drawn.end());
  }
  for (Dataset* data : {&a, &b}) {  // the same stream, in whatever portions
    data->seek(mark);
    CHECK(data->cursor() == mark);
    std::vector<int> drawn;
    for (const std::int64_t batches : {1, 7, 1, 30, 20, 1}) {
      const std::vector<int> portion = draw(*data, batches, 8);
      drawn.insert(drawn.end(), portion.begin(), portion.end());
    }
    CHECK(drawn == expected);
  }
}

TEST_CASE("dataset: where labels are hidden, one batch more has labels") {
  ImageSet set = numbered(100);
  keep_labels(set, 11, 3);
  std::set<int> kept;
  std::map<int, int> of_class;
  for (std::size_t i = 0; i < 100; ++i) {
    if (set.labels[i] < 0) continue;
    CHECK(set.labels[i] == static_cast<std::int32_t>(i % 5));
    kept.insert(static_cast<int>(i));
    ++of_class[set.labels[i]];
  }
  CHECK(of_class == std::map<int, int>{{0, 3}, {1, 2}, {2, 2}, {3, 2}, {4, 2}});
  ImageSet other = numbered(100);
  keep_labels(other, 11, 4);
  CHECK(other.labels != set.labels);

  Dataset a(set, 9, true), b(set, 9, true), plain(numbered(100), 9, true);
  std::vector<std::vector<std::uint8_t>> labelled;
  Cursor mark;
  for (int k = 0; k < 12; ++k) {
    const Cursor before = a.cursor();
    const auto batches = a.next(2, 8);
    REQUIRE(batches.size() == 3);
    const auto expected = plain.next(2, 8);  // the others are as if nothing were hidden
    for (std::size_t i = 0; i < 2; ++i) CHECK(std::equal(batches[i].pixels, batches[i].pixels + 8, expected[i].pixels));
    labelled.emplace_back(batches[2].pixels, batches[2].pixels + 8);
    std::set<int> distinct(labelled.back().begin(), labelled.back().end());
    CHECK(distinct.size() == 8);
    for (std::int64_t i = 0; i < 8; ++i) {
      CHECK(kept.count(batches[2].pixels[i]) == 1);
      CHECK(batches[2].labels[i] == batches[2].pixels[i] % 5);
    }
    if (k == 7) mark = before;
  }
  CHECK(labelled[0] != labelled[1]);
  b.seek(mark);
  const auto again = b.next(2, 8);
  CHECK(std::equal(again[2].pixels, again[2].pixels + 8, labelled[7].begin()));
  // More than there are: whole rounds.
  const auto many = b.next(1, 30);
  std::map<int, int> times;
  for (std::int64_t i = 0; i < 30; ++i) ++times[many[1].pixels[i]];
  CHECK(times.size() == 11);
  for (const auto& [pixel, count] : times) CHECK((count == 2 || count == 3));

  ImageSet none = numbered(20);
  keep_labels(none, 0, 1);
  CHECK(none.labels.empty());
  CHECK(none.classes == 0);
  CHECK(Dataset(none, 1).next(1, 4).size() == 1);
  ImageSet few = numbered(20);
  CHECK_THROWS_WITH_AS(keep_labels(few, 25, 1), "numbered: class 0 has 4 labels, expected 5 for 25 labels in all",
                       Error);
  CHECK_THROWS_WITH_AS(keep_labels(none, 5, 1), "numbered has no labels, expected labelled images", Error);
}

TEST_CASE("dataset: other batch sizes go on from the cursor") {
  Dataset data(numbered(20), 2);
  const std::vector<int> head = draw(data, 1, 6), tail = draw(data, 2, 7);
  std::set<int> seen(head.begin(), head.end());
  seen.insert(tail.begin(), tail.end());
  CHECK(seen.size() == 20);
  CHECK(data.cursor() == Cursor{0, 20});
}

TEST_CASE("dataset: steady buffers, and a span that lives until the next call") {
  Dataset data(numbered(200), 2);
  std::set<const std::uint8_t*> buffers;
  for (int i = 0; i < 50; ++i) {
    const auto span = data.next(2, 16);
    buffers.insert(span[0].pixels);
    const std::vector<std::uint8_t> copy(span[0].pixels, span[0].pixels + 16);
    if (i % 10 == 0) data.seek(data.cursor());  // discards what was prefetched, not what was handed out
    CHECK(std::equal(copy.begin(), copy.end(), span[0].pixels));
  }
  CHECK(buffers.size() <= 3);
}

TEST_CASE("dataset: it moves while it prefetches, and unlabelled images have no labels") {
  ImageSet set = numbered(30);
  set.labels.clear();
  set.classes = 0;
  Dataset a(set, 1);
  CHECK(a.next(1, 4)[0].labels == nullptr);
  Dataset b = std::move(a);
  CHECK(b.cursor() == Cursor{0, 4});
  CHECK(b.next(1, 4)[0].size == 4);
  b = Dataset(numbered(5), 1);
  CHECK(b.size() == 5);
  CHECK(b.images().name == "numbered");
  Dataset never_used(numbered(5), 1);
}

TEST_CASE("dataset: wrong requests are errors and move nothing") {
  Dataset data(numbered(10), 1);
  CHECK_THROWS_WITH_AS(data.next(1, 11), "[Dataset::next] batch_size is 11, expected 1 to 10, the images of numbered",
                       Error);
  CHECK_THROWS_AS(data.next(1, 0), Error);
  CHECK_THROWS_AS(data.next(0, 1), Error);
  CHECK_THROWS_AS(data.next(std::int64_t{1} << 62, 10), Error);
  CHECK_THROWS_AS(data.seek({-1, 0}), Error);
  CHECK_THROWS_AS(data.seek({0, 11}), Error);
  CHECK(data.cursor() == Cursor{0, 0});
  CHECK(draw(data, 1, 10).size() == 10);

  ImageSet set = numbered(10);
  set.pixels.pop_back();
  CHECK_THROWS_AS(Dataset(set, 1), Error);
  set = numbered(10);
  set.labels.pop_back();
  CHECK_THROWS_AS(Dataset(set, 1), Error);
  set = numbered(10);
  set.labels[3] = 5;
  CHECK_THROWS_AS(Dataset(set, 1), Error);
  CHECK_THROWS_AS(Dataset(ImageSet{}, 1), Error);
}

TEST_CASE("load_dataset: the built-in glyphs are the same ones for every seed") {
  const Dataset a = load_dataset("glyphs", 1), b = load_dataset("glyphs", 2);
  CHECK(a.size() == 60000);
  CHECK(a.images().pixels == b.images().pixels);
}
