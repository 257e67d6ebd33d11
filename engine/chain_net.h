// A chain of layers that can be described in a file (engine/net_file.h), with an input and an output of its own: a net
// that turns images into features and, perhaps, into scores for classes.
#pragma once
#include <string>
#include <vector>

#include "engine/net.h"

namespace duel {

// What each kind does is said in engine/net_file.h.
struct NetLayer {
  std::string kind;
  std::int64_t in = 0, out = 0;    // conv, linear; batch norm: in
  std::int64_t kernel = 1;         // conv
  std::int64_t stride = 1;         // conv
  std::int64_t padding = 0;        // conv
  std::int64_t size = 1;           // pools
  double slope = 0.2, eps = 1e-5;  // leaky relu; batch norm
  bool bias = true;                // conv, linear
  bool channels_first = false;     // flatten
  bool has_tensors() const { return kind == "conv" || kind == "linear" || kind == "batch norm"; }
};

struct NetInput {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<double> scale, shift;  // (channels)
};

class ChainNet {
 public:
  // Weights are drawn as Net's default. Error: layers that do not fit each other or the input, or too large a map.
  ChainNet(const NetInput& input, const std::vector<NetLayer>& layers, std::size_t features, std::int64_t classes);

  struct Answer {
    Tensor features;  // (N,width)
    Tensor scores;    // (N,classes), or empty
  };
  // Images (N,H,W,C) in [-1, 1], of the shape of the input; grey ones are repeated where it has more channels.
  Answer operator()(const Tensor& images) const;

  const NetInput& input() const { return input_; }
  const std::vector<NetLayer>& layers() const { return layers_; }
  std::int64_t width() const { return width_; }  // of the features
  std::int64_t classes() const { return classes_; }
  Net& net() { return net_; }
  const Net& net() const { return net_; }
  std::size_t features() const { return features_; }

 private:
  bool fused(std::size_t i) const;  // whether layer i, an activation, runs within the one before

  NetInput input_;
  std::vector<NetLayer> layers_;
  std::size_t features_, feature_result_ = 0;  // the latter among Net::activations
  std::int64_t classes_, width_ = 0;
  Net net_;
  Tensor scale_, shift_;
};

}  // namespace duel
