// duel interpolate, arithmetic and inspect, and train --init.
#include <doctest/doctest.h>
#include <png.h>

#include <cstring>

#include "engine/safetensors.h"
#include "tests/program.h"
#include "tests/support.h"

using namespace duel;
using namespace duel::test;

namespace {

struct Image {
  std::int64_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
  bool operator==(const Image&) const = default;

  Image part(std::int64_t left, std::int64_t top, std::int64_t w, std::int64_t h) const {
    Image out{w, h, {}};
    for (std::int64_t y = top; y < top + h; ++y)
      for (std::int64_t x = left; x < left + w; ++x)
        out.pixels.push_back(pixels.at(static_cast<std::size_t>(y * width + x)));
    return out;
  }
};
Image read_png(const fs::path& path) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&png, path.c_str()) != 0);
  png.format = PNG_FORMAT_GRAY;
  Image out{png.width, png.height, std::vector<std::uint8_t>(PNG_IMAGE_SIZE(png))};
  REQUIRE(png_image_finish_read(&png, nullptr, out.pixels.data(), 0, nullptr) != 0);
  return out;
}

void run_well(const Scratch& in, const Words& words, const std::string& said = "") {
  const Outcome o = duel_run(in, words);
  INFO(o.out, o.err);
  CHECK(o.status == 0);
  CHECK(o.out.find(said) != o.out.npos);
}

std::vector<double> tensor(const fs::path& file, const std::string& name) {
  return to_tensor(read_safetensors(file).tensors.at(name)).to_vector<double>();
}

}  // namespace

TEST_CASE("interpolate: ends, middle, sweep and animation") {
  const Scratch in;
  train_well(in, training("wgan-gp", "a", {"--steps", "2"}));
  constexpr std::int64_t cell = 56, step = 58;  // 28 pixels twice, and a gap
  auto walk = [&](const std::string& mode, const Words& more) {
    Words words{"interpolate", "a", "--mode", mode, "--rows", "2", "--steps", "3", "--out", mode + ".png"};
    words.insert(words.end(), more.begin(), more.end());
    run_well(in, words, "2 " + mode + " walks of 3");
    return read_png(in.path / (mode + ".png"));
  };
  const Image line = walk("linear", {"--from", "3", "--to", "4"}),
              arc = walk("spherical", {"--from", "3", "--to", "4"});
  CHECK(line.width == 3 * step - 2);
  CHECK(line.height == 2 * step - 2);
  // The walks begin and end at samples of these seeds, in the samples' order.
  for (const char* seed : {"3", "4"}) {
    run_well(in, {"sample", "a", "--seed", seed, "--count", "4", "--out", "s.png"});
    const Image samples = read_png(in.path / "s.png");  // 2 x 2
    const std::int64_t left = seed[0] == '3' ? 0 : 2 * step;
    for (const Image& x : {line, arc}) {
      CHECK((x.part(left, 0, cell, cell) == samples.part(0, 0, cell, cell)));
      CHECK((x.part(left, step, cell, cell) == samples.part(step, 0, cell, cell)));
    }
  }
  CHECK_FALSE((line.part(step, 0, cell, cell) == arc.part(step, 0, cell, cell)));
  const Image sweep = walk("sweep", {"--coordinate", "7"});
  CHECK_FALSE((sweep.part(0, 0, cell, cell) == sweep.part(2 * step, 0, cell, cell)));

  run_well(in, {"interpolate", "a", "--rows", "2", "--steps", "3", "--from", "3", "--to", "4", "--out", "w.apng"},
           "there and back");
  CHECK((read_png(in.path / "w.apng").part(0, 0, cell, cell) == line.part(0, 0, cell, cell)));
  const std::string bytes = read_text(in.path / "w.apng");
  CHECK(bytes.substr(37, 4) == "acTL");
  CHECK(bytes.substr(41, 4) == std::string("\0\0\0\4", 4));
  run_well(in, {"interpolate", "a", "--rows", "2", "--steps", "3", "--from", "3", "--to", "4", "--out", "w.png",
                "--animate"});
  CHECK((read_text(in.path / "w.png") == bytes));

  check_refused(in, {"interpolate"}, "expected the folder of a run");
  check_refused(in, {"interpolate", "a", "--mode", "curved"}, "--mode: found 'curved'");
  check_refused(in, {"interpolate", "a", "--steps", "1"}, "--steps: found '1'");
  check_refused(in, {"interpolate", "a", "--mode", "sweep", "--coordinate", "8"}, "found 8, expected 0 to 7");
  check_refused(in, {"interpolate", "a", "--coordinate", "1"}, "--coordinate: is for --mode sweep");
  check_refused(in, {"interpolate", "a", "--mode", "sweep", "--to", "1"}, "--to: a sweep");
  check_refused(in, {"interpolate", "a", "--out", "w.gif"}, "expected a name that ends in .png or .apng");
  check_refused(in, {"interpolate", "a", "--out", "nowhere/w.png"}, "nowhere is no folder");
}

TEST_CASE("arithmetic: sums of saved latent vectors") {
  const Scratch in;
  train_well(in, training("wgan-gp", "a", {"--steps", "2"}));
  run_well(in, {"sample", "a", "--count", "10", "--save-latents", "z.safetensors", "--out", "s.png"});
  const std::vector<double> z = tensor(in.path / "z.safetensors", "z");
  REQUIRE(z.size() == 80);
  auto compute = [&](const std::string& text, const Words& more = {}) {
    Words words{"arithmetic",    "a",     "--latents", "z.safetensors", "--expression", text, "--save-latents",
                "r.safetensors", "--out", "r.png"};
    words.insert(words.end(), more.begin(), more.end());
    run_well(in, words);
    return tensor(in.path / "r.safetensors", "z");
  };
  const std::vector<double> sum = compute("mean(0,3, 7)- mean(1,2)+0.5*8 - 2 * mean(4)");
  for (std::size_t i = 0; i < 8; ++i) {
    auto at = [&](std::size_t row) { return z[row * 8 + i]; };
    CHECK(sum.at(i) == doctest::Approx((at(0) + at(3) + at(7)) / 3 - (at(1) + at(2)) / 2 + at(8) / 2 - 2 * at(4)));
  }
  CHECK(compute("-5").at(3) == -z[43]);
  // One operand, '=', and 3 x 3 images; without noise all are the sample itself.
  compute("0", {"--noise", "0"});
  const Image picture = read_png(in.path / "r.png"), samples = read_png(in.path / "s.png");
  CHECK(picture.width == 56 + 28 + 3 * 58 - 2);
  for (const auto& [left, top] : {std::pair{0, 58}, {84, 0}, {84 + 116, 116}})
    CHECK((picture.part(left, top, 56, 56) == samples.part(0, 0, 56, 56)));
  compute("0", {"--noise", "0.5"});
  const Image noisy = read_png(in.path / "r.png");
  CHECK((noisy.part(84 + 58, 58, 56, 56) == samples.part(0, 0, 56, 56)));
  CHECK_FALSE((noisy.part(84, 0, 56, 56) == samples.part(0, 0, 56, 56)));

  const std::pair<const char*, const char*> bad[] = {
      {"", "the end at character 1, expected an index or mean(...)"},
      {"0 +", "the end at character 4, expected an index or mean(...)"},
      {"0 1", "'1' at character 3, expected + or - or the end"},
      {"mean(0,1", "the end at character 9, expected , or )"},
      {"mean 0", "'0' at character 6, expected ("},
      {"mean()", "')' at character 6, expected an index"},
      {"1.5 + 2", "'1.5 + 2' at character 1, expected an index"},
      {"0 + median(1)", "'median(1)' at character 5, expected an index or mean(...)"},
      {"mean(0, 10)", "index 10 at character 9, expected 0 to 9"},
      {"99999999999999999999", "index 99999999999999999999 at character 1, expected 0 to 9"},
      {"2*-3", "'-3' at character 3, expected an index"}};
  for (const auto& [text, said] : bad)
    check_refused(in, {"arithmetic", "a", "--latents", "z.safetensors", "--expression", text}, said);
  check_refused(in, {"arithmetic", "a", "--expression", "0"}, "expected --latents");
  check_refused(in, {"arithmetic", "a", "--latents", "z.safetensors"}, "expected --expression");
  check_refused(in, {"arithmetic", "a", "--latents", "a/checkpoint.safetensors", "--expression", "0"},
                "tensor z is missing");
  train_well(in, training("wgan-gp", "b", {"--steps", "1", "--z-dim", "9"}));
  check_refused(in, {"arithmetic", "b", "--latents", "z.safetensors", "--expression", "0"}, "f32 rows of 9 numbers");
  check_refused(in, {"sample", "a", "--save-latents", "z.npy"}, "expected a name that ends in .safetensors");
}

TEST_CASE("inspect: what a file holds") {
  const Scratch in;
  TensorFile file;
  const float values[] = {1, -2, 4, std::numeric_limits<float>::infinity()};
  file.tensors["net.10.weight"] = {DType::f32, {2, 2}, std::vector<std::byte>(16)};
  std::memcpy(file.tensors["net.10.weight"].data.data(), values, 16);
  file.tensors["net.9.weight"] = {DType::u8, {0}, {}};
  file.metadata["note"] = "two\nlines";
  write_safetensors(in.path / "f.safetensors", file);
  const Outcome o = duel_run(in, {"inspect", "f.safetensors"});
  CHECK(o.status == 0);
  for (const char* said : {"f32    (2,2)", "-2             1             4  1 not finite",
                           "2 tensors, 4 numbers, 16 bytes", "note = two\\x0alines"})
    CHECK_MESSAGE(o.out.find(said) != o.out.npos, o.out);
  CHECK(o.out.find("net.9.weight") < o.out.find("net.10.weight"));
  train_well(in, training("gan", "a", {"--steps", "1"}));
  run_well(in, {"inspect", "a"}, "duel.checkpoint = 1");
  check_refused(in, {"inspect"}, "expected a file");
  check_refused(in, {"inspect", "text"}, "text: ");
  check_refused(in, {"inspect", "missing"}, "missing");
}

TEST_CASE("init: weights of another run and of PyTorch") {
  const Scratch in;
  train_well(in, training("dcgan", "a", {"--steps", "3"}));
  const fs::path a = in.path / "a/checkpoint.safetensors";
  // A rate that leaves the weights where they are, so that they can be found again.
  auto begin = [&](const std::string& out, const std::string& init, const std::string& said) {
    run_well(in, training("dcgan", out, {"--init", init, "--steps", "1", "--lr", "1e-8", "--seed", "9"}), said);
    return in.path / out / "checkpoint.safetensors";
  };
  const fs::path b = begin("b", "a", " 0 of the model begin as they are drawn");
  for (const char* name : {"G.0.weight", "G.3.bias", "D.2.weight"})
    CHECK(max_difference(tensor(a, name), tensor(b, name)) < 1e-6);
  CHECK(nlohmann::json::parse(read_text(in.path / "b/config.json"))["options"]["init"] == (in.path / "a").string());
  run_well(in, {"train", "dcgan", "--out", "b", "--resume", "--steps", "2"});

  // G as PyTorch would have saved it: no net's name, indices with gaps, channels first.
  TensorFile torch;
  for (const auto& [name, t] : read_safetensors(a).tensors) {
    if (!name.starts_with("G.")) continue;
    StoredTensor stored = t;
    if (t.shape.size() == 4) {
      const Tensor moved = permute(to_tensor(t), {0, 3, 1, 2});
      stored.shape.assign(moved.shape().begin(), moved.shape().end());
      std::memcpy(stored.data.data(), moved.to_vector<float>().data(), stored.data.size());
    }
    torch.tensors[fmt::format("main.{}{}", 2 * (name[2] - '0'), name.substr(3))] = stored;
  }
  write_safetensors(in.path / "g.safetensors", torch);
  const fs::path c = begin("c", "g.safetensors", "init: 11 tensors from");
  CHECK(max_difference(tensor(a, "G.2.weight"), tensor(c, "G.2.weight")) < 1e-6);
  CHECK(max_difference(tensor(a, "G.2.weight"), tensor(c, "G_ema.2.weight")) < 1e-6);
  CHECK(max_difference(tensor(a, "D.0.weight"), tensor(c, "D.0.weight")) > 1e-3);

  const std::string golden = std::string(DUEL_SOURCE_FOLDER) + "/tests/golden_torch/";
  check_refused(in, training("dcgan", "x", {"--init", golden + "generator.safetensors"}),
                "0.weight is (5,4,4,16) f32, expected (8,7,7,8) f32");
  check_refused(in, training("dcgan", "x", {"--init", golden + "dcgan.safetensors"}),
                "tensor G.0.weight is (5,4,4,16) f32");
  check_refused(in, training("dcgan", "x", {"--init", golden + "answers.safetensors"}), "tensor 'image'");
  check_refused(in, training("dcgan", "x", {"--init", "a", "--width", "8"}), "expected (8,7,7,16)");
  check_refused(in, training("dcgan", "x", {"--init", "missing"}), "missing");
  check_refused(in, training("dcgan", "b", {"--init", "a", "--resume"}), "leave out --init or --resume");
}
