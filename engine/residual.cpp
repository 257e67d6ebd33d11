// The layer of residual nets (He et al. 2016, eq. 1): y = x + branch(x).
#include "engine/net.h"

namespace duel {

struct Residual : Layer {
  Net branch;
  Tensor forward(const Tensor& x) override { return x + branch.run(x, {}); }
  void collect(const std::string& prefix, State& state) const override {
    const State inner = branch.state(prefix);
    state.insert(state.end(), inner.begin(), inner.end());
  }
  std::string describe() const override {
    std::string s;
    for (const auto& layer : branch.layers_) s += (s.empty() ? "x + " : "; ") + layer->describe();
    return s;
  }
  void set_training(bool on) override { branch.set_training(on); }
};

Net& Net::residual(Net branch) {
  auto layer = std::make_shared<Residual>();
  layer->branch = std::move(branch);
  return add(std::move(layer));
}

}  // namespace duel
