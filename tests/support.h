// What several tests share.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/safetensors.h"
#include "engine/tensor.h"

namespace duel::test {

// Largest |a - b|; infinity where either is not a number, so that a comparison cannot pass by NaN.
inline double max_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= worst)) worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  return worst;
}
inline double max_abs(const std::vector<double>& a) {
  double worst = 0;
  for (double v : a) worst = std::max(worst, std::abs(v));
  return worst;
}

// PyTorch's (N,C,H,W) and (O,I,kh,kw) to (N,H,W,C) and (O,kh,kw,I), and (C,H,W) to (H,W,C): the channels go last.
inline Tensor channels_last(const Tensor& x) {
  if (x.rank() == 4) return permute(x, {0, 2, 3, 1});
  if (x.rank() == 3) return permute(x, {1, 2, 0});
  return x;
}

inline Tensor to_tensor(const StoredTensor& s) {
  Tensor t = empty(Shape(s.shape), s.dtype);
  assign(t, s.data.data(), s.data.size());
  return t;
}

inline std::string golden_folder() {
  const char* from_user = std::getenv("DUEL_GOLDEN");
  return from_user ? from_user : DUEL_GOLDEN_DEFAULT;
}

}  // namespace duel::test
