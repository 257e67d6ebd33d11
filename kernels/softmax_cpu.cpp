#include <cmath>

#include "kernels/parallel.h"
#include "kernels/softmax.h"

namespace duel::kernels {
namespace {

template <class T>
void softmax_row(Softmax f, const T* x, std::int64_t n, T* y) {
  T top = x[0], sum = 0;
  for (std::int64_t j = 1; j < n; ++j) top = std::max(top, x[j]);
  for (std::int64_t j = 0; j < n; ++j) sum += std::exp(x[j] - top);
  const T lse = top + std::log(sum);
  if (f == Softmax::logsumexp) {
    *y = lse;
  } else if (f == Softmax::log_softmax) {
    for (std::int64_t j = 0; j < n; ++j) y[j] = x[j] - lse;
  } else {
    for (std::int64_t j = 0; j < n; ++j) y[j] = std::exp(x[j] - top) / sum;
  }
}

}  // namespace

void cpu::softmax(Softmax f, View x, View y) {
  const std::int64_t n = x.last(), each = f == Softmax::logsumexp ? 1 : n;
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(x.rows(), grain_for(8 * n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) softmax_row(f, x.as<const T>() + r * n, n, y.as<T>() + r * each);
    });
  });
}

}  // namespace duel::kernels
