// Who computes a product on a GPU: the choice among engines, with engines that are none, and the libraries' search.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "engine/files.h"
#ifdef DUEL_CUDA
#include "kernels/gpu/cudnn.h"
#endif
#include "kernels/gpu/library.h"
#include "kernels/gpu/tuner.h"
#include "tests/program.h"

using namespace duel;
using namespace duel::test;
using kernels::Engine;
using kernels::Prefer;
using kernels::Tuner;

namespace {

// What an engine would compute and take. Nothing is run: the trial below knows them by name.
struct Fake {
  std::string name;
  double seconds = 1;
  float offset = 0;  // how far its result is off
  bool fails = false, deterministic = true;
};

struct Bench {
  std::vector<Fake> fakes;
  int results = 0, timings = 0;  // how often one was looked at

  std::vector<Engine> engines() const {
    std::vector<Engine> list;
    for (const Fake& f : fakes) list.push_back({f.name, 0, f.deterministic, {}});
    return list;
  }
  const Fake& of(const Engine& e) const {
    for (const Fake& f : fakes)
      if (f.name == e.name) return f;
    throw std::runtime_error("unknown");
  }
  kernels::Trial trial() {
    return {[this](const Engine& e) {
              ++results;
              if (of(e).fails) throw std::runtime_error("it fell over");
              return std::vector<float>{1 + of(e).offset, -1, 1, -1};
            },
            [this](const Engine& e) {
              ++timings;
              return of(e).seconds;
            }};
  }
  std::string choose(Tuner& tuner, const std::string& key = "conv") {
    const std::vector<Engine> list = engines();
    return list.at(tuner.choose(key, list, trial(), 1e-3)).name;
  }
};

std::string chosen(const std::vector<Fake>& fakes, Prefer prefer = Prefer::fastest, bool deterministic = false) {
  Tuner tuner("here", "");
  tuner.set(prefer, deterministic);
  Bench bench{fakes};
  return bench.choose(tuner);
}

struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("duel-engines-{}", ::getpid());
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
};

struct Variable {
  const char* name;
  std::optional<std::string> before;
  Variable(const char* n, const std::string& value) : name(n) {
    if (const char* old = std::getenv(n)) before = old;
    ::setenv(n, value.c_str(), 1);
  }
  ~Variable() {
    if (before)
      ::setenv(name, before->c_str(), 1);
    else
      ::unsetenv(name);
  }
};

}  // namespace

TEST_CASE("engines: the fastest right one, our own at equal speed") {
  CHECK(chosen({{"own", 2}, {"a", 1.5}, {"b", 1}, {"c", 1.2}}) == "b");
  CHECK(chosen({{"own", 1}, {"a", 0.98}}) == "own");
  CHECK(chosen({{"own", 1}, {"a", 0.96}}) == "a");
  CHECK(chosen({{"own", 1}}) == "own");
  CHECK(chosen({{"own", 9}, {"a", 1}}, Prefer::own) == "own");
  CHECK(chosen({{"own", 1}, {"a", 9}, {"b", 8}}, Prefer::library) == "b");
}

TEST_CASE("engines: one that is wrong or fails is dropped and named") {
  Tuner tuner("here", "");
  tuner.set(Prefer::fastest, false);
  Bench bench{{{"own", 3}, {"wrong", 1, 0.01f}, {"nan", 1, NAN}, {"fails", 1, 0, true}, {"right", 2, 0.0005f}}};
  CHECK(bench.choose(tuner) == "right");
  const auto dropped = tuner.dropped();
  REQUIRE(dropped.size() == 3);
  CHECK(dropped[0] == "conv: fails: it fell over");
  CHECK(dropped[1].starts_with("conv: nan: wrong by inf"));
  CHECK(dropped[2].starts_with("conv: wrong: wrong by 0.01, expected at most 0.001"));
  // Nothing is tried twice.
  const int results = bench.results, timings = bench.timings;
  CHECK(timings == 10);
  CHECK(bench.choose(tuner) == "right");
  CHECK(bench.results == results);
  CHECK(bench.timings == timings);
  tuner.drop("conv", "right", "it fell over later");
  CHECK(bench.choose(tuner) == "own");
  // The same engine at another shape is another matter.
  CHECK(bench.choose(tuner, "matmul") == "right");
  // All are wrong: our own, also where the library is preferred.
  CHECK(chosen({{"own", 3}, {"a", 1, 1}, {"b", 1, 0, true}}, Prefer::library) == "own");
}

TEST_CASE("engines: deterministic ones only, and no choice by time") {
  const std::vector<Fake> fakes{{"own", 9}, {"a", 1, 0, false, false}, {"wrong", 1, 1}, {"b", 3}, {"c", 2}};
  CHECK(chosen(fakes, Prefer::fastest, true) == "own");
  CHECK(chosen(fakes, Prefer::library, true) == "b");
  CHECK(chosen(fakes, Prefer::library, false) == "a");
  CHECK(chosen({{"own", 9, 0, false, false}, {"b", 3}}, Prefer::fastest, true) == "b");
  const std::vector<Fake> none{{"own", 9, 0, false, false}, {"a", 1, 0, false, false}};
  CHECK_THROWS_WITH_AS(chosen(none, Prefer::fastest, true), "conv: none of its kernels is deterministic, expected one",
                       kernels::NotDeterministic);
  CHECK_THROWS_AS(chosen(none, Prefer::own, true), kernels::NotDeterministic);
  // No floating-point atomics anywhere: the sums of our own kernels have one order. The claims of scatter are integers.
  const std::string integers = "atomicCAS(&x[row * length], seen, next)";
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(DUEL_SOURCE_FOLDER) / "kernels")) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".cu" && extension != ".cuh") continue;
    std::string text = read_text(entry.path());
    if (const auto at = text.find(integers); at != text.npos) text.erase(at, integers.size());
    for (const char* word :
         {"atomicAdd", "atomicCAS", "atomicExch", "atomicMax", "atomicMin", " red.", "\"red.", "fetch_add"})
      CHECK_MESSAGE(text.find(word) == text.npos, entry.path().string() << " has " << std::string(word));
  }
}

TEST_CASE("engines: what was measured is kept for the same environment") {
  const Folder folder;
  const fs::path file = folder.path / "deep" / "engines.json";
  const std::vector<Fake> fakes{{"own", 3}, {"a", 1}, {"wrong", 1, 1}};
  const auto choose = [&](const std::string& environment) {
    Tuner tuner(environment, file);
    tuner.set(Prefer::fastest, false);
    Bench bench{fakes};
    CHECK(bench.choose(tuner) == "a");
    CHECK(tuner.dropped().size() == 1);
    return bench.results + bench.timings;
  };
  CHECK(choose("H100, driver 1") == 3 + 10);
  CHECK(choose("H100, driver 1") == 0);
  CHECK(choose("H100, driver 2") == 3 + 10);
  CHECK(choose("H100, driver 1") == 0);  // which the other has kept
  const std::string good = read_text(file);
  int files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(file.parent_path())) ++files;
  CHECK(files == 1);  // nothing temporary is left
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("[1]"), good.substr(0, good.size() / 2),
        std::string(R"({"format": 99, "environments": {}})"), std::string(R"({"format": 1, "environments": [1]})"),
        std::string(R"({"format": 1, "environments": {"H100, driver 1": {"conv": {"a": {"right": "yes"}}}}})"),
        std::string(R"({"format": 1, "environments": {"H100, driver 1": {"conv": [3]}}})"),
        std::string(R"({"format": 1, "environments": {"H100, driver 1": {"conv":
                    {"a": {"right": true, "seconds": -1, "why": ""}}}}})")}) {
    INFO(bad);
    write_file_atomically(file, bad);
    CHECK(choose("H100, driver 1") == 3 + 10);
    CHECK(choose("H100, driver 1") == 0);
  }
}

TEST_CASE("engines: a cache that cannot be written does no harm") {
  const Folder folder;
  const auto chosen_with = [](const fs::path& cache) {
    Tuner tuner("here", cache);
    tuner.set(Prefer::fastest, false);
    Bench bench{{{"own", 3}, {"a", 1}}};
    return bench.choose(tuner);
  };
  for (const char* cache : {"/proc/engines.json", "/dev/null", "/dev/null/engines.json"}) {
    INFO(cache);
    CHECK(chosen_with(cache) == "a");
  }
  CHECK(chosen_with(folder.path) == "a");
  CHECK(fs::is_empty(folder.path));
  CHECK(fs::is_character_file("/dev/null"));
  {
    const Variable home("HOME", "/home/somebody"), none("XDG_CACHE_HOME", "");
    CHECK(kernels::default_tuner_cache() == "/home/somebody/.cache/duel/engines.json");
    const Variable there("XDG_CACHE_HOME", "/cache");
    CHECK(kernels::default_tuner_cache() == "/cache/duel/engines.json");
    const Variable off("DUEL_TUNER_CACHE", "");
    CHECK(kernels::default_tuner_cache().empty());
  }
}

TEST_CASE("engines: where libraries are looked for") {
  const Folder folder;
  const auto package = folder.path / "env/lib/python3.12/site-packages/nvidia/cudnn/lib";
  fs::create_directories(package);
  const Variable environment("VIRTUAL_ENV", (folder.path / "env").string());
  {
    const Variable unset("DUEL_CUDA_LIBRARIES", "");
    const auto folders = kernels::library_folders("cudnn");
    REQUIRE(folders.size() >= 4);
    CHECK(folders[0] == "");
    CHECK(fs::path(folders[2]).filename() == "lib");
    CHECK(std::count(folders.begin(), folders.end(), package.string()) == 1);
    const auto others = kernels::library_folders("cublas");
    CHECK(std::count(others.begin(), others.end(), package.string()) == 0);
  }
  const Variable given("DUEL_CUDA_LIBRARIES", "/nowhere:" + package.string());
  CHECK((kernels::library_folders("cudnn") == std::vector<std::string>{"/nowhere", package.string()}));
  const kernels::Library missing({"libduel_none.so.1", "libduel_none.so.2"}, "cudnn");
  CHECK(!missing);
  CHECK(missing.why() == "libduel_none.so.1 or libduel_none.so.2 not found in /nowhere, " + package.string());
  CHECK_THROWS_AS(missing.find<void (*)()>("f"), std::runtime_error);
  // A file that is no library: the loader's own words, which name it.
  write_file_atomically(package / "libduel_none.so.2", "no library");
  const kernels::Library broken({"libduel_none.so.1", "libduel_none.so.2"}, "cudnn");
  CHECK(!broken);
  CHECK(broken.why().find((package / "libduel_none.so.2").string()) != std::string::npos);
  CHECK(broken.why().find('\n') == std::string::npos);
  // One that every machine has.
  const Variable by_loader("DUEL_CUDA_LIBRARIES", "");
  const kernels::Library c({"libm.so.6"}, "cudnn");
  REQUIRE(c);
  CHECK(kernels::Library({"libduel_none.so.1"}, "cudnn").why().find("nor in") != std::string::npos);
  CHECK(c.find<double (*)(double)>("cos")(0) == 1);
  CHECK(c.path().find("libm.so.6") != std::string::npos);
  CHECK_THROWS_WITH(c.find<void (*)()>("duel_none"), (c.path() + " has no duel_none").c_str());
}

TEST_CASE("engines: the libraries of this machine say their versions") {
  for (auto& [library, function] :
       {std::pair{&kernels::cublas_lt(), "cublasLtGetVersion"}, std::pair{&kernels::cudnn(), "cudnnGetVersion"}}) {
    if (!*library) {
      std::printf("engines: not run: %s\n", library->why().c_str());
      CHECK(library->why() != "");
      continue;
    }
    const std::string version = kernels::version_of(*library, function);
    std::printf("engines: %s %s\n", version.c_str(), library->path().c_str());
    CHECK(version.size() >= 5);
    CHECK(std::stoi(version) >= 9);
    CHECK(std::stoi(version) < 100);
    CHECK(fs::exists(library->path()));
  }
}

#ifdef DUEL_CUDA
// cuDNN makes plans for a GPU that is only described: so its interface is used as it wants to be used, although nothing
// is computed. What each kind of convolution must have at least is an engine for the common cases.
TEST_CASE("engines: cuDNN's plans for a described H100") {
  if (const std::string why = kernels::why_no_cudnn(); !why.empty()) {
    std::printf("engines: not run: cuDNN: %s\n", why.c_str());
    return;
  }
  const std::string h100 = R"({"cudnnVersion": 91900, "schemaVersion": 1, "cudaDeviceId": 0, "deviceVer": 900,
      "driverVer": 13000, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
      "regsPerBlock": 65536, "multiProcessorCount": 132, "warpSize": 32, "totalGlobalMem": 85000000000,
      "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
      "maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048,
      "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1, "smClockRateKHz": 1980000,
      "memClockRateKHz": 2619000, "l2CacheSize": 52428800, "deviceName": "NVIDIA H100 80GB HBM3"})";
  std::optional<kernels::Cudnn> cudnn;
  try {
    cudnn.emplace(h100);
  } catch (const std::exception& e) {  // other versions describe GPUs in other words
    std::printf("engines: not run: %s\n", e.what());
    return;
  }
  const ConvGeometry halving{.n = 64,
                             .xh = 32,
                             .xw = 32,
                             .c = 64,
                             .yh = 16,
                             .yw = 16,
                             .o = 128,
                             .kh = 4,
                             .kw = 4,
                             .stride_h = 2,
                             .stride_w = 2,
                             .pad_top = 1,
                             .pad_left = 1};
  const ConvGeometry same{
      .n = 64, .xh = 28, .xw = 28, .c = 32, .yh = 28, .yw = 28, .o = 32, .kh = 3, .kw = 3, .pad_top = 1, .pad_left = 1};
  ConvGeometry grouped = same, uneven = halving;
  int same_bits = 0, other_bits = 0;
  grouped.groups = 4;
  uneven.xh = uneven.xw = 31;
  for (const auto& [name, g] :
       {std::pair{"halving", halving}, {"same", same}, {"grouped", grouped}, {"uneven", uneven}})
    for (const auto slot : {kernels::ConvSlot::x, kernels::ConvSlot::w, kernels::ConvSlot::y})
      for (const auto& [type, tf32] : {std::pair{DType::f32, false}, {DType::f32, true}, {DType::bf16, false}}) {
        const kernels::ConvCase c{slot, g, type, tf32};
        const std::vector<Engine> engines = cudnn->engines(c);
        INFO(std::string(name), " ", describe(c));
        CHECK(!engines.empty());
        CHECK(engines.size() <= 4);
        for (const Engine& e : engines) {
          CHECK(e.workspace <= std::size_t{256} << 20);
          ++(e.deterministic ? same_bits : other_bits);
        }
        // There is no such GPU here to run it.
        if (!engines.empty()) CHECK_THROWS_AS(engines[0].run({}, {}, {}, {}), std::runtime_error);
      }
  std::printf("engines: cuDNN has %d deterministic and %d other engines for 36 cases\n", same_bits, other_bits);
  CHECK(same_bits > 36);
  CHECK(other_bits > 0);  // they are told apart
  ConvGeometry impossible = halving;
  impossible.yh = 3;  // the last rows of x would be no part of it, nor padding
  CHECK(cudnn->engines({kernels::ConvSlot::y, impossible, DType::f32, false}).empty());
  CHECK_THROWS_AS(kernels::Cudnn(std::string("{}")), std::runtime_error);
}
#endif

TEST_CASE("engines: who convolves is asked for and refused") {
  const Scratch in;
  check_refused(in, training("gan", "x", {"--device", "cpu", "--conv", "cudnn"}),
                "conv cudnn: found device cpu, expected cuda");
  check_refused(in, training("gan", "x", {"--device", "cuda-host", "--conv", "cudnn"}),
                "conv cudnn: found device cuda-host, expected cuda");
  check_refused(in, training("gan", "x", {"--conv", "fast"}), "expected one of: own, cudnn, auto");
  const std::string help = duel_run(in, {"train", "gan", "--help"}).out;
  for (const char* part : {"--conv", "own or cudnn or auto", "--deterministic", "not yet run on a"})
    CHECK(help.find(part) != help.npos);
  // On the CPU there is one way, which is deterministic: the same bytes.
  train_well(in, training("gan", "plain", {"--device", "cpu", "--steps", "3"}));
  train_well(in, training("gan", "same", {"--device", "cpu", "--steps", "3", "--deterministic", "--conv", "auto"}));
  CHECK((checkpoint(in, "plain") == checkpoint(in, "same")));
}
