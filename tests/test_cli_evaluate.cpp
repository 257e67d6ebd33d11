// duel evaluate, run as a user runs it.
#include <doctest/doctest.h>

#include "engine/net_file.h"
#include "models/model.h"
#include "tests/program.h"
#include "tools/evaluation/probe.h"

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

TEST_CASE("evaluation: a judge is never tested on what it was trained on") {
  const Scratch in;
  ::setenv("XDG_CACHE_HOME", (in.path / "cache").c_str(), 1);
  fs::create_directories(in.path / "both");
  for (const auto& [name, count] : {std::pair{"train", 320}, std::pair{"t10k", 64}}) {
    const ImageSet set = make_glyphs(count, 3);
    write_file_atomically(in.path / "both" / fmt::format("{}-images-idx3-ubyte", name), idx_images(set));
    write_file_atomically(in.path / "both" / fmt::format("{}-labels-idx1-ubyte", name), idx_labels(set));
  }
  const auto evaluated = [&](const std::string& data, const std::string& run) {
    train_well(in, {"train", "gan", "--data", data, "--size", "12", "--steps", "2", "--batch", "8", "--out", run});
    return run_well(in, {"evaluate", run}).out;
  };
  CHECK(evaluated("both", "a").find("judge: kept in") != std::string::npos);
  // The same images, none of them held out: a tenth of them is now, and this judge has to do without.
  const std::string out = evaluated("both/train-images-idx3-ubyte", "b");
  CHECK(out.find("images of the training set, which has none held out") != out.npos);
  CHECK(out.find("judge: kept in") != out.npos);
}

TEST_CASE("evaluation: images without labels, and a network of one's own") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "2"}));
  check_refused(in, {"evaluate", "a"}, "expected 160 or more");
  // 320 of them, in a folder that holds none out.
  write_file_atomically(in.path / "more-idx3-ubyte", idx_images(make_glyphs(320, 3)));
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
  // One that tells classes apart gives its features alone, where there are no labels to compare with.
  const ChainNet scores({14, 14, 1, {1}, {0}},
                        {{.kind = "avg pool", .size = 2}, {.kind = "flatten"}, {.kind = "linear", .in = 49, .out = 10}},
                        2, 10);
  save_net(in.path / "scores.safetensors", scores, {});
  run_well(in, {"evaluate", "b", "--features", "scores.safetensors"});
  const auto again = nlohmann::json::parse(read_text(in.path / "b/evaluation.json"));
  CHECK(again["figures"] == json["figures"]);
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
  // A D that computes with groups of images, one of residual blocks, and one that grows.
  Words groups = small("dcgan", "b", "28");
  groups.insert(groups.end(), {"--width", "4", "--minibatch-stddev", "4"});
  train_well(in, groups);
  run_well(in, {"evaluate", "b", "--probe", "--labels", "20"});
  Words growing = small("dcgan", "c", "28");
  growing.insert(growing.end(), {"--width", "4", "--grow", "1"});
  train_well(in, growing);
  check_refused(in, {"evaluate", "c", "--probe", "--labels", "20"}, "--probe: D of dcgan grows");
  const DataShape image{28, 28, 1, 0};
  const ModelInfo& r3gan = find_model("r3gan");
  const auto model = r3gan.make(image, Settings(r3gan.settings, {{"width", "8"}}));
  // 4x4 cells of 8, 16 and 32 channels, each after a residual block and, but for the first, the 1x1 before it.
  const ImageSet some = make_glyphs(3, 3);
  CHECK(DiscriminatorFeatures("r3gan", *model, image)(some).width >= 16 * (8 + 16 + 32));
}
