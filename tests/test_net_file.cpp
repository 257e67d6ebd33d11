// Nets in files: what is written is read back, PyTorch's layout, and files that lie.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/net_file.h"
#include "engine/safetensors.h"
#include "engine/tape.h"
#include "tests/support.h"

using namespace duel;
using namespace duel::test;

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct TemporaryFile {
  fs::path path = fs::temp_directory_path() / fmt::format("duel-net-{}.safetensors", ::getpid());
  ~TemporaryFile() { fs::remove(path); }
};

StoredTensor stored(const std::vector<std::int64_t>& shape, std::uint64_t seed, double low = -1, double high = 1.5) {
  StoredTensor t{DType::f32, shape, {}};
  set_seed(seed);
  const std::vector<float> v = uniform(Shape(shape), low, high, DType::f32).to_vector<float>();
  t.data.resize(v.size() * sizeof(float));
  std::memcpy(t.data.data(), v.data(), t.data.size());
  return t;
}

const char* const torch_net = R"({"layout": "torch", "features": 7, "classes": 3,
  "input": {"height": 6, "width": 6, "channels": 2, "scale": [2, 4], "shift": [-1, 0.5]},
  "layers": [{"kind": "conv", "stride": 1, "padding": 1}, {"kind": "batch norm", "eps": 0.001},
             {"kind": "leaky relu", "slope": 0.1}, {"kind": "max pool", "size": 2}, {"kind": "flatten"},
             {"kind": "linear"}, {"kind": "tanh"}, {"kind": "linear"}]})";

// The state dict of that nn.Sequential; small weights before the tanh, that it is not saturated.
TensorFile torch_file() {
  TensorFile file;
  file.tensors = {{"0.weight", stored({4, 2, 3, 3}, 1)},
                  {"0.bias", stored({4}, 2)},
                  {"1.weight", stored({4}, 3)},
                  {"1.bias", stored({4}, 4)},
                  {"1.running_mean", stored({4}, 5)},
                  {"1.running_var", stored({4}, 6, 0.1)},
                  {"5.weight", stored({5, 36}, 7, -0.05, 0.05)},
                  {"5.bias", stored({5}, 8)},
                  {"7.weight", stored({3, 5}, 9)},
                  {"7.bias", stored({3}, 10)}};
  file.metadata["duel.net"] = torch_net;
  return file;
}

// Answers what is said of the file, or "" where it is taken.
std::string refused(const TensorFile& file) {
  TemporaryFile at;
  write_safetensors(at.path, file);
  try {
    load_net(at.path);
    return "";
  } catch (const Error& e) {
    const std::string what = e.what(), name = at.path.string();
    CHECK(what.starts_with(name));
    CHECK(what.find('\n') == what.npos);
    CHECK(what.find(name, 1) == what.npos);  // once is enough
    return what;
  }
}
std::string refused(const std::function<void(Json&)>& change) {
  TensorFile file = torch_file();
  Json json = Json::parse(torch_net);
  change(json);
  file.metadata["duel.net"] = json.dump();
  return refused(file);
}

}  // namespace

TEST_CASE("net file: a chain is read back as it was written") {
  const NoGrad off;
  set_seed(3);
  ChainNet net({8, 8, 1, {2}, {-1}},
               {{.kind = "conv", .in = 1, .out = 3, .kernel = 3, .padding = 1, .bias = false},
                {.kind = "batch norm", .in = 3},
                {.kind = "relu"},
                {.kind = "avg pool", .size = 2},
                {.kind = "flatten"},
                {.kind = "linear", .in = 48, .out = 6},
                {.kind = "relu"},
                {.kind = "linear", .in = 6, .out = 4}},
               7, 4);
  const Tensor x = uniform({5, 8, 8, 1}, -1, 1);
  net(x);  // moves the running statistics
  net.net().set_training(false);
  TemporaryFile file;
  save_net(file.path, net, {{"accuracy", "0.5"}});
  const LoadedNet back = load_net(file.path);
  CHECK(back.notes.at("accuracy") == "0.5");
  CHECK(back.net.width() == 6);
  CHECK(back.net.classes() == 4);
  const ChainNet::Answer a = net(x), b = back.net(x);
  CHECK(a.features.shape() == Shape({5, 6}));
  CHECK(a.features.to_vector<double>() == b.features.to_vector<double>());
  CHECK(a.scores.to_vector<double>() == b.scores.to_vector<double>());
  CHECK(min(a.features, {0, 1}).item() >= 0);  // after the ReLU
  CHECK_THROWS_AS(net(uniform({5, 8, 9, 1})), Error);
}

TEST_CASE("net file: PyTorch's layout, its order of a flattened map and its eps") {
  const NoGrad off;
  TemporaryFile at;
  const TensorFile file = torch_file();
  write_safetensors(at.path, file);
  const LoadedNet net = load_net(at.path);
  set_seed(11);
  const Tensor x = uniform({3, 6, 6, 2}, -1, 1, DType::f32);

  // The same in plain ops, channels first where PyTorch has them so.
  const auto tensor = [&](const char* name) { return to_tensor(file.tensors.at(name)); };
  const Tensor scale = from_vector<double>({1, 1, 1, 2}, {2, 4}, DType::f32),
               shift = from_vector<double>({1, 1, 1, 2}, {-1, 0.5}, DType::f32);
  Tensor y = (x + 1.0) / 2 * scale + shift;
  y = conv2d(y, channels_last(tensor("0.weight")), conv_options(1, 1)) + tensor("0.bias");
  y = (y - tensor("1.running_mean")) / sqrt(tensor("1.running_var") + 0.001) * tensor("1.weight") + tensor("1.bias");
  y = max_pool(leaky_relu(y, 0.1), 2);
  y = reshape(permute(y, {0, 3, 1, 2}), {3, 36});
  y = tanh(linear(y, tensor("5.weight"), tensor("5.bias")));
  const ChainNet::Answer a = net.net(x);
  CHECK(max_difference(a.features.to_vector<double>(), y.to_vector<double>()) < 1e-5);
  const Tensor scores = linear(y, tensor("7.weight"), tensor("7.bias"));
  CHECK(max_difference(a.scores.to_vector<double>(), scores.to_vector<double>()) < 1e-5);

  // Written again it is in Duel's layout, and the same net.
  save_net(at.path, net.net, {});
  CHECK(max_difference(load_net(at.path).net(x).scores.to_vector<double>(), a.scores.to_vector<double>()) < 1e-6);
}

TEST_CASE("net file: wrong and hostile files get one line") {
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != text.npos);
  };
  CHECK(refused([](Json&) {}) == "");
  TensorFile file = torch_file();
  file.metadata.clear();
  has(refused(file), "the metadata lack 'duel.net'");
  file.metadata["duel.net"] = "{";
  has(refused(file), "expected a JSON object");
  file.metadata["duel.net"] = std::string(100000, '[');
  has(refused(file), "expected a JSON object");
  has(refused([](Json& j) { j["layers"][0]["kind"] = "conv3d"; }), "layer 1: kind 'conv3d' is unknown");
  has(refused([](Json& j) { j["layers"][0]["stride"] = 0; }), "layer 1: stride is 0, expected a whole number from 1");
  has(refused([](Json& j) { j["layers"][0]["stride"] = "two"; }), "stride is string, expected a number");
  has(refused([](Json& j) { j["layers"][0]["padding"] = 3; }), "layer 1 (conv): stride 1 and padding 3");
  has(refused([](Json& j) { j["layers"][0]["dilation"] = 2; }), "layer 1: field 'dilation' is unknown");
  has(refused([](Json& j) { j["layers"][3]["size"] = 7; }), "layer 4 (max pool): windows of 7, expected 1 to 6");
  has(refused([](Json& j) { j["layers"].erase(4); }), "a flatten is missing");
  has(refused([](Json& j) { j["layers"].erase(7); }), "classes: found 3, expected (5)");
  has(refused([](Json& j) { j["layers"] = Json::array(); }), "no list of 1 to 1000 layers");
  has(refused([](Json& j) { j["layers"].push_back({{"kind", "linear"}}); }), "tensor 4.weight is missing");
  has(refused([](Json& j) { j["features"] = 9; }), "features is 9, expected a whole number from 1 to 8");
  has(refused([](Json& j) {
        j["input"]["channels"] = 3;
        j["input"].erase("scale");
        j["input"].erase("shift");
      }),
      "its tensors are for 2 channels, expected 3");
  has(refused([](Json& j) { j["input"]["height"] = 1e12; }), "height is 1000000000000");
  has(refused([](Json& j) { j["input"]["scale"] = {1}; }), "scale is not a list of 2 numbers");
  has(refused([](Json& j) { j["layout"] = "keras"; }), "layout is 'keras', expected duel or torch");
  file = torch_file();
  file.tensors["0.bias"] = stored({5}, 1);
  has(refused(file), "tensor 0.bias is (5) f32, expected (4) f32");
  file = torch_file();
  file.tensors["9.weight"] = stored({5}, 1);
  has(refused(file), "tensor 4.weight belongs to no layer");
  file = torch_file();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(file.tensors["5.bias"].data.data(), &nan, sizeof nan);
  has(refused(file), "values that are not finite");
  // A map that would fill the memory: 4096 x 4096 x 4096 from a small file.
  file = TensorFile();
  file.tensors["0.weight"] = stored({4096, 1, 1, 1}, 1);
  file.metadata["duel.net"] =
      R"({"input": {"height": 4096, "width": 4096, "channels": 1}, "layers": [{"kind": "conv"}]})";
  has(refused(file), "has more than 67108864 values");
}
