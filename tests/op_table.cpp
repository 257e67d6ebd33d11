#include "tests/op_table.h"

#include "engine/bf16_copy.h"
#include "engine/context.h"
#include "engine/tape.h"

namespace duel {
namespace {

using In = const std::vector<Tensor>&;
using Rows = std::vector<OpCase>;

Tensor indices(const std::vector<int>& values) {
  return from_vector(Shape{static_cast<std::int64_t>(values.size())}, values, DType::i32);
}

void elementwise(Rows& t) {
  const std::vector<std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)>> two{
      {"add", add}, {"sub", sub}, {"mul", mul}, {"minimum", minimum}, {"maximum", maximum}};
  const std::vector<std::pair<const char*, std::vector<Shape>>> pairs{{"same", {{3, 5}, {3, 5}}},
                                                                      {"channels", {{2, 3, 2, 5}, {5}}},
                                                                      {"scalar", {{}, {7, 3}}},
                                                                      {"both stretch", {{4, 1, 3}, {1, 5, 1}}}};
  for (const auto& [name, f] : two)
    for (const auto& [note, shapes] : pairs) t.push_back({name, note, shapes, [f = f](In x) { return f(x[0], x[1]); }});
  for (const auto& [note, shapes] : pairs)
    t.push_back({"div", note, shapes, [](In x) { return x[0] / x[1]; }, Domain::positive});
  const std::vector<std::pair<const char*, Tensor (*)(const Tensor&)>> one{
      {"exp", exp},         {"square", square},   {"abs", abs},          {"sin", sin},
      {"cos", cos},         {"erf", erf},         {"elu", elu},          {"leaky_relu", relu},
      {"tanh", duel::tanh}, {"sigmoid", sigmoid}, {"softplus", softplus}};
  for (const auto& [name, f] : one)
    for (const Shape& s : {Shape{7, 3}, Shape{1}, Shape{2, 3, 5, 1}})
      t.push_back({name, "", {s}, [f = f](In x) { return f(x[0]); }});
  const std::vector<std::pair<const char*, Tensor (*)(const Tensor&)>> positive{
      {"log", log}, {"sqrt", sqrt}, {"reciprocal", reciprocal}, {"inverse_or_zero", inverse_or_zero}};
  for (const auto& [name, f] : positive)
    for (const Shape& s : {Shape{5, 3}, Shape{17}})
      t.push_back({name, "", {s}, [f = f](In x) { return f(x[0]); }, Domain::positive});
  t.push_back({"affine", "", {{4, 5}}, [](In x) { return affine(x[0], -1.5, 0.25); }});
  t.push_back({"leaky_relu", "0.2", {{9, 4}}, [](In x) { return leaky_relu(x[0], 0.2); }});
  t.push_back({"leaky_relu", "silu", {{9, 4}}, [](In x) { return silu(x[0]) + leaky_relu(x[0]); }});
  t.push_back({"leaky_relu", "prelu", {{3, 2, 2, 4}, {4}}, [](In x) { return prelu(x[0], x[1]); }});
  t.push_back({"erf", "gelu", {{3, 4}}, [](In x) { return gelu(x[0]); }});
  t.push_back({"leaky_relu_grad", "", {{6, 3}, {6, 3}}, [](In x) { return leaky_relu_grad(x[0], x[1], 0.3); }});
  t.push_back({"tanh_grad", "", {{6, 3}, {6, 3}}, [](In x) { return tanh_grad(x[0], x[1]); }});
  t.push_back({"sigmoid_grad", "", {{6, 3}, {6, 3}}, [](In x) { return sigmoid_grad(x[0], x[1]); }});
  for (double slope : {1.0, 0.0, 0.2})
    for (const Shape& s : {Shape{5, 3}, Shape{2, 3, 3, 7}})
      t.push_back({"bias_leaky_relu", std::to_string(slope), {s, {s.last()}}, [slope](In x) {
                     return bias_leaky_relu(x[0], x[1], slope);
                   }});
  t.push_back({"bias_tanh", "", {{2, 3, 3, 5}, {5}}, [](In x) { return bias_tanh(x[0], x[1]); }});
  t.push_back({"clamp", "", {{6, 5}}, [](In x) { return clamp(x[0], -0.5, 0.7); }});
  t.push_back({"inside", "by clamp's gradient", {{11}}, [](In x) { return clamp(x[0], -0.5, 0.7) * x[0]; }});
  t.push_back(
      {"where", "", {{4, 3}, {4, 3}, {4, 3}}, [](In x) { return where(greater(x[0], x[1]), x[1] * x[2], x[2]); }});
  t.push_back({"where", "stretch", {{4, 3}, {3}, {}}, [](In x) { return where(less(x[0], x[2]), x[1], x[2]); }});
  t.push_back({"lerp", "", {{4, 2, 3}, {4, 2, 3}, {4, 1, 1}}, [](In x) { return lerp(x[0], x[1], x[2]); }});
  t.push_back({"lerp", "scalar", {{5}, {5}, {}}, [](In x) { return lerp(x[0], x[1], x[2]); }});
  const std::vector<std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)>> relations{
      {"less", less}, {"greater", greater}, {"equal", equal}};
  for (const auto& [name, f] : relations)
    t.push_back({name, "", {{4, 3}, {3}}, [f = f](In x) { return f(x[0], x[1]); }, Domain::normal, false});
  t.push_back({"sign", "", {{4, 3}}, [](In x) { return sign(x[0]); }, Domain::normal, false});
}

void reductions(Rows& t) {
  const std::vector<std::pair<Shape, Axes>> cases{
      {{7}, {0}}, {{5, 9}, {0}}, {{5, 9}, {1}}, {{2, 3, 4, 5}, {1, 3}}, {{3, 2, 2, 33}, {0, 1, 2}}, {{4, 3}, {0, 1}}};
  for (const auto& [shape, axes] : cases) {
    t.push_back({"sum", "", {shape}, [axes = axes](In x) { return square(sum(x[0], axes)); }});
    t.push_back({"sum", "mean, kept", {shape}, [axes = axes](In x) { return square(mean(x[0], axes, keep_axes)); }});
    t.push_back({"max", "", {shape}, [axes = axes](In x) { return max(x[0], axes); }});
    t.push_back({"min", "kept", {shape}, [axes = axes](In x) { return min(x[0], axes, keep_axes); }});
  }
  t.push_back({"variance", "of samples", {{4, 6}}, [](In x) { return variance(x[0], {1}, drop_axes, 1); }});
  t.push_back({"variance", "kept", {{3, 2, 5}}, [](In x) { return square(variance(x[0], {0, 2}, keep_axes)); }});
  t.push_back({"sum", "long", {{1, 70000}}, [](In x) { return square(mean(x[0], {1})); }});
  t.push_back({"sum", "tall", {{3000, 5}}, [](In x) { return square(sum(x[0], {0})); }});
  t.push_back({"argmax", "", {{4, 5, 3}}, [](In x) { return argmax(x[0], 1); }, Domain::normal, false});
  t.push_back({"broadcast_to", "", {{3, 1, 4}}, [](In x) { return square(broadcast_to(x[0], {2, 3, 5, 4})); }});
  t.push_back({"broadcast_to", "scalar", {{}}, [](In x) { return square(broadcast_to(x[0], {3, 2})); }});
  for (const Shape& s : {Shape{5, 3}, Shape{3, 4, 2, 3}, Shape{4}})
    t.push_back({"norm_per_sample", "", {s}, [](In x) { return norm_per_sample(x[0]); }});
  for (const Shape& s : {Shape{4, 5}, Shape{1, 1}, Shape{2, 3, 7}}) {
    t.push_back({"softmax", "", {s}, [](In x) { return softmax(x[0]); }});
    t.push_back({"log_softmax", "", {s}, [](In x) { return log_softmax(x[0]); }});
    t.push_back({"logsumexp", "", {s}, [](In x) { return logsumexp(x[0]); }});
  }
}

void shapes(Rows& t) {
  t.push_back({"reshape", "", {{4, 6}}, [](In x) { return square(reshape(x[0], {2, 3, 4})); }});
  t.push_back({"permute", "", {{2, 3, 4, 5}}, [](In x) { return square(permute(x[0], {2, 0, 3, 1})); }});
  t.push_back({"permute", "transpose", {{3, 7}}, [](In x) { return square(transpose(x[0])); }});
  t.push_back({"slice", "", {{5, 4, 3}}, [](In x) { return square(slice(x[0], 1, 1, 3)); }});
  t.push_back({"slice", "last", {{3, 7}}, [](In x) { return square(slice(x[0], -1, 2, 7)); }});
  t.push_back({"pad", "", {{2, 3, 4}}, [](In x) { return square(pad(x[0], 1, 2, 1)); }});
  t.push_back({"concat", "", {{2, 3, 2}, {2, 1, 2}, {2, 4, 2}}, [](In x) {
                 return square(concat({x[0], x[1], x[2]}, 1));
               }});
  t.push_back({"concat", "channels", {{2, 3, 3, 2}, {2, 3, 3, 1}}, [](In x) {
                 return square(concat({x[0], x[1]}, -1));
               }});
  t.push_back({"alias", "", {{5}}, [](In x) { return square(alias(x[0])); }});
  t.push_back({"convert",
               "",
               {{5}},
               [](In x) { return convert(convert(x[0], DType::i32), x[0].dtype()); },
               Domain::normal,
               false});
  t.push_back({"bf16_copy",  // its gradients: tests/test_precision.cpp
               "",
               {{4, 3}},
               [](In x) {
                 const Tensor w = convert(x[0], DType::f32);
                 keep_bf16_copy(w);
                 return convert(bf16_copy(w), x[0].dtype());
               },
               Domain::normal,
               false});
  t.push_back({"gather", "rows", {{5, 3}}, [](In x) { return square(gather(x[0], indices({4, 0, 4, 2}))); }});
  t.push_back({"scatter", "repeated", {{4, 3}}, [](In x) { return square(scatter(x[0], indices({1, 3, 1, 0}), 5)); }});
  for (const bool mirrored : {false, true})
    t.push_back({"gather_images",
                 mirrored ? "some mirrored" : "",
                 {{1}},
                 [mirrored](In x) {
                   std::vector<int> bytes(6 * 3 * 5 * 2);
                   for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<int>(i * 37 % 256);
                   const Tensor pixels = from_vector({6, 3, 5, 2}, bytes, DType::u8);
                   return gather_images(pixels, indices({4, 0, 5, 4}), mirrored ? indices({1, 0, 1, 1}) : Tensor(),
                                        x[0].dtype());
                 },
                 Domain::normal,
                 false});
  t.push_back({"one_hot",
               "",
               {{1}},
               [](In x) {
                 return one_hot(indices({2, 0, 1}), 3, x[0].dtype());
               },
               Domain::normal,
               false});
}

void images(Rows& t) {
  for (const Shape& s : {Shape{2, 6, 8, 3}, Shape{1, 5, 7, 1}, Shape{2, 4, 4, 20}}) {
    t.push_back({"sum", "avg_pool", {s}, [](In x) { return square(avg_pool(x[0], 2)); }});
    t.push_back({"max_pool", "", {s}, [](In x) { return square(max_pool(x[0], 2)); }});
    t.push_back({"broadcast_to", "upsample", {s}, [](In x) { return square(upsample_nearest(x[0], 2)); }});
    t.push_back({"bilinear", "", {s}, [](In x) { return square(bilinear(x[0], 9, 5)); }});
    t.push_back({"bilinear_grad", "by the gradient", {s}, [](In x) { return square(bilinear(x[0], 4, 11)); }});
    t.push_back({"reflection_pad", "", {s}, [](In x) { return square(reflection_pad(x[0], 2)); }});
    t.push_back({"reflection_pad_grad", "by the gradient", {s}, [](In x) { return square(reflection_pad(x[0], 1)); }});
  }
  t.push_back({"permute", "pixel_shuffle", {{2, 3, 2, 8}}, [](In x) { return square(pixel_shuffle(x[0], 2)); }});
}

void products(Rows& t) {
  struct M {
    Shape a, b;
    bool ta, tb;
  };
  for (const M& m : {M{{3, 5}, {5, 4}, false, false}, M{{5, 3}, {5, 4}, true, false}, M{{3, 5}, {4, 5}, false, true},
                     M{{5, 3}, {4, 5}, true, true}, M{{2, 3, 5}, {2, 5, 4}, false, false},
                     M{{2, 2, 5, 3}, {2, 2, 4, 5}, true, true}, M{{1, 33}, {33, 1}, false, false}})
    t.push_back({"matmul", "", {m.a, m.b}, [m](In x) { return matmul(x[0], x[1], m.ta, m.tb); }});
  t.push_back({"matmul", "linear", {{7, 5}, {4, 5}, {4}}, [](In x) { return linear(x[0], x[1], x[2]); }});
  struct C {
    Shape x, w;
    ConvOptions o;
  };
  const ConvOptions one_sided{1, 1, 2, 0, 1, 0, 1}, uneven{2, 3, 1, 0, 0, 2, 1};
  const std::vector<C> convs{{{2, 8, 8, 3}, {4, 4, 4, 3}, conv_options(2, 1)},
                             {{2, 7, 9, 2}, {3, 3, 3, 2}, conv_options(1, 1)},
                             {{1, 9, 8, 3}, {2, 5, 5, 3}, conv_options(2, 2)},
                             {{2, 5, 5, 4}, {3, 1, 1, 4}, conv_options(1, 0)},
                             {{2, 4, 4, 6}, {1, 4, 4, 6}, conv_options(1, 0)},
                             {{2, 9, 9, 3}, {2, 3, 3, 3}, conv_options(2, 0)},
                             {{2, 6, 5, 4}, {6, 3, 3, 2}, conv_options(1, 1, 2)},
                             {{1, 6, 6, 3}, {3, 3, 3, 1}, conv_options(2, 1, 3)},
                             {{2, 5, 6, 2}, {3, 3, 2, 2}, one_sided},
                             {{1, 7, 8, 2}, {2, 3, 4, 2}, uneven},
                             {{2, 8, 8, 1}, {16, 4, 4, 1}, conv_options(2, 1)}};
  for (const C& c : convs) {
    const Shape y = conv2d(zeros(c.x), zeros(c.w), c.o).shape();
    t.push_back({"conv2d", "", {c.x, c.w}, [c](In x) { return conv2d(x[0], x[1], c.o); }});
    t.push_back({"conv2d_transpose", "", {y, c.w}, [c](In x) { return conv2d_transpose(x[0], x[1], c.o); }});
  }
  t.push_back({"conv2d_transpose", "output padding", {{2, 3, 2, 3}, {3, 3, 3, 2}}, [](In x) {
                 return conv2d_transpose(x[0], x[1], conv_options(2, 1), 1);
               }});
  t.push_back({"conv2d_transpose", "from 1x1", {{3, 1, 1, 6}, {6, 4, 4, 4}}, [](In x) {
                 return conv2d_transpose(x[0], x[1], conv_options(1, 0));
               }});
  // With what follows, on each way through the kernels: few channels, tiles, tiles of groups, sums split along k,
  // matrix products.
  struct T {
    Shape x, w, bias;
    ConvOptions o;
    Act act;
  };
  const std::vector<T> thens{{{2, 8, 8, 3}, {5, 4, 4, 3}, {5}, conv_options(2, 1), Act::leaky_relu},
                             {{2, 6, 7, 8}, {9, 3, 3, 8}, {9}, conv_options(1, 1), Act::relu},
                             {{2, 7, 6, 8}, {8, 3, 3, 8}, {}, conv_options(2, 1), Act::leaky_relu},
                             {{2, 5, 5, 10}, {10, 3, 3, 5}, {10}, conv_options(1, 0, 2), Act::none},
                             {{1, 4, 4, 40}, {8, 3, 3, 40}, {8}, conv_options(1, 1), Act::leaky_relu},
                             {{2, 6, 6, 8}, {8, 3, 3, 8}, {8}, conv_options(1, 1), Act::tanh},
                             {{2, 6, 6, 8}, {3, 3, 3, 8}, {3}, conv_options(1, 1), Act::tanh},
                             {{2, 3, 3, 8}, {6, 1, 1, 8}, {6}, conv_options(1, 0), Act::tanh},
                             {{3, 4, 4, 5}, {6, 4, 4, 5}, {6}, conv_options(1, 0), Act::leaky_relu}};
  const auto then = [](In x, Act act) { return ConvThen{.bias = x.size() > 2 ? x[2] : Tensor(), .act = act}; };
  for (const T& c : thens) {
    const Shape y = conv2d(zeros(c.x), zeros(c.w), c.o).shape();
    std::vector<Shape> to_y{c.x, c.w}, to_x{y, c.w};
    if (c.bias.rank() > 0) {
      to_y.push_back(c.bias);
      to_x.push_back({c.x.last()});
    }
    t.push_back({"conv2d_then", "", to_y, [c, then](In x) { return conv2d(x[0], x[1], c.o, then(x, c.act)); }});
    t.push_back({"conv2d_transpose_then", "", to_x,
                 [c, then](In x) { return conv2d_transpose(x[0], x[1], c.o, 0, then(x, c.act)); }});
    // A batch norm that takes its statistics from the convolution.
    t.push_back({"norm", "after conv2d", to_y, [c, then](In x) {
                   BatchStatistics statistics;
                   ConvThen with = then(x, c.act);
                   with.statistics = &statistics;
                   return batch_norm(conv2d(x[0], x[1], c.o, with), {}, {}, 1e-5, 1, nullptr, &statistics);
                 }});
    t.push_back({"norm", "after conv2d_transpose", to_x, [c, then](In x) {
                   BatchStatistics statistics;
                   ConvThen with = then(x, c.act);
                   with.statistics = &statistics;
                   return batch_norm(conv2d_transpose(x[0], x[1], c.o, 0, with), {}, {}, 1e-5, 1, nullptr, &statistics);
                 }});
  }
  const ConvGeometry g{2, 6, 6, 3, 3, 3, 4, 4, 4, 2, 2, 1, 1, 1};
  t.push_back({"conv2d_weight", "", {{2, 6, 6, 3}, {2, 3, 3, 4}}, [g](In x) { return conv2d_weight(x[0], x[1], g); }});
}

void norms(Rows& t) {
  struct N {
    const char* note;
    Shape x;
    std::function<Tensor(const Tensor&, const Tensor&, const Tensor&, double)> f;
  };
  const auto batch = [](const Tensor& x, const Tensor& g, const Tensor& b, double s) {
    return batch_norm(x, g, b, 1e-5, s);
  };
  const auto instance = [](const Tensor& x, const Tensor& g, const Tensor& b, double s) {
    return instance_norm(x, g, b, 1e-5, s);
  };
  const auto group = [](const Tensor& x, const Tensor& g, const Tensor& b, double s) {
    return group_norm(x, 2, g, b, 1e-5, s);
  };
  const auto layer = [](const Tensor& x, const Tensor& g, const Tensor& b, double) { return layer_norm(x, g, b); };
  for (const N& n :
       {N{"batch", {3, 2, 3, 4}, batch}, N{"batch", {6, 5}, batch}, N{"batch", {2, 1, 2, 70}, batch},
        N{"instance", {2, 3, 4, 3}, instance}, N{"group", {3, 2, 3, 6}, group}, N{"layer", {4, 2, 3, 3}, layer}})
    for (double slope : {1.0, 0.2})
      for (const char* op : {"norm", "norm_dx", "norm_dgamma", "norm_dbeta"})
        if (std::string(op) == "norm" || slope == 0.2)
          t.push_back({op,
                       std::string(n.note) + (slope == 1 ? "" : ", leaky ReLU"),
                       {n.x, {n.x.last()}, {n.x.last()}},
                       [n, slope](In x) { return n.f(x[0], x[1], x[2], slope); }});
  t.push_back({"norm", "without affine", {{3, 2, 2, 4}}, [](In x) { return batch_norm(x[0], {}, {}); }});
  t.push_back({"norm", "layer, affine per element", {{3, 2, 3, 2}, {2, 3, 2}, {2, 3, 2}}, [](In x) {
                 return layer_norm(x[0], x[1], x[2]);
               }});
  t.push_back({"norm", "inference", {{3, 2, 2, 2}, {2}, {2}}, [](In x) {
                 RunningStatistics r{full({2}, 0.3, x[0].dtype()), full({2}, 1.7, x[0].dtype())};
                 return batch_norm_inference(x[0], x[1], x[2], r) + batch_norm(x[0], x[1], x[2]);
               }});
}

// The same draw for every evaluation: always at one call site.
Tensor drawn(const std::function<Tensor()>& f) {
  const std::uint32_t site = current_context().site;
  current_context().site = 1u << 30;
  Tensor y = f();
  current_context().site = site;
  return y;
}
void random(Rows& t) {
  t.push_back(
      {"normal", "", {{4, 5}}, [](In x) { return x[0] * drawn([&] { return normal(x[0].shape(), x[0].dtype()); }); }});
  t.push_back({"uniform", "dropout", {{4, 5}}, [](In x) { return drawn([&] { return dropout(square(x[0]), 0.4); }); }});
}

}  // namespace

std::vector<OpCase> op_cases() {
  Rows rows;
  elementwise(rows);
  reductions(rows);
  shapes(rows);
  images(rows);
  products(rows);
  norms(rows);
  random(rows);
  return rows;
}

}  // namespace duel
