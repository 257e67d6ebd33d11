// The program itself, run as a user runs it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/glyphs.h"
#include "engine/safetensors.h"

using namespace duel;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

// A folder of this test's own with a small data set in it; the program runs there. Removed at its end.
struct Scratch {
  fs::path path = fs::temp_directory_path() / fmt::format("duel-cli-{}", ::getpid());
  Scratch() {
    fs::remove_all(path);
    fs::create_directories(path / "digits");
    const ImageSet set = make_glyphs(96, 3);
    auto word = [](std::uint32_t v) {
      return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
                         static_cast<char>(v)};
    };
    const std::string pixels(set.pixels.begin(), set.pixels.end());
    const std::string idx = word(0x803) + word(96) + word(28) + word(28) + pixels;
    write_file_atomically(path / "digits/train-images-idx3-ubyte", idx);
    write_file_atomically(path / "short-idx3-ubyte", idx.substr(0, 5000));
    write_file_atomically(path / "lying-idx3-ubyte", word(0x803) + word(97) + idx.substr(8));
    write_file_atomically(path / "text", "no images");
  }
  ~Scratch() { fs::remove_all(path); }
  Scratch(const Scratch&) = delete;
};

struct Outcome {
  int status = -1;  // 1000 + the signal that ended it
  std::string out, err;
};

pid_t start(const Scratch& in, const Words& words) {
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
Outcome wait_for(const Scratch& in, pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_text(in.path / "stdout.txt"),
          read_text(in.path / "stderr.txt")};
}
Outcome duel_run(const Scratch& in, const Words& words) { return wait_for(in, start(in, words)); }

// Training on the small set, in the folder `out`.
Words training(const std::string& model, const std::string& out, const Words& more) {
  Words w{"train", model, "--data", "digits", "--batch", "8", "--out", out};
  if (model == "wgan-gp") w.insert(w.end(), {"--width", "4", "--n-critic", "2", "--z-dim", "8"});
  w.insert(w.end(), more.begin(), more.end());
  return w;
}
void train_well(const Scratch& in, const Words& words) {
  const Outcome o = duel_run(in, words);
  INFO(o.out, o.err);
  REQUIRE(o.status == 0);
}

std::string checkpoint(const Scratch& in, const std::string& run) {
  return read_text(in.path / run / "checkpoint.safetensors");
}
std::vector<nlohmann::json> log_of(const Scratch& in, const std::string& run) {
  std::vector<nlohmann::json> lines;
  const std::string text = read_text(in.path / run / "log.jsonl");
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    lines.push_back(nlohmann::json::parse(text.substr(begin, end - begin)));
  return lines;
}

// Every file of a folder with its bytes, what the harness itself writes left out.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().filename() != "stdout.txt" && entry.path().filename() != "stderr.txt")
      files[entry.path().string()] = entry.is_regular_file() ? read_text(entry.path()) : "";
  return files;
}

// Exit status 2, one line that holds `what`, and nothing written.
void check_refused(const Scratch& in, const Words& words, const std::string& what) {
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

std::string two_parts(const Scratch& in, const std::string& model, const std::string& threads) {
  const std::string whole = fmt::format("{}-{}-whole", model, threads),
                    parts = fmt::format("{}-{}-parts", model, threads);
  train_well(in, training(model, whole, {"--steps", "14", "--threads", threads}));
  // Another rhythm of pictures must not change the numbers.
  train_well(in, training(model, parts, {"--steps", "7", "--threads", threads, "--snapshot-every", "3"}));
  train_well(in, {"train", model, "--steps", "14", "--out", parts, "--resume"});
  CHECK((checkpoint(in, whole) == checkpoint(in, parts)));
  CHECK(log_of(in, parts).size() == 14);
  return parts;
}

}  // namespace

TEST_CASE("cli: help, version and lists") {
  const Scratch in;
  for (const Words& words :
       {Words{"--help"}, {"train", "--help"}, {"sample", "--help"}, {"list", "--help"}, {"--version"}})
    CHECK(duel_run(in, words).status == 0);
  const Outcome help = duel_run(in, {"train", "wgan-gp", "--help"});
  CHECK(help.status == 0);
  for (const char* part : {"--steps", "--n-critic", "(1 to 100, default 5)", "--resume", "auto or cpu"})
    CHECK(help.out.find(part) != help.out.npos);
  const std::map<std::string, const char*> lists{{"models", "wgan-gp"}, {"data", "glyphs"}, {"ops", "conv2d"}};
  for (const auto& [subject, word] : lists) CHECK(duel_run(in, {"list", subject}).out.find(word) != std::string::npos);
}

TEST_CASE("cli: a bad input gets one line and writes nothing") {
  const Scratch in;
  check_refused(in, {}, "train, sample, list");
  check_refused(in, {"tarin"}, "'tarin' is unknown, expected one of: train");
  check_refused(in, {"train"}, "gan, wgan-gp");
  check_refused(in, {"train", "gna"}, "model 'gna' is unknown, expected one of: gan, wgan-gp");
  check_refused(in, {"train", "--steps", "4", "gan"}, "option '--steps'");
  check_refused(in, training("gan", "x", {"--lambda", "1"}), "option '--lambda' is unknown, expected one of: --help");
  check_refused(in, training("gan", "x", {"more"}), "'more'");
  check_refused(in, training("gan", "x", {"--steps"}), "--steps: expected a value");
  check_refused(in, training("gan", "x", {"--steps", "0"}), "--steps: found '0', expected a whole number from 1");
  check_refused(in, training("gan", "x", {"--lr", "nan"}), "--lr: found 'nan'");
  check_refused(in, training("gan", "x", {"--seed", "-1"}), "--seed: found '-1'");
  check_refused(in, training("gan", "x", {"--device", "gpu"}), "expected one of: auto, cpu");
  check_refused(in, training("gan", "x", {"--loss", "hinge"}), "expected one of: non-saturating, minimax");
  check_refused(in, training("gan", "x", {"--batch", "97"}), "--batch: found 97, expected at most 96");
  check_refused(in, training("gan", "text/x", {}), "--out text/x");
  check_refused(in, training("gan", "text", {}), "--out text");
  check_refused(in, training("gan", "digits", {}), "holds no run");
  check_refused(in, training("gan", "/proc/x", {}), "--out /proc/x");
  check_refused(in, training("gan", "x", {"--resume"}), "x: no such run folder");
  for (const char* data : {"missing", "short-idx3-ubyte", "lying-idx3-ubyte", "text"})
    check_refused(in, training("gan", "x", {"--data", data}), data);
  check_refused(in, {"sample"}, "expected the folder of a run");
  check_refused(in, {"sample", "digits"}, "holds no run");
}

TEST_CASE("cli: the folder of a run, and what it refuses") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "4", "--snapshot-every", "3"}));
  for (const char* file : {"config.json", "real.png", "samples.png", "curves.png", "samples/000000.png",
                           "samples/000003.png", "samples/000004.png"})
    CHECK(fs::file_size(in.path / "a" / file) > 0);
  CHECK((read_text(in.path / "a/samples.png") == read_text(in.path / "a/samples/000004.png")));
  const std::vector<nlohmann::json> log = log_of(in, "a");
  REQUIRE(log.size() == 4);
  CHECK(log[3]["step"] == 4);
  for (const char* name : {"loss_d", "loss_g", "d_real", "images_per_s"}) CHECK(log[3][name].is_number());
  const auto config = nlohmann::json::parse(read_text(in.path / "a/config.json"));
  CHECK(config["options"]["batch"] == 8);
  CHECK(config["settings"]["lr"] == 0.0002);
  const TensorFile file = read_safetensors(in.path / "a/checkpoint.safetensors");
  CHECK(file.tensors.count("iteration") + file.tensors.count("data.epoch") + file.tensors.count("data.index") == 3);
  CHECK(file.metadata.at("model") == "gan");
  CHECK(file.metadata.at("data.count") == "96");

  check_refused(in, training("gan", "a", {}), "found a run of gan with 4 steps; add --resume or choose another --out");
  check_refused(in, training("wgan-gp", "a", {"--resume"}), "found a run of gan, expected wgan-gp");
  check_refused(in, training("gan", "a", {"--resume", "--batch", "16"}), "--batch 8, found --batch 16");
  check_refused(in, training("gan", "a", {"--resume", "--seed", "2"}), "--seed 1, found --seed 2");
  check_refused(in, training("gan", "a", {"--resume", "--lr", "3e-4"}), "--lr 0.0002, found --lr 0.0003");
  check_refused(in, training("gan", "a", {"--resume", "--data", "glyphs", "--steps", "9"}),
                "the run's data are digits (96 images");
  check_refused(in, {"sample", "a", "--out", "a.jpg"}, "'.jpg'");
  check_refused(in, {"sample", "a", "--out", "text"}, "found a file");
  check_refused(in, {"sample", "a", "--out", "nowhere/a.png"}, "nowhere");
  check_refused(in, {"sample", "a", "--count", "0"}, "--count: found '0'");

  const std::string good = checkpoint(in, "a");
  write_file_atomically(in.path / "a/checkpoint.safetensors", good.substr(0, good.size() / 2));
  check_refused(in, training("gan", "a", {"--resume", "--steps", "9"}), "checkpoint.safetensors");
  check_refused(in, {"sample", "a"}, "checkpoint.safetensors");
  TensorFile other = file;
  other.tensors.erase("data.index");
  write_safetensors(in.path / "a/checkpoint.safetensors", other);
  check_refused(in, training("gan", "a", {"--resume", "--steps", "9"}), "tensor data.index is missing");
}

TEST_CASE("cli: two parts are the whole, to the byte") {
  const Scratch in;
  for (const char* model : {"gan", "wgan-gp"}) two_parts(in, model, "1");
  two_parts(in, "gan", "2");
  const std::string run = two_parts(in, "wgan-gp", "2");

  // The lines after the checkpoint, as a crash leaves them, are dropped.
  const std::string log = read_text(in.path / run / "log.jsonl");
  write_file_atomically(in.path / run / "log.jsonl", log + "{\"step\": 15, \"loss_d\": 1}\n{\"step\": 16, \"lo");
  const Outcome o = duel_run(in, {"train", "wgan-gp", "--out", run, "--resume", "--steps", "16", "--threads", "1"});
  CHECK(o.status == 0);
  CHECK(o.out.find("--threads 2, this is --threads 1") != o.out.npos);
  CHECK(log_of(in, run).size() == 16);
  CHECK(read_text(in.path / run / "log.jsonl").starts_with(log));
  CHECK(duel_run(in, {"train", "wgan-gp", "--out", run, "--resume"}).out.find("nothing to do") != std::string::npos);
}

TEST_CASE("cli: a signal ends the run well") {
  const Scratch in;
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string run = fmt::format("run-{}", signal);
    const pid_t child = start(in, training("wgan-gp", run, {"--steps", "1000000", "--threads", "1"}));
    const fs::path log = in.path / run / "log.jsonl";
    for (int i = 0; i < 3000 && !(fs::exists(log) && fs::file_size(log) > 300); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::kill(child, signal);
    const Outcome o = wait_for(in, child);
    CHECK(o.status == 128 + signal);
    CHECK(o.out.find("--resume") != o.out.npos);
    const std::size_t steps = log_of(in, run).size();
    CHECK(steps > 1);
    if (signal != SIGINT) continue;
    const std::string total = std::to_string(steps + 3);
    train_well(in, {"train", "wgan-gp", "--out", run, "--resume", "--steps", total});
    train_well(in, training("wgan-gp", "straight", {"--steps", total, "--threads", "1"}));
    CHECK((checkpoint(in, run) == checkpoint(in, "straight")));
  }
}

TEST_CASE("cli: numbers that are not finite end the run and keep the checkpoint") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "2"}));
  TensorFile file = read_safetensors(in.path / "a/checkpoint.safetensors");
  for (auto& [name, tensor] : file.tensors)
    if (name.starts_with("D.") && tensor.dtype == DType::f32) {
      const float bad = std::numeric_limits<float>::quiet_NaN();
      std::memcpy(tensor.data.data(), &bad, sizeof bad);
      break;
    }
  write_safetensors(in.path / "a/checkpoint.safetensors", file);
  const std::string before = checkpoint(in, "a");
  const Outcome o = duel_run(in, {"train", "gan", "--out", "a", "--resume", "--steps", "9"});
  CHECK(o.status == 1);
  CHECK(o.err.find("step 3 are not finite") != o.err.npos);
  CHECK(o.err.find('\n') == o.err.size() - 1);
  CHECK((checkpoint(in, "a") == before));
}

TEST_CASE("cli: samples") {
  const Scratch in;
  train_well(in, training("wgan-gp", "a", {"--steps", "2"}));
  auto draw = [&](const std::string& out, const std::string& count, const std::string& seed) {
    const Outcome o = duel_run(in, {"sample", "a", "--count", count, "--seed", seed, "--out", out});
    INFO(o.err);
    CHECK(o.status == 0);
  };
  const std::string state = checkpoint(in, "a");
  CHECK(duel_run(in, {"sample", "a"}).status == 0);
  CHECK(read_text(in.path / "a/sampled.png").substr(1, 3) == "PNG");
  draw("few.npy", "3", "5");
  draw("many.npy", "70", "5");
  const std::string few = read_text(in.path / "few.npy"), many = read_text(in.path / "many.npy");
  constexpr std::size_t image = 28 * 28;
  REQUIRE(many.size() == 128 + 70 * image);
  CHECK(many.find("'shape': (70, 28, 28, 1)") != many.npos);
  CHECK((few.substr(128) == many.substr(128, 3 * image)));
  draw("few.npy", "3", "6");
  CHECK((few != read_text(in.path / "few.npy")));
  draw("folder", "3", "5");
  CHECK(fs::exists(in.path / "folder/000002.png"));
  CHECK_FALSE(fs::exists(in.path / "folder/000003.png"));
  CHECK((checkpoint(in, "a") == state));
}

TEST_CASE("cli: glyphs, a time limit and the default folder") {
  const Scratch in;
  train_well(in, {"train", "wgan-gp", "--width", "4", "--batch", "8", "--minutes", "0.05", "--threads", "1"});
  CHECK(fs::exists(in.path / "runs/wgan-gp-glyphs-1/checkpoint.safetensors"));
  CHECK_FALSE(
      nlohmann::json::parse(read_text(in.path / "runs/wgan-gp-glyphs-1/config.json"))["options"].contains("steps"));
}
