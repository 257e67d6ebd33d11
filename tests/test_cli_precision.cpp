// The program's --precision.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "engine/error.h"
#include "engine/precision.h"
#include "engine/safetensors.h"
#include "kernels/matmul.h"
#include "tests/program.h"

namespace duel::test {

TEST_CASE("precision: what a device cannot do is refused") {
  CHECK(choose_precision("f32", Device::cpu) == Precision::f32);
  CHECK(choose_precision("tf32", Device::cuda_host) == Precision::tf32);
  CHECK(choose_precision("bf16", Device::cuda_host) == Precision::bf16);
  CHECK_THROWS_WITH_AS(choose_precision("tf32", Device::cpu),
                       "precision tf32: only a GPU knows it, found device cpu, expected f32", Error);
  CHECK_THROWS_WITH_AS(choose_precision("f16", Device::cuda_host),
                       "precision 'f16' is unknown, expected one of: f32, tf32, bf16", Error);

  const Scratch in;
  check_refused(in, training("gan", "x", {"--precision", "half"}),
                "--precision: found 'half', expected one of: f32, tf32, bf16");
  check_refused(in, training("gan", "x", {"--precision"}), "--precision: expected a value");
  check_refused(in, training("gan", "x", {"--device", "cpu", "--precision", "tf32"}), "precision tf32: only a GPU");
  // An older CPU than any with AMX, as oneDNN sees it.
  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  check_refused(in, training("gan", "x", {"--device", "cpu", "--precision", "bf16"}),
                "precision bf16: this CPU has no AMX to multiply bf16 with, expected f32");
  ::unsetenv("ONEDNN_MAX_CPU_ISA");
  const Words here = training("wgan-gp", "on-cpu", {"--device", "cpu", "--precision", "bf16", "--steps", "2"});
  if (kernels::cpu::has_amx())
    train_well(in, here);
  else
    check_refused(in, here, "this CPU has no AMX");
}

TEST_CASE("precision: a run goes on to the same bytes, keeps its precision and is drawn from in it") {
  const Scratch in;
  const auto steps = [](const char* model, const std::string& precision, const char* out, const char* n) {
    return training(model, out, {"--device", "cuda-host", "--precision", precision, "--threads", "1", "--steps", n});
  };
  for (const std::string precision : {"bf16", "tf32"}) {
    INFO(precision);
    const std::string whole = precision + "-whole", parts = precision + "-parts";
    // Batch norm, averages and clipped weights.
    train_well(in, steps("wgan", precision, whole.c_str(), "5"));
    train_well(in, steps("wgan", precision, parts.c_str(), "2"));
    train_well(in, {"train", "wgan", "--out", parts, "--resume", "--steps", "5"});
    CHECK((checkpoint(in, whole) == checkpoint(in, parts)));
    const TensorFile file = read_safetensors(in.path / parts / "checkpoint.safetensors");
    CHECK(file.metadata.at("precision") == precision);
    for (const auto& [name, t] : file.tensors) CHECK(t.dtype != DType::bf16);
    CHECK(nlohmann::json::parse(read_text(in.path / parts / "config.json"))["options"]["precision"] == precision);
  }
  train_well(in, steps("wgan", "f32", "f32", "5"));
  CHECK(read_safetensors(in.path / "f32/checkpoint.safetensors").metadata.count("precision") == 0);
  CHECK((checkpoint(in, "f32") != checkpoint(in, "tf32-whole")));

  const Words again{"train", "wgan", "--out", "bf16-parts", "--resume", "--steps", "9"};
  const auto with = [](Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  check_refused(in, with(again, {"--precision", "f32"}), "the run has --precision bf16, found --precision f32");
  check_refused(in, with(again, {"--device", "cpu", "--precision", "tf32"}),
                "--precision bf16, found --precision tf32");
  // What a run of a Duel without the option says.
  const fs::path config = in.path / "f32/config.json";
  nlohmann::json old = nlohmann::json::parse(read_text(config));
  old["options"].erase("precision");
  write_file_atomically(config, old.dump());
  const Words older{"train", "wgan", "--out", "f32", "--resume", "--steps", "6"};
  check_refused(in, with(older, {"--precision", "bf16"}), "the run has --precision f32, found --precision bf16");
  train_well(in, with(older, {"--precision", "f32"}));

  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  const auto draw = [&](const std::string& run, const Words& more) {
    const Words words = with({"sample", run, "--count", "8", "--out", run + ".npy"}, more);
    train_well(in, words);
    return read_text(in.path / (run + ".npy"));
  };
  check_refused(in, {"sample", "bf16-parts", "--device", "cpu"}, "precision bf16: this CPU has no AMX");
  check_refused(in, {"sample", "bf16-parts", "--precision", "best"}, "expected one of: run, f32, tf32, bf16");
  const std::string own = draw("bf16-parts", {"--device", "cuda-host"});
  CHECK((own == draw("bf16-parts", {"--device", "cuda-host", "--precision", "bf16"})));
  CHECK((own != draw("bf16-parts", {"--device", "cuda-host", "--precision", "f32"})));
  CHECK(draw("bf16-parts", {"--device", "cpu", "--precision", "f32"}).size() == own.size());
  ::unsetenv("ONEDNN_MAX_CPU_ISA");

  // A weight that is no number is named, though the net reads its copy.
  const fs::path file = in.path / "bf16-parts/checkpoint.safetensors";
  TensorFile bad = read_safetensors(file);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bad.tensors.at("D.0.weight").data.data(), &nan, sizeof nan);
  write_safetensors(file, bad);
  const Outcome o = duel_run(in, again);
  CHECK(o.status == 1);
  CHECK(o.err.find("D.0.weight (4,4,4,1) f32 held nan in 1 of its values before the step") != o.err.npos);
}

}  // namespace duel::test
