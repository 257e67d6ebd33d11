// The program itself, run as a user runs it.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <limits>
#include <thread>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "models/model.h"
#include "tests/program.h"

using namespace duel;
using namespace duel::test;

namespace {

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
  for (const char* part :
       {"--steps", "--n-critic", "(1 to 100, default 5)", "--resume", "auto or cpu or cuda-host or cuda"})
    CHECK(help.out.find(part) != help.out.npos);
  const std::map<std::string, const char*> lists{
      {"models", "wgan-gp"}, {"data", "glyphs"}, {"devices", "cuda-host: "}, {"ops", "conv2d"}};
  for (const auto& [subject, word] : lists) CHECK(duel_run(in, {"list", subject}).out.find(word) != std::string::npos);
}

TEST_CASE("cli: a bad input gets one line and writes nothing") {
  const Scratch in;
  check_refused(in, {}, "train, verify, sample, interpolate, ");
  check_refused(in, {"tarin"}, "'tarin' is unknown, expected one of: train");
  check_refused(in, {"train"}, "gan, wgan-gp");
  check_refused(in, {"train", "gna"}, "model 'gna' is unknown, expected one of: gan, dcgan, ");
  check_refused(in, {"train", "--steps", "4", "gan"}, "option '--steps'");
  check_refused(in, training("gan", "x", {"--norm", "none"}), "option '--norm' is unknown, expected one of: --help");
  check_refused(in, training("gan", "x", {"more"}), "'more'");
  check_refused(in, training("gan", "x", {"--steps"}), "--steps: expected a value");
  check_refused(in, training("gan", "x", {"--steps", "0"}), "--steps: found '0', expected a whole number from 1");
  check_refused(in, training("gan", "x", {"--lr", "nan"}), "--lr: found 'nan'");
  check_refused(in, training("gan", "x", {"--seed", "-1"}), "--seed: found '-1'");
  check_refused(in, training("gan", "x", {"--device", "gpu"}), "expected one of: auto, cpu, cuda-host, cuda");
  check_refused(in, training("gan", "x", {"--loss", "lsq"}), "expected one of: non-saturating, minimax");
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

  // Settings that the run's own Duel did not know have their defaults.
  const fs::path config = in.path / run / "config.json", kept = in.path / run / "checkpoint.safetensors";
  auto json = nlohmann::json::parse(read_text(config));
  CHECK(json["settings"].erase("minibatch-stddev") == 1);
  write_file_atomically(config, json.dump());
  TensorFile file = read_safetensors(kept);
  auto settings = nlohmann::json::parse(file.metadata.at("settings"));
  CHECK(settings.erase("minibatch-stddev") == 1);
  file.metadata["settings"] = settings.dump();
  write_safetensors(kept, file);
  train_well(in, {"train", "wgan-gp", "--out", run, "--resume", "--steps", "17"});
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

TEST_CASE("cli: every model goes on to the same bytes after five interrupts at random moments") {
  const Scratch in;
  SplitMix64 random{2024};
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    const fs::path log = in.path / info.name / "log.jsonl";
    std::uintmax_t size = 0;
    for (int part = 0; part < 5; ++part) {
      const Words first = training(info.name, info.name, {"--steps", "1000000", "--threads", "1"});
      const pid_t child = start(in, part ? Words{"train", info.name, "--out", info.name, "--resume"} : first);
      size += 1 + random.below(2000);  // some ten iterations at the most
      for (int i = 0; i < 3000 && !(fs::exists(log) && fs::file_size(log) > size); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ::kill(child, SIGINT);
      REQUIRE(wait_for(in, child).status == 130);
      size = fs::file_size(log);
    }
    const std::string steps = std::to_string(log_of(in, info.name).size());
    train_well(in, training(info.name, "straight-" + info.name, {"--steps", steps, "--threads", "1"}));
    CHECK((checkpoint(in, info.name) == checkpoint(in, "straight-" + info.name)));
  }
}

TEST_CASE("cli: the plan's peak is the peak of the run, and the plan writes nothing") {
  const Scratch in;
  auto peak = [&](const Words& words) {
    const Outcome o = duel_run(in, words);
    INFO(o.out, o.err);
    REQUIRE(o.status == 0);
    const std::size_t end = o.out.find(" MiB at its peak");
    REQUIRE(end != o.out.npos);
    return o.out.substr(o.out.find_last_of(' ', end - 1) + 1, end - 1 - o.out.find_last_of(' ', end - 1));
  };
  for (const ModelInfo& info : models()) {
    INFO(info.name);
    const auto before = contents(in.path);
    const std::string planned = peak(training(info.name, info.name, {"--steps", "6", "--dry-run"}));
    CHECK(contents(in.path) == before);
    CHECK(peak(training(info.name, info.name, {"--steps", "6", "--snapshot-every", "2"})) == planned);
  }
  const Words there{"--steps", "3", "--device", "cuda-host"};
  Words plan = there;
  plan.push_back("--dry-run");
  CHECK(peak(training("gan", "there", there)) == peak(training("gan", "plan", plan)));
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
  // On cuda-host the news comes two iterations late.
  for (const char* device : {"cpu", "cuda-host"}) {
    INFO(device);
    const Outcome o = duel_run(in, {"train", "gan", "--out", "a", "--resume", "--steps", "9", "--device", device});
    CHECK(o.status == 1);
    CHECK(o.err.find("step 3 are not finite") != o.err.npos);
    CHECK(o.err.find("held nan in 1 of its values before the step") != o.err.npos);
    CHECK(o.err.find('\n') == o.err.size() - 1);
    CHECK((checkpoint(in, "a") == before));
  }
}

TEST_CASE("cli: where the images lie while training changes nothing") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "4", "--flip", "--data-on", "host"}));
  train_well(in, training("gan", "b", {"--steps", "4", "--flip", "--data-on", "device"}));
  CHECK((checkpoint(in, "a") == checkpoint(in, "b")));
  check_refused(in, training("gan", "x", {"--data-on", "disk"}), "expected one of: auto, device, host");
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

TEST_CASE("cli: classes, codes and hidden labels") {
  const Scratch in;
  train_well(in, training("cgan", "c", {"--steps", "2"}));
  train_well(in, training("infogan", "i", {"--steps", "2"}));
  CHECK(fs::exists(in.path / "c/codes.png"));
  const auto draw = [&](const std::string& run, Words more) {
    Words words{"sample", run, "--count", "4", "--out", "x.npy"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = duel_run(in, words);
    INFO(o.err);
    CHECK(o.status == 0);
    return read_text(in.path / "x.npy");
  };
  CHECK(draw("c", {"--class", "3"}) == draw("c", {"--code", "class=3"}));
  CHECK(draw("c", {"--class", "3"}) != draw("c", {"--class", "4"}));
  CHECK(draw("i", {"--code", "c1=3,c2=0.5"}) != draw("i", {"--code", "c1=3,c2=-0.5"}));
  CHECK(duel_run(in, {"interpolate", "i", "--mode", "codes", "--rows", "2", "--steps", "4"}).status == 0);
  CHECK(fs::exists(in.path / "i/interpolated.png"));
  check_refused(in, {"interpolate", "i", "--mode", "codes", "--out", "x.apng"}, "expected a name that ends in .png");
  check_refused(in, {"interpolate", "i", "--mode", "codes", "--to", "3"}, "--to: a sweep has no end");
  check_refused(in, {"sample", "c", "--class", "10"}, "--class: class is '10', expected a whole number from 0 to 9");
  check_refused(in, {"sample", "i", "--class", "1"}, "--class: the model has no 'class', expected one of: c1, c2, c3");
  check_refused(in, {"sample", "i", "--code", "c1"}, "--code: found 'c1', expected NAME=VALUE");
  check_refused(in, {"sample", "i", "--code", "c2=4"}, "expected a number from -2 to 2");
  check_refused(in, training("cgan", "x", {"--data", "unlabelled-idx3-ubyte"}),
                "cgan: unlabelled-idx3-ubyte has no labels");
  train_well(in, training("gan", "g", {"--steps", "1"}));
  check_refused(in, {"sample", "g", "--class", "1"}, "--class: the model has no codes");
  check_refused(in, {"interpolate", "g", "--mode", "codes"}, "the model has no codes");

  train_well(in, training("sgan", "s", {"--steps", "3", "--labels", "20", "--width", "32"}));
  CHECK_FALSE(log_of(in, "s").back().contains("test_error"));  // no held-out images
  train_well(in, training("sgan", "t", {"--steps", "1", "--width", "32", "--data", "glyphs", "--limit", "100"}));
  CHECK(log_of(in, "t").back().contains("test_error"));
  check_refused(in, {"train", "sgan", "--out", "s", "--resume", "--labels", "30"}, "the run has --labels 20, found");
  check_refused(in, training("sgan", "x", {"--labels", "0"}), "sgan: there are no labels to learn from");
  check_refused(in, training("sgan", "x", {"--labels", "5000"}), "labels, expected");
  check_refused(in, training("gan", "x", {"--labels", "20"}), "option '--labels' is unknown");
  train_well(in, training("catgan", "k", {"--steps", "2", "--labels", "0", "--width", "32", "--clusters", "4"}));
  train_well(in, {"train", "catgan", "--out", "k", "--resume", "--steps", "4"});
}

TEST_CASE("cli: glyphs, a time limit and the default folder") {
  const Scratch in;
  train_well(in, {"train", "wgan-gp", "--width", "4", "--batch", "8", "--minutes", "0.05", "--threads", "1"});
  CHECK(fs::exists(in.path / "runs/wgan-gp-glyphs-1/checkpoint.safetensors"));
  CHECK_FALSE(
      nlohmann::json::parse(read_text(in.path / "runs/wgan-gp-glyphs-1/config.json"))["options"].contains("steps"));
}
