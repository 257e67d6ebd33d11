// State: tensors by name. What a checkpoint saves, what an optimizer moves, what two nets are compared by.
#pragma once
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace duel {

enum class Kind : std::uint8_t {
  parameter,
  buffer
};  // a buffer is saved but not trained (running statistics, counters)

struct NamedTensor {
  std::string name;
  Tensor value;
  Kind kind = Kind::buffer;
};
using State = std::vector<NamedTensor>;

inline std::vector<Tensor> tensors(const State& s) {
  std::vector<Tensor> out;
  for (const NamedTensor& t : s) out.push_back(t.value);
  return out;
}
inline State parameters(const State& s) {
  State out;
  for (const NamedTensor& t : s)
    if (t.kind == Kind::parameter) out.push_back(t);
  return out;
}

}  // namespace duel
