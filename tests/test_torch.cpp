// State dicts of PyTorch. The files were made by tests/golden_torch/make.py.
#include <doctest/doctest.h>

#include <functional>

#include "engine/error.h"
#include "engine/net.h"
#include "engine/torch_names.h"
#include "models/nets.h"
#include "tests/support.h"

using namespace duel;
using namespace duel::test;

namespace {

TensorFile read(const std::string& name) {
  return read_safetensors(std::string(DUEL_SOURCE_FOLDER) + "/tests/golden_torch/" + name + ".safetensors");
}

// The tensors of one net, without its name.
State state_of(const TensorFile& file, const std::string& net) {
  State out;
  for (const auto& [name, t] : file.tensors)
    if (name.starts_with(net)) out.push_back({name.substr(net.size()), to_tensor(t), Kind::buffer});
  return out;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("torch: a DCGAN answers as it does in PyTorch") {
  const TensorFile weights = from_torch(read("dcgan"), "dcgan"), answers = read("answers");
  Net g = dcgan_generator(64, 3, {.width = 2, .z_dim = 5}), d = dcgan_critic(64, 3, {.width = 2, .norm = true});
  CHECK(g.state().size() == state_of(weights, "G.").size());
  CHECK(d.state().size() == state_of(weights, "D.").size());
  copy_state(g, state_of(weights, "G."));
  copy_state(d, state_of(weights, "D."));
  g.set_training(false);
  d.set_training(false);

  const Tensor z = to_tensor(answers.tensors.at("z")), image = channels_last(to_tensor(answers.tensors.at("image")));
  const auto values = [](const Tensor& t) { return t.to_vector<double>(); };
  const double worst_image = max_difference(values(g(reshape(z, {2, 5}))), values(image));
  const double worst_d =
      max_difference(values(sigmoid(d(image))), values(to_tensor(answers.tensors.at("probability"))));
  MESSAGE("largest differences: image " << worst_image << ", D " << worst_d);
  CHECK(worst_image <= 1e-5);
  CHECK(worst_d <= 1e-5);
}

TEST_CASE("torch: names with and without a net") {
  const TensorFile both = from_torch(read("dcgan"), "dcgan"), g = from_torch(read("generator"), "generator");
  CHECK(g.tensors.size() == 21);  // 5 weights, 4 norms of 4 tensors
  for (const auto& [name, t] : g.tensors) CHECK((both.tensors.at("G." + name).data == t.data));
  CHECK(g.tensors.at("0.weight").shape == std::vector<std::int64_t>{5, 4, 4, 16});
  CHECK(g.tensors.count("1.running_var") == 1);
  CHECK(g.tensors.count("8.weight") == 1);  // main.12

  TensorFile plain;
  for (const auto& [name, t] : read("generator").tensors) plain.tensors["module." + name.substr(5)] = t;
  CHECK(from_torch(plain, "plain").tensors.at("8.weight").data == g.tensors.at("8.weight").data);
}

TEST_CASE("torch: names and nets of another form") {
  const StoredTensor number{DType::f32, {1}, std::vector<std::byte>(4)};
  for (const char* name : {"fc.weight", "weight", "main.0.weight_orig", "main.0.1.weight", "a.b.0.weight", ".0.weight",
                           "main.-1.weight", "main.99999999999.weight"}) {
    TensorFile file;
    file.tensors[name] = number;
    CHECK(error_of([&] { from_torch(file, "some.file"); }).starts_with(fmt::format("some.file: tensor '{}'", name)));
  }
  TensorFile mixed;
  mixed.tensors["0.weight"] = {DType::f32, {1, 1, 1, 1}, std::vector<std::byte>(4)};
  mixed.tensors["2.weight"] = {DType::f32, {1, 1}, std::vector<std::byte>(4)};
  CHECK(error_of([&] { from_torch(mixed, "f"); }).find("2.weight is of a Linear layer") != std::string::npos);
  TensorFile twice;
  twice.tensors["0.weight"] = twice.tensors["main.0.weight"] = number;
  CHECK(error_of([&] { from_torch(twice, "f"); }).find("both stand for 0.weight") != std::string::npos);
}
