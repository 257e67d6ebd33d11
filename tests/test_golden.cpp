// Every op and four training runs against PyTorch in f64 (golden/README.md says what the files hold).
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/context.h"
#include "engine/device.h"
#include "engine/optim.h"
#include "engine/tape.h"
#include "losses/adversarial.h"
#include "losses/penalty.h"
#include "tests/both_devices.h"

namespace duel::test {
namespace {

using Inputs = std::map<std::string, Tensor>;
using Function = std::function<Tensor(const Inputs&, const nlohmann::json&)>;

ConvOptions options_of(const nlohmann::json& p) { return conv_options(p["stride"], p["padding"]); }

const std::map<std::string, Function>& functions() {
  static const auto one = [](Tensor (*f)(const Tensor&)) {
    return [f](const Inputs& in, const nlohmann::json&) { return f(in.at("x")); };
  };
  static const std::map<std::string, Function> table{
      {"conv2d",
       [](const Inputs& in, const nlohmann::json& p) { return conv2d(in.at("x"), in.at("w_"), options_of(p)); }},
      {"conv_transpose2d",
       [](const Inputs& in, const nlohmann::json& p) {
         return conv2d_transpose(in.at("x"), in.at("w_"), options_of(p), p["output_padding"].get<std::int64_t>());
       }},
      {"batch_norm",
       [](const Inputs& in, const nlohmann::json& p) {
         return batch_norm(in.at("x"), in.at("gamma"), in.at("beta"), p["eps"]);
       }},
      {"instance_norm",
       [](const Inputs& in, const nlohmann::json& p) {
         return instance_norm(in.at("x"), in.at("gamma"), in.at("beta"), p["eps"]);
       }},
      {"layer_norm_chw",
       [](const Inputs& in, const nlohmann::json& p) {
         return layer_norm(in.at("x"), in.at("gamma"), in.at("beta"), p["eps"]);
       }},
      {"group_norm",
       [](const Inputs& in, const nlohmann::json& p) {
         return group_norm(in.at("x"), p["groups"], in.at("gamma"), in.at("beta"), p["eps"]);
       }},
      {"relu", one(relu)},
      {"leaky_relu_0.2", [](const Inputs& in, const nlohmann::json&) { return leaky_relu(in.at("x"), 0.2); }},
      {"tanh", one(tanh)},
      {"sigmoid", one(sigmoid)},
      {"softplus", one(softplus)},
      {"elu", one(elu)},
      {"silu", one(silu)},
      {"gelu", one(gelu)},
      {"exp", one(exp)},
      {"square", one(square)},
      {"log_softmax", one(log_softmax)},
      {"softmax", one(softmax)},
      {"logsumexp", one(logsumexp)},
      {"l2_norm_rows", one(norm_per_sample)},
      {"var_rows", [](const Inputs& in, const nlohmann::json&) { return variance(in.at("x"), {1}); }},
      {"bce_with_logits",
       [](const Inputs& in, const nlohmann::json&) { return bce_with_logits(in.at("x"), sigmoid(in.at("t"))); }},
      {"linear", [](const Inputs& in, const nlohmann::json&) { return linear(in.at("x"), in.at("w"), in.at("b")); }},
      {"pixel_shuffle_2", [](const Inputs& in, const nlohmann::json&) { return pixel_shuffle(in.at("x"), 2); }},
      {"upsample_nearest_2", [](const Inputs& in, const nlohmann::json&) { return upsample_nearest(in.at("x"), 2); }},
      {"avg_pool_2", [](const Inputs& in, const nlohmann::json&) { return avg_pool(in.at("x"), 2); }},
      {"max_pool_2", [](const Inputs& in, const nlohmann::json&) { return max_pool(in.at("x"), 2); }},
      {"reflection_pad_3", [](const Inputs& in, const nlohmann::json&) { return reflection_pad(in.at("x"), 3); }},
      {"bilinear_2",
       [](const Inputs& in, const nlohmann::json&) {
         return bilinear(in.at("x"), 2 * in.at("x").dim(1), 2 * in.at("x").dim(2));
       }},
  };
  return table;
}

struct Case {
  TensorFile* file;
  std::string name;
  Tensor get(const std::string& tensor) const {
    return detach(channels_last(to_tensor(file->tensors.at(name + "/" + tensor))));
  }
  bool has(const std::string& tensor) const { return file->tensors.count(name + "/" + tensor) > 0; }
  // |ours - theirs| / (1 + max|theirs|)
  double error(const std::string& tensor, const Tensor& ours) const {
    const std::vector<double> theirs = get(tensor).to_vector<double>();
    return max_difference(ours ? ours.to_vector<double>() : std::vector<double>(theirs.size(), 0.0), theirs) /
           (1 + max_abs(theirs));
  }
};

void check_case(const Case& c, const Function& f, const nlohmann::json& parameters) {
  Inputs inputs;
  std::vector<std::string> names;
  std::vector<Tensor> xs;
  const std::string prefix = c.name + "/u_";
  for (const auto& [key, value] : c.file->tensors)
    if (key.rfind(prefix, 0) == 0) {
      names.push_back(key.substr(prefix.size()));
      inputs[names.back()] = c.get(names.back());
      xs.push_back(inputs[names.back()]);
    }
  REQUIRE(!xs.empty());
  Tensor y = f(inputs, parameters), v = c.get("v");
  CHECK_MESSAGE(c.error("y", y) <= 1e-9, c.name << " y");
  std::vector<Tensor> g = grad(y, xs, keep_graph, v);
  Tensor s = full({}, 0, DType::f64);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    CHECK_MESSAGE(c.error("grad_" + names[i], g[i]) <= 1e-9, c.name << " grad_" << names[i]);
    if (g[i]) s = s + sum(g[i] * c.get("u_" + names[i]));
  }
  xs.push_back(v);
  names.push_back("v");
  std::vector<Tensor> second = grad(s, xs);
  for (std::size_t i = 0; i < xs.size(); ++i)
    CHECK_MESSAGE(c.error("second_" + names[i], second[i]) <= 1e-9, c.name << " second_" << names[i]);
}

// The small nets of the training runs, by PyTorch's parameter names. Weights, statistics and losses are of type
// `state`, images, activations and the weights that meet them of type `compute`.
struct Run {
  TensorFile file;
  DType state, compute;
  std::string kind;
  std::map<std::string, Tensor> p;
  State g_state, d_state;

  Run(const std::string& path, DType s, DType c)
      : file(read_safetensors(path)), state(s), compute(c), kind(file.metadata.at("kind")) {
    for (const auto& [key, value] : file.tensors)
      if (key.rfind("init/", 0) == 0) {
        const std::string name = key.substr(5);
        p[name] = detach(convert(channels_last(to_tensor(value)), state));
        if (name.find("running") == std::string::npos)
          (name[0] == 'G' ? g_state : d_state).push_back({name, p[name], Kind::parameter});
      }
  }
  Tensor input(const std::string& key) const {
    return detach(convert(channels_last(to_tensor(file.tensors.at("in/" + key))), compute));
  }
  Tensor weight(const std::string& name) const { return convert(p.at(name), compute); }
  Tensor norm(const std::string& name, const Tensor& x, double slope) const {
    RunningStatistics running{p.at(name + ".running_mean"), p.at(name + ".running_var")};
    return batch_norm(x, weight(name + ".weight"), weight(name + ".bias"), 1e-5, slope, &running);
  }
  Tensor generator(const Tensor& z) const {
    Tensor h = reshape(z, {z.dim(0), 1, 1, z.dim(1)});
    h = norm("G.n0", conv2d_transpose(h, weight("G.t0.weight"), conv_options(1, 0)), 0);
    h = norm("G.n1", conv2d_transpose(h, weight("G.t1.weight"), conv_options(2, 1)), 0);
    return bias_tanh(conv2d_transpose(h, weight("G.t2.weight"), conv_options(2, 1)), weight("G.t2.bias"));
  }
  Tensor critic(const Tensor& x) const {
    Tensor h = bias_leaky_relu(conv2d(x, weight("D.c1.weight"), conv_options(2, 1)), weight("D.c1.bias"), 0.2);
    h = conv2d(h, weight("D.c2.weight"), conv_options(2, 1));
    h = kind == "dcgan" ? norm("D.n2", h + weight("D.c2.bias"), 0.2) : bias_leaky_relu(h, weight("D.c2.bias"), 0.2);
    h = bias_leaky_relu(conv2d(h, weight("D.out.weight"), conv_options(1, 0)), weight("D.out.bias"), 1);
    return convert(reshape(h, {x.dim(0)}), state);
  }
  std::unique_ptr<Optimizer> optimizer(const State& s) const {
    if (kind == "wgan") return std::make_unique<Rmsprop>(s, RmspropOptions{.lr = 1e-3, .alpha = 0.99, .eps = 1e-8});
    if (kind == "dcgan") return std::make_unique<Adam>(s, AdamOptions{.lr = 2e-3, .beta1 = 0.5, .beta2 = 0.999});
    return std::make_unique<Adam>(s, AdamOptions{.lr = 1e-3, .beta1 = 0, .beta2 = 0.9});
  }
  Tensor critic_loss(const std::string& at) const {
    const Critic d = [this](const Tensor& x) { return critic(x); };
    Tensor x = input(at + "/x"), fake = detach(generator(input(at + "/z")));
    Tensor d_real = d(x), d_fake = d(fake);
    if (kind == "dcgan") return logistic_discriminator(d_real, d_fake);
    if (kind == "r1") return logistic_discriminator(d_real, d_fake) + r1_penalty(d, x, 10);
    Tensor loss = wasserstein_critic(d_real, d_fake);
    if (kind == "wgan") return loss;
    return loss + gradient_penalty_at(d, detach(lerp(fake, x, input(at + "/eps"))), 10);
  }
  Tensor generator_loss(const std::string& at) const {
    Tensor d_fake = critic(generator(input(at + "/z")));
    return kind == "dcgan" || kind == "r1" ? non_saturating_generator(d_fake) : wasserstein_generator(d_fake);
  }
};

// The largest |ours - theirs| / max |theirs| over all losses of the run.
struct Outcome {
  std::vector<double> losses, theirs;
  double worst() const { return max_difference(losses, theirs) / max_abs(theirs); }
};
Outcome train(Run& run) {
  Outcome o;
  const int iterations = std::stoi(run.file.metadata.at("iters")),
            n_critic = std::stoi(run.file.metadata.at("n_critic"));
  auto opt_g = run.optimizer(run.g_state), opt_d = run.optimizer(run.d_state);
  for (int i = 0; i < iterations; ++i) {
    const std::string at = std::to_string(i) + "/";
    for (int j = 0; j < n_critic; ++j) {
      Tensor loss = run.critic_loss(at + std::to_string(j));
      o.losses.push_back(loss.item());
      opt_d->step(grad(loss, tensors(run.d_state)));
      if (run.kind == "wgan") clip_values(tensors(run.d_state), -0.05, 0.05);
    }
    Tensor loss = run.generator_loss(at + "g");
    o.losses.push_back(loss.item());
    opt_g->step(grad(loss, tensors(run.g_state)));
  }
  o.theirs = to_tensor(run.file.tensors.at("losses")).to_vector<double>();
  return o;
}

void check_run(const std::string& path) {
  Run run(path, DType::f64, DType::f64);
  INFO(run.kind);
  const Outcome o = train(run);
  CHECK(max_difference(o.losses, o.theirs) <= 1e-8 * (1 + max_abs(o.theirs)));
  int finals = 0;
  for (const auto& [key, value] : run.file.tensors) {
    if (key.rfind("final/", 0) != 0) continue;
    const std::vector<double> expected = channels_last(to_tensor(value)).to_vector<double>();
    CHECK_MESSAGE(
        max_difference(run.p.at(key.substr(6)).to_vector<double>(), expected) <= 1e-8 * (1 + max_abs(expected)), key);
    ++finals;
  }
  CHECK(finals == static_cast<int>(run.p.size()));
}

std::vector<std::string> run_files() {
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(golden_folder()))
    if (file.path().filename().string().starts_with("train_")) files.push_back(file.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

GPU_TEST("training: golden runs") {
  for (const std::string& file : run_files()) {
    Run f32(file, DType::f32, DType::f32), bf16(file, DType::f32, DType::bf16);
    INFO(f32.kind);
    const Outcome exact = train(f32), rounded = train(bf16);
    REQUIRE(exact.losses.size() == exact.theirs.size());
    double worst = 0;  // of each loss, relative to itself
    for (std::size_t i = 0; i < exact.losses.size(); ++i) {
      const double error = std::abs(exact.losses[i] - exact.theirs[i]) / std::abs(exact.theirs[i]);
      CHECK(error <= 1e-4);
      worst = std::max(worst, error);
    }
    // A Wasserstein loss is a small difference of large means, which bf16 rounds: that of wgan by a tenth.
    CHECK(rounded.worst() <= (bf16.kind == "wgan" ? 0.2 : 0.02));
    std::printf("%s: golden %-8s every loss in f32 within %.2g; in bf16 %.3f of the largest loss\n", name_of(device),
                f32.kind.c_str(), worst, rounded.worst());
  }
}

TEST_CASE("golden: op cases and training runs") {
  const std::filesystem::path folder = golden_folder();
  TensorFile ops = read_safetensors(folder / "ops.safetensors");
  int cases = 0, runs = 0;
  for (const auto& [name, text] : ops.metadata) {
    const std::string op = name.substr(0, name.find('/'));
    REQUIRE_MESSAGE(functions().count(op) > 0, "unknown case " << name);
    check_case({&ops, name}, functions().at(op), nlohmann::json::parse(text));
    ++cases;
  }
  for (const auto& [name, tensor] : ops.tensors)
    REQUIRE_MESSAGE(ops.metadata.count(name.substr(0, name.rfind('/'))) > 0, "tensor without a case: " << name);
  for (const std::string& file : run_files()) {
    check_run(file);
    ++runs;
  }
  CHECK(runs >= 4);
  MESSAGE("golden: " << cases << " op cases, " << runs << " training runs");
  std::printf("golden: %d op cases, %d training runs\n", cases, runs);
}

}  // namespace duel::test
