// duel evaluate, run as a user runs it.
#include <doctest/doctest.h>

#include "engine/net_file.h"
#include "tests/program.h"

using namespace duel;
using namespace duel::test;

namespace {

Outcome run_well(const Scratch& in, Words words) {
  words.insert(words.end(), {"--threads", "1"});
  const Outcome o = duel_run(in, words);
  INFO(o.out, o.err);
  REQUIRE(o.status == 0);
  return o;
}
Words small(const std::string& model, const std::string& out, const std::string& size) {
  return {"train", model,     "--data", "glyphs",  "--limit", "300",   "--size",
          size,    "--steps", "2",      "--batch", "8",       "--out", out};
}

}  // namespace

TEST_CASE("evaluation: the command measures samples, keeps its judge and gives the same figures again") {
  const Scratch in;
  ::setenv("XDG_CACHE_HOME", (in.path / "cache").c_str(), 1);
  train_well(in, small("gan", "a", "12"));
  const Outcome first = run_well(in, {"evaluate", "a", "--count", "60"});
  for (const char* part :
       {"60 samples of seed 1 against as many held-out images", "judge: kept in", "judge: right about",
        "judge Fréchet distance", "coverage", "classes covered of 10", "ratio"})
    CHECK(first.out.find(part) != first.out.npos);
  const std::string json_text = read_text(in.path / "a/evaluation.json"),
                    page = read_text(in.path / "a/evaluation.html");
  CHECK(fs::exists(in.path / "a/neighbours.png"));
  const auto json = nlohmann::json::parse(json_text);
  const auto& figures = json["figures"];
  CHECK(json["count"] == 60);
  CHECK(json["judge"]["accuracy"] > 0.5);
  CHECK(figures["judge_frechet_distance"]["samples"] > figures["judge_frechet_distance"]["real"]);
  CHECK(figures["judge_frechet_distance"]["naive"] > figures["judge_frechet_distance"]["real"]);
  CHECK(figures["coverage"]["real"] > figures["coverage"]["samples"]);
  CHECK(figures["kernel_distance"]["standard_error"]["real"] > 0);
  CHECK(figures["classes_covered"]["real"] == 10);
  CHECK(json["class_shares"]["real"].size() == 10);
  CHECK(page.find("src=\"http") == page.npos);
  CHECK(page.find("Nearest training images") != page.npos);

  const Outcome second = run_well(in, {"evaluate", "a", "--count", "60"});
  CHECK(second.out.find("judge: kept") == second.out.npos);  // out of the cache
  CHECK(read_text(in.path / "a/evaluation.json") == json_text);
  CHECK(read_text(in.path / "a/evaluation.html") == page);
  fs::create_directory(in.path / "elsewhere");
  run_well(in, {"evaluate", "a", "--count", "60", "--seed", "2", "--out", "elsewhere"});
  CHECK(read_text(in.path / "elsewhere/evaluation.json") != json_text);
  CHECK(read_text(in.path / "a/evaluation.json") == json_text);

  // A judge that is damaged is trained anew, and comes out as the first one.
  for (const auto& entry : fs::directory_iterator(in.path / "cache/duel"))
    write_file_atomically(entry.path(), "damaged");
  CHECK(run_well(in, {"evaluate", "a", "--count", "60"}).out.find("judge: trained anew") != std::string::npos);
  CHECK(read_text(in.path / "a/evaluation.json") == json_text);

  std::string config = read_text(in.path / "a/config.json");
  config.replace(config.find("\"limit\": 300"), 12, "\"limit\": 200");
  fs::copy(in.path / "a", in.path / "other", fs::copy_options::recursive);
  write_file_atomically(in.path / "other/config.json", config);
  check_refused(in, {"evaluate", "other"}, "other: the run's data have changed: digest ");
  check_refused(in, {"evaluate", "a", "--count", "20000"}, "--count: found 20000, expected at most 300");
  check_refused(in, {"evaluate", "a", "--count", "3"}, "--count: found '3', expected a whole number from 16");
  check_refused(in, {"evaluate", "a", "--out", "nowhere"}, "--out nowhere: expected a folder that is there");
  check_refused(in, {"evaluate", "a", "--features", "text"}, "text");
  check_refused(in, {"evaluate", "a", "--labels", "100"}, "--labels: only with --probe");
  check_refused(in, {"evaluate", "a", "--probe", "--count", "100"}, "--probe: leave out --count");
  check_refused(in, {"evaluate", "a", "--probe", "--labels", "100"}, "D of gan has no convolution");
  check_refused(in, {"evaluate", "elsewhere"}, "holds no run");
  check_refused(in, {"evaluate"}, "evaluate: expected the folder of a run");
  check_refused(in, {"evaluate", "a", "more"}, "'more'");
}

TEST_CASE("evaluation: images without labels, and a network of one's own") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "2"}));
  check_refused(in, {"evaluate", "a"}, "expected 160 or more");
  // 320 of them, in a folder that holds none out.
  const ImageSet set = make_glyphs(320, 3);
  const std::string head{0, 0, 8, 3, 0, 0, 1, 64, 0, 0, 0, 28, 0, 0, 0, 28};
  write_file_atomically(in.path / "more-idx3-ubyte", head + std::string(set.pixels.begin(), set.pixels.end()));
  train_well(in, {"train", "gan", "--data", "more-idx3-ubyte", "--steps", "2", "--batch", "8", "--out", "b"});
  check_refused(in, {"evaluate", "b"}, "have no labels to train a judge with; bring a network: --features");
  const ChainNet net({14, 14, 1, {1}, {0}}, {{.kind = "avg pool", .size = 2}, {.kind = "flatten"}}, 2, 0);
  save_net(in.path / "pixels.safetensors", net, {});
  const Outcome o = run_well(in, {"evaluate", "b", "--features", "pixels.safetensors"});
  CHECK(o.out.find("32 samples of seed 1 against as many images of the training set, which has none held out") !=
        o.out.npos);
  CHECK(o.out.find("features: pixels.safetensors") != o.out.npos);
  CHECK(o.out.find("left out: classes covered and class divergence") != o.out.npos);
  const auto json = nlohmann::json::parse(read_text(in.path / "b/evaluation.json"));
  CHECK(!json["figures"].contains("classes_covered"));
  CHECK(json["figures"]["judge_frechet_distance"]["samples"] > json["figures"]["judge_frechet_distance"]["real"]);
  check_refused(in, {"evaluate", "b", "--probe"}, "--probe: ");
}

TEST_CASE("evaluation: the probe tells what D's features are worth") {
  const Scratch in;
  Words words = small("dcgan", "a", "28");
  words.insert(words.end(), {"--width", "4"});
  train_well(in, words);
  const Outcome o = run_well(in, {"evaluate", "a", "--probe", "--labels", "100"});
  CHECK(o.out.find("a linear classifier on 100 labelled images") != o.out.npos);
  const auto json = nlohmann::json::parse(read_text(in.path / "a/probe.json"));
  CHECK(json["features"].size() == 5);
  for (const auto& accuracy : json["pixels"]) CHECK(accuracy > 0.3);  // by chance: 0.1
  CHECK(!fs::exists(in.path / "a/evaluation.json"));
  check_refused(in, {"evaluate", "a", "--probe", "--labels", "400"}, "--labels: found 400, expected at most 300");
}
