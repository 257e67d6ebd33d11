#include "bench/bench_rows.h"

#include "engine/context.h"

namespace duel {
namespace {

using In = const std::vector<Tensor>&;

constexpr std::int64_t batch = 64;

}  // namespace

// `note` names the place in a net; bench/torch_ops.py times PyTorch on rows of the same titles.
std::vector<OpCase> bench_rows() {
  std::vector<OpCase> t;
  // DCGAN at 64 pixels (Radford et al. 2016), kernel 4, stride 2, padding 1; both nets are the same four layers.
  struct Layer {
    std::int64_t size, in, out;  // of the larger image, its channels, the smaller one's
  };
  const ConvOptions half = conv_options(2, 1), whole = conv_options(1, 0), same = conv_options(1, 1);
  for (const auto& [size, in, out] : {Layer{64, 3, 64}, {32, 64, 128}, {16, 128, 256}, {8, 256, 512}}) {
    t.push_back({"conv2d", "k4 s2", {{batch, size, size, in}, {out, 4, 4, in}}, [half](In x) {
                   return conv2d(x[0], x[1], half);
                 }});
    t.push_back({"conv2d_transpose", "k4 s2", {{batch, size / 2, size / 2, out}, {out, 4, 4, in}}, [half](In x) {
                   return conv2d_transpose(x[0], x[1], half);
                 }});
  }
  // The same with what follows them in the nets.
  t.push_back({"conv2d_then", "k4 s2", {{batch, 64, 64, 3}, {64, 4, 4, 3}, {64}}, [half](In x) {
                 return conv2d(x[0], x[1], half, {.bias = x[2], .act = Act::leaky_relu});
               }});
  t.push_back({"conv2d_then", "k4 s2", {{batch, 16, 16, 128}, {256, 4, 4, 128}, {256}}, [half](In x) {
                 return conv2d(x[0], x[1], half, {.bias = x[2], .act = Act::leaky_relu});
               }});
  t.push_back({"conv2d_transpose_then", "k4 s2", {{batch, 32, 32, 64}, {64, 4, 4, 3}, {3}}, [half](In x) {
                 return conv2d_transpose(x[0], x[1], half, 0, {.bias = x[2], .act = Act::tanh});
               }});
  for (const auto& [size, in, out] : {Layer{32, 64, 128}, {16, 128, 256}})
    t.push_back({"norm", "after k4 s2", {{batch, size / 2, size / 2, out}, {out, 4, 4, in}, {in}, {in}}, [half](In x) {
                   BatchStatistics statistics;
                   Tensor y = conv2d_transpose(x[0], x[1], half, 0, {.statistics = &statistics});
                   return batch_norm(y, x[2], x[3], 1e-5, 0, nullptr, &statistics);
                 }});
  t.push_back({"conv2d", "k4 to 1x1", {{batch, 4, 4, 512}, {1, 4, 4, 512}}, [whole](In x) {
                 return conv2d(x[0], x[1], whole);
               }});
  t.push_back({"conv2d_transpose", "k4 from 1x1", {{batch, 1, 1, 100}, {100, 4, 4, 512}}, [whole](In x) {
                 return conv2d_transpose(x[0], x[1], whole);
               }});
  t.push_back(
      {"conv2d", "k3 s1", {{batch, 32, 32, 64}, {64, 3, 3, 64}}, [same](In x) { return conv2d(x[0], x[1], same); }});
  t.push_back(
      {"conv2d", "k1", {{batch, 16, 16, 128}, {128, 1, 1, 128}}, [whole](In x) { return conv2d(x[0], x[1], whole); }});
  t.push_back({"matmul", "", {{batch, 784}, {784, 1024}}, [](In x) { return matmul(x[0], x[1]); }});
  t.push_back({"matmul", "", {{256, 1024}, {1024, 1024}}, [](In x) { return matmul(x[0], x[1]); }});
  t.push_back({"matmul", "", {{2048, 2048}, {2048, 2048}}, [](In x) { return matmul(x[0], x[1]); }});
  for (const Shape& s : {Shape{batch, 32, 32, 64}, Shape{batch, 8, 8, 256}, Shape{batch, 4, 4, 512}})
    t.push_back({"norm", "batch, leaky ReLU", {s, {s.last()}, {s.last()}}, [](In x) {
                   return batch_norm(x[0], x[1], x[2], 1e-5, 0.2);
                 }});
  const Shape image{batch, 64, 64, 3}, map{batch, 32, 32, 64};
  t.push_back({"norm", "instance", {map, {64}, {64}}, [](In x) { return instance_norm(x[0], x[1], x[2]); }});
  t.push_back({"norm", "layer", {map, {64}, {64}}, [](In x) { return layer_norm(x[0], x[1], x[2]); }});
  t.push_back({"bias_leaky_relu", "", {map, {64}}, [](In x) { return bias_leaky_relu(x[0], x[1], 0.2); }});
  t.push_back({"bias_tanh", "", {image, {3}}, [](In x) { return bias_tanh(x[0], x[1]); }});
  t.push_back({"leaky_relu", "", {map}, [](In x) { return leaky_relu(x[0], 0.2); }});
  t.push_back({"tanh", "", {image}, [](In x) { return tanh(x[0]); }});
  t.push_back({"softplus", "", {{batch, 1}}, [](In x) { return softplus(x[0]); }});
  t.push_back({"add", "", {map, map}, [](In x) { return x[0] + x[1]; }});
  t.push_back({"mul", "by a number for each image", {map, {batch, 1, 1, 1}}, [](In x) { return x[0] * x[1]; }});
  t.push_back({"lerp", "", {image, image, {batch, 1, 1, 1}}, [](In x) { return lerp(x[0], x[1], x[2]); }});
  t.push_back({"norm_per_sample", "", {image}, [](In x) { return norm_per_sample(x[0]); }});
  t.push_back({"sum", "to a number", {map}, [](In x) { return sum(x[0]); }});
  t.push_back({"sum", "to channels", {map}, [](In x) { return sum(x[0], {0, 1, 2}); }});
  t.push_back({"max", "", {{4096, 256}}, [](In x) { return max(x[0], {1}); }});
  t.push_back({"log_softmax", "", {{4096, 256}}, [](In x) { return log_softmax(x[0]); }});
  t.push_back({"permute", "", {map}, [](In x) { return permute(x[0], {0, 3, 1, 2}); }});
  t.push_back({"concat", "", {map, map}, [](In x) { return concat({x[0], x[1]}, 3); }});
  t.push_back({"pixel_shuffle", "", {map}, [](In x) { return pixel_shuffle(x[0], 2); }});
  t.push_back({"max_pool", "", {map}, [](In x) { return max_pool(x[0], 2); }});
  t.push_back({"avg_pool", "", {map}, [](In x) { return avg_pool(x[0], 2); }});
  t.push_back({"bilinear", "", {map}, [](In x) { return bilinear(x[0], 64, 64); }});
  t.push_back({"reflection_pad", "", {map}, [](In x) { return reflection_pad(x[0], 3); }});
  t.push_back({"normal", "", {map}, [](In x) { return normal(x[0].shape(), x[0].dtype()); }, Domain::normal, false});
  return t;
}

}  // namespace duel
