// The program itself, run as a user runs it, in a folder of the test's own.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/data/glyphs.h"
#include "engine/files.h"

namespace duel::test {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

// An IDX file: its magic number, the sizes, the bytes.
inline std::string idx_file(std::uint32_t magic, const std::vector<std::uint32_t>& sizes, const std::string& bytes) {
  std::string out;
  const auto add = [&](std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift);
  };
  add(magic);
  for (const std::uint32_t size : sizes) add(size);
  return out + bytes;
}
inline std::string idx_images(const ImageSet& set) {
  return idx_file(0x803, {static_cast<std::uint32_t>(set.count), 28, 28}, {set.pixels.begin(), set.pixels.end()});
}
inline std::string idx_labels(const ImageSet& set) {
  return idx_file(0x801, {static_cast<std::uint32_t>(set.count)}, {set.labels.begin(), set.labels.end()});
}

// A folder of this test's own with a small data set in it; the program runs there. Removed at its end.
struct Scratch {
  fs::path path = fs::temp_directory_path() / fmt::format("duel-cli-{}", ::getpid());
  Scratch() {
    fs::remove_all(path);
    fs::create_directories(path / "digits");
    const ImageSet set = make_glyphs(96, 3);
    const std::string idx = idx_images(set);
    write_file_atomically(path / "digits/train-images-idx3-ubyte", idx);
    write_file_atomically(path / "digits/train-labels-idx1-ubyte", idx_labels(set));
    write_file_atomically(path / "unlabelled-idx3-ubyte", idx);
    write_file_atomically(path / "short-idx3-ubyte", idx.substr(0, 5000));
    write_file_atomically(path / "lying-idx3-ubyte", idx_file(0x803, {97}, idx.substr(8)));
    write_file_atomically(path / "text", "no images");
  }
  ~Scratch() { fs::remove_all(path); }
  Scratch(const Scratch&) = delete;
};

struct Outcome {
  int status = -1;  // 1000 + the signal that ended it
  std::string out, err;
};

inline pid_t start(const Scratch& in, const Words& words) {
  // Waiting threads would otherwise spin for their turn where the tests run beside other work.
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child) return child;
  std::vector<char*> argv{const_cast<char*>(DUEL_BINARY)};
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  if (::chdir(in.path.c_str()) == 0 && ::dup2(::open("stdout.txt", flags, 0600), 1) == 1 &&
      ::dup2(::open("stderr.txt", flags, 0600), 2) == 2)
    ::execv(DUEL_BINARY, argv.data());
  ::_exit(99);
}
inline Outcome wait_for(const Scratch& in, pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_text(in.path / "stdout.txt"),
          read_text(in.path / "stderr.txt")};
}
inline Outcome duel_run(const Scratch& in, const Words& words) { return wait_for(in, start(in, words)); }

// Training on the small set, in the folder `out`.
inline Words training(const std::string& model, const std::string& out, const Words& more) {
  Words w{"train", model, "--data", "digits", "--batch", "8", "--out", out};
  if (model != "gan") w.insert(w.end(), {"--width", "4", "--n-critic", "2", "--z-dim", "8"});
  w.insert(w.end(), more.begin(), more.end());
  return w;
}
inline void train_well(const Scratch& in, const Words& words) {
  const Outcome o = duel_run(in, words);
  INFO(o.out, o.err);
  REQUIRE(o.status == 0);
}

inline std::string checkpoint(const Scratch& in, const std::string& run) {
  return read_text(in.path / run / "checkpoint.safetensors");
}
inline std::vector<nlohmann::json> log_of(const Scratch& in, const std::string& run) {
  std::vector<nlohmann::json> lines;
  const std::string text = read_text(in.path / run / "log.jsonl");
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    lines.push_back(nlohmann::json::parse(text.substr(begin, end - begin)));
  return lines;
}

// Every file of a folder with its bytes, what the harness itself writes left out.
inline std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().filename() != "stdout.txt" && entry.path().filename() != "stderr.txt")
      files[entry.path().string()] = entry.is_regular_file() ? read_text(entry.path()) : "";
  return files;
}

// Exit status 2, one line that holds `what`, and nothing written.
inline void check_refused(const Scratch& in, const Words& words, const std::string& what) {
  const auto before = contents(in.path);
  const Outcome o = duel_run(in, words);
  INFO(fmt::format("{}: {}", fmt::join(words, " "), o.err));
  CHECK(o.status == 2);
  CHECK(o.out == "");
  CHECK(o.err.starts_with("duel: "));
  CHECK(o.err.find('\n') == o.err.size() - 1);
  CHECK(o.err.find(what) != o.err.npos);
  CHECK((contents(in.path) == before));
}

}  // namespace duel::test
