// The options of the program that decide what the images of a run are.
#include <doctest/doctest.h>

#include "engine/data/images.h"
#include "engine/pictures/picture.h"
#include "engine/safetensors.h"
#include "tests/program.h"

using namespace duel;
using namespace duel::test;

TEST_CASE("cli: a folder of pictures, and the options that a run keeps") {
  const Scratch in;
  SplitMix64 random{1};
  for (int i = 0; i < 24; ++i) {
    const std::string name = fmt::format("{}/{:02}.png", i % 2 ? "even" : "odd", i);
    Picture picture{9, 10 + i % 3, 3, {}};
    for (std::int64_t k = 0; k < 9 * picture.width * 3; ++k)
      picture.pixels.push_back(static_cast<std::uint8_t>(random.next()));
    fs::create_directories((in.path / "pictures" / name).parent_path());
    save_png(in.path / "pictures" / name, picture);
  }
  const Words base{"train", "gan", "--data", "pictures", "--batch", "4", "--threads", "1", "--out"};
  auto words = [&](const std::string& out, const Words& more) {
    Words w = base;
    w.push_back(out);
    w.insert(w.end(), more.begin(), more.end());
    return w;
  };
  check_refused(in, words("x", {}), "--size");
  check_refused(in, words("x", {"--size", "4097"}), "--size: found '4097'");
  check_refused(in, words("x", {"--size", "8", "--background", "blue"}), "--background: found 'blue'");
  check_refused(in, words("x", {"--size", "8", "--limit", "3"}), "--batch: found 4, expected at most 3");
  write_file_atomically(in.path / "pictures/even/zz.png", "no picture");
  check_refused(in, words("x", {"--size", "8"}), "pictures/even/zz.png: neither PNG nor JPEG");

  const Words kept{"--size", "8", "--flip", "--skip-broken", "--limit", "20", "--background", "black"};
  auto with = [&](Words w) {
    w.insert(w.end(), kept.begin(), kept.end());
    return w;
  };
  const Outcome whole = duel_run(in, words("whole", with({"--steps", "12"})));
  INFO(whole.err);
  CHECK(whole.status == 0);
  CHECK(whole.out.find("20 images 8x8x3") != whole.out.npos);
  train_well(in, words("parts", with({"--steps", "5"})));
  train_well(in, {"train", "gan", "--out", "parts", "--resume", "--steps", "12"});
  CHECK((checkpoint(in, "whole") == checkpoint(in, "parts")));
  train_well(in, words("straight", {"--steps", "12", "--size", "8", "--skip-broken", "--limit", "20"}));
  CHECK((checkpoint(in, "whole") != checkpoint(in, "straight")));
  check_refused(in, words("parts", {"--resume", "--size", "9"}), "--size 8, found --size 9");
  check_refused(in, words("parts", {"--resume", "--limit", "19"}), "--limit 20, found --limit 19");
  check_refused(in, words("parts", {"--resume", "--background", "white"}), "--background #000000, found");
  check_refused(in, words("straight", {"--resume", "--flip"}), "--flip no, found --flip yes");
  train_well(in, words("parts", with({"--resume", "--steps", "13"})));
  const auto config = nlohmann::json::parse(read_text(in.path / "parts/config.json"));
  CHECK(config["options"]["background"] == "#000000");
  CHECK(config["options"]["flip"] == "yes");
  CHECK(read_safetensors(in.path / "parts/checkpoint.safetensors").metadata.at("data.flip") == "yes");

  // All of them, the broken one counted.
  CHECK(duel_run(in, words("all", {"--size", "8", "--skip-broken", "--steps", "1"}))
            .out.find("1 broken image left out, the first: ") != std::string::npos);

  // Decoded anew for every batch: the same images, a run of its own.
  train_well(in, words("stream", with({"--steps", "5", "--stream", "yes"})));
  train_well(in, {"train", "gan", "--out", "stream", "--resume", "--steps", "12"});
  const auto streamed = read_safetensors(in.path / "stream/checkpoint.safetensors"),
             held = read_safetensors(in.path / "whole/checkpoint.safetensors");
  REQUIRE(streamed.tensors.size() == held.tensors.size());
  for (const auto& [name, tensor] : held.tensors) CHECK((streamed.tensors.at(name).data == tensor.data));
  CHECK(streamed.metadata.at("data.digest") != held.metadata.at("data.digest"));
  check_refused(in, words("stream", {"--resume", "--stream", "no"}), "--stream yes, found --stream no");
  check_refused(in, words("x", {"--size", "8", "--skip-broken", "--stream", "perhaps"}),
                "expected one of: auto, no, yes");
}
