#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/safetensors.h"

using namespace duel;
namespace fs = std::filesystem;

namespace {

// A folder of this test's own, removed at its end.
struct Scratch {
  fs::path folder;
  Scratch() {
    static int counter = 0;
    folder = fs::temp_directory_path() / fmt::format("duel-files-{}-{}", ::getpid(), counter++);
    fs::create_directories(folder);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  fs::path operator/(const char* name) const { return folder / name; }
  std::ptrdiff_t count() const { return std::distance(fs::directory_iterator(folder), {}); }
};

std::vector<std::byte> counted(std::size_t n) {
  std::vector<std::byte> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 7 + 1);
  return out;
}

TensorFile example() {
  TensorFile f;
  f.tensors["weight"] = {DType::f32, {2, 3}, counted(24)};
  f.tensors["double"] = {DType::f64, {3}, counted(24)};
  f.tensors["steps"] = {DType::i64, {}, counted(8)};
  f.tensors["labels"] = {DType::i32, {5}, counted(20)};
  f.tensors["pixels"] = {DType::u8, {1, 1, 3}, counted(3)};
  f.tensors["nothing"] = {DType::f32, {4, 0, 2}, {}};
  f.tensors["nom \"é\"\n"] = {DType::u8, {2}, counted(2)};
  f.metadata = {{"config", "{\"lr\": 1e-4}"}, {"", "empty name"}};
  return f;
}

std::string bytes_of(const std::string& header, std::size_t data, std::uint64_t length) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data, 'x');
}

// What read_safetensors says about a file of these bytes, or "" if it accepts them.
std::string refusal(const fs::path& path, const std::string& bytes) {
  // Not write_file_atomically: its fsync makes thousands of files slow.
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  try {
    read_safetensors(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// The file with this header and so many bytes of data is refused, with the file's name and the text in the error.
void says(const std::string& header, std::size_t data, const std::string& text) {
  const Scratch scratch;
  const std::string found = refusal(scratch / "bad", bytes_of(header, data, header.size()));
  CAPTURE(header);
  CAPTURE(found);
  CHECK(found.find((scratch / "bad").string()) != std::string::npos);
  CHECK(found.find(text) != std::string::npos);
}

}  // namespace

TEST_CASE("files: written whole, replaced, and read back") {
  const Scratch scratch;
  const fs::path path = scratch / "a.txt";
  write_file_atomically(path, "first");
  CHECK(read_text(path) == "first");
  const auto bytes = counted(100'000);
  const std::array<std::span<const std::byte>, 3> parts{std::span(bytes).first(10), std::span<const std::byte>{},
                                                        std::span(bytes).subspan(10)};
  write_file_atomically(path, parts);
  CHECK(read_file(path) == bytes);
  write_file_atomically(path, "");
  CHECK(read_text(path).empty());
  CHECK(scratch.count() == 1);
}

TEST_CASE("files: errors name the path and leave nothing behind") {
  const Scratch scratch;
  const auto message = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const fs::path missing = scratch / "missing";
  CHECK(message([&] { read_file(missing); }) ==
        fmt::format("cannot read {}: No such file or directory", missing.string()));
  CHECK(message([&] { read_text(scratch.folder); }).find("not a regular file") != std::string::npos);
  const fs::path lost = missing / "file";
  CHECK(message([&] { write_file_atomically(lost, "x"); }) ==
        fmt::format("cannot write {}: No such file or directory", lost.string()));
  CHECK_THROWS_AS(write_file_atomically(scratch.folder, "x"), Error);
  CHECK_THROWS_AS(write_file_atomically(scratch.folder / "", "x"), Error);
  CHECK_THROWS_AS(write_file_atomically("", "x"), Error);
  const fs::path long_name = scratch.folder / std::string(300, 'n');  // fails when it is renamed, after the writing
  CHECK_THROWS_AS(write_file_atomically(long_name, "x"), Error);
  CHECK(scratch.count() == 0);

  write_file_atomically(scratch / "short", "four");
  InputFile file(scratch / "short");
  std::array<std::byte, 5> five{};
  CHECK(file.size() == 4);
  CHECK_THROWS_AS(file.read(five), Error);
}

TEST_CASE("safetensors: round trip of all dtypes") {
  const Scratch scratch;
  const TensorFile f = example();
  write_safetensors(scratch / "a", f);
  const TensorFile g = read_safetensors(scratch / "a");
  CHECK(g.metadata == f.metadata);
  REQUIRE(g.tensors.size() == f.tensors.size());
  for (const auto& [name, t] : f.tensors) {
    const StoredTensor& u = g.tensors.at(name);
    CHECK(u.dtype == t.dtype);
    CHECK(u.shape == t.shape);
    CHECK(u.data == t.data);
  }
  write_safetensors(scratch / "empty", TensorFile{});
  CHECK(read_text(scratch / "empty") == bytes_of("{}      ", 0, 8));
  CHECK(read_safetensors(scratch / "empty").tensors.empty());
}

TEST_CASE("safetensors: bytes depend on the content alone") {
  const Scratch scratch;
  const float a[2] = {1, 2};
  const std::uint8_t b[3] = {7, 8, 9};
  const TensorEntry first{"a", DType::f32, {2}, a}, second{"b", DType::u8, {3}, b};
  write_safetensors(scratch / "1", std::array{first, second}, {{"k", "v"}});
  write_safetensors(scratch / "2", std::array{second, first}, {{"k", "v"}});
  const std::string bytes = read_text(scratch / "1");
  CHECK(bytes == read_text(scratch / "2"));
  const std::string header = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  CHECK(bytes.size() == 8 + padded + 11);
  CHECK(bytes.substr(8, header.size()) == header);
  CHECK(bytes.substr(8 + header.size(), padded - header.size()) == std::string(padded - header.size(), ' '));
  CHECK(std::memcmp(bytes.data() + 8 + padded, a, 8) == 0);
  CHECK(std::memcmp(bytes.data() + 16 + padded, b, 3) == 0);
}

TEST_CASE("safetensors: the writer refuses what no reader would take") {
  const Scratch scratch;
  const float a[2] = {1, 2};
  const auto refused = [&](const TensorEntry& e) {
    CHECK_THROWS_AS(write_safetensors(scratch / "x", std::array{e}), Error);
  };
  refused({"__metadata__", DType::f32, {2}, a});
  refused({"a", DType::f32, {-2}, a});
  refused({"a", DType::f32, {2}, nullptr});
  refused({"a", DType::f32, {1LL << 40, 1LL << 40}, a});
  refused({"a", DType::f32, {1, 1, 1, 1, 1, 1, 2}, a});
  refused({"\xff", DType::f32, {2}, a});
  const TensorEntry twice{"a", DType::f32, {2}, a};
  CHECK_THROWS_AS(write_safetensors(scratch / "x", std::array{twice, twice}), Error);
  TensorFile f;
  f.tensors["a"] = {DType::f32, {2}, counted(7)};
  CHECK_THROWS_AS(write_safetensors(scratch / "x", f), Error);
  CHECK(scratch.count() == 0);
}

TEST_CASE("safetensors: a damaged frame is refused, and the error says what is wrong") {
  const Scratch scratch;
  const fs::path path = scratch / "bad";
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(refusal(path, bytes_of(good, 8, good.size())) == "");

  CHECK(refusal(path, "short").find("5 bytes") != std::string::npos);
  CHECK(refusal(path, bytes_of(good, 8, good.size() + 9)).find("at most the") != std::string::npos);
  CHECK(refusal(path, bytes_of(good, 8, ~std::uint64_t{0})).find("18446744073709551615") != std::string::npos);
  says("", 0, "does not begin with {");
  says("[]", 0, "does not begin with {");
  says(" {}", 0, "does not begin with {");
  says("{", 0, "not valid JSON");
  says("{}x", 0, "not valid JSON");
  says(std::string("{}\0{}", 5), 0, "zero byte");
  says("{\"\xff\":{}}", 0, "not valid JSON");
  says(good, 7, "7 bytes of data");
  says(good, 9, "end at byte 8");
}

TEST_CASE("safetensors: damaged fields of a tensor are refused") {
  const auto tensor = [&](const std::string& fields, const std::string& text) {
    says("{\"a\":{" + fields + "}}", 8, text);
  };
  tensor(R"("shape":[2],"data_offsets":[0,8])", "no dtype");
  tensor(R"("dtype":"F32","data_offsets":[0,8])", "no shape");
  tensor(R"("dtype":"F32","shape":[2])", "no data_offsets");
  tensor(R"("dtype":"F16","shape":[4],"data_offsets":[0,8])", "dtype holds 'F16', expected one of \"F32\"");
  tensor(R"("dtype":5,"shape":[2],"data_offsets":[0,8])", "dtype holds 5");
  tensor(R"("dtype":["F32"],"shape":[2],"data_offsets":[0,8])", "dtype holds an array");
  tensor(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])", "'dtype' stands twice");
  tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)", "unknown field 'more'");
  tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])", "shape holds 2");
  tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", "shape holds -2");
  tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])", "shape holds '2.0'");
  tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])", "shape holds an array");
  tensor(R"("dtype":"F32","shape":[null],"data_offsets":[0,8])", "shape holds null");
  tensor(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])", "shape holds 9223372036854775808");
  tensor(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])", "shape holds");
  tensor(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,8])", "2^63 - 1 bytes");
  tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8])", "more than 6 numbers");
  tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])", "8 bytes, expected 12");
  tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])", "data_offsets holds 1 numbers");
  tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])", "more than 2 numbers");
  tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", "the end is before the begin");
  tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,16])", "8 bytes of data");
  tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", "expected to begin at 0");
}

TEST_CASE("safetensors: tensors that do not fit together and damaged metadata are refused") {
  const std::string u8 = R"(:{"dtype":"U8","shape":[4],"data_offsets":)";
  says("{\"a\"" + u8 + "[0,4]},\"b\"" + u8 + "[3,7]}}", 7, "expected to begin at 4");
  says("{\"a\"" + u8 + "[0,4]},\"b\"" + u8 + "[5,9]}}", 9, "expected to begin at 4");
  says("{\"a\"" + u8 + "[0,4]},\"a\"" + u8 + "[4,8]}}", 8, "'a' stands twice");
  says(R"({"a":1})", 0, "'a' is 1, expected an object");
  says(R"({"__metadata__":"x"})", 0, "expected an object");
  says(R"({"__metadata__":{"k":1}})", 0, "metadata 'k' is 1, expected a string");
  says(R"({"__metadata__":{"k":{}}})", 0, "metadata 'k' is an object");
  says(R"({"__metadata__":{"k":"1","k":"1"}})", 0, "'k' stands twice");
  says(R"({"__metadata__":{},"__metadata__":{}})", 0, "stands twice");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  says(deep, 0, "unknown field 'a'");
  says("{\"a\\nb\":1}", 0, "'a\\x0ab' is 1");
}

TEST_CASE("safetensors: random damage ends in Error or in a valid file") {
  const Scratch scratch;
  const fs::path path = scratch / "fuzz";
  write_safetensors(path, example());
  const std::string good = read_text(path);
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = good;
    for (unsigned k = random() % 3 + 1; k > 0; --k) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = "{}[]\",:0123456789- "[random() % 19];
          break;
        case 2:
          bytes.erase(at, random() % 9 + 1);
          break;
        default:
          bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 30));
          break;
      }
      if (bytes.empty()) bytes.push_back('x');
    }
    // An exception of another type, or a report of a sanitizer, fails this test.
    refused += !refusal(path, bytes).empty();
  }
  CHECK(refused > 500);
}
