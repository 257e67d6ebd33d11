#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"

namespace duel::kernels {
namespace {

bool allowed(const View& finite) { return !finite || *finite.as<std::int32_t>() != 0; }
double read(const View& v, double otherwise) { return v ? *v.as<double>() : otherwise; }

// f(operands of one tensor, begin, end) over all elements of all tensors.
template <class F>
void for_elements(const TensorPack& pack, F f) {
  for (int i = 0; i < pack.count; ++i)
    parallel_for(pack.size[i], elementwise_grain, [&](std::int64_t begin, std::int64_t end) { f(i, begin, end); });
}

template <class T>
T* operand(const TensorPack& pack, int which, int tensor) {
  return static_cast<T*>(pack.at[which][tensor]);
}

template <class T>
T penalised(T g, T p, T scale, T l1, T l2) {
  const T sign = p > 0 ? T(1) : p < 0 ? T(-1) : T(0);
  return g * scale + l2 * p + l1 * sign;
}

}  // namespace

namespace cpu {

void adam(AdamConstants k, UpdateState state, TensorPack pack) {
  if (!allowed(state.finite)) return;
  const double lr = read(state.lr, 0), t = static_cast<double>(*state.t.as<std::int64_t>());
  const double correct1 = 1 - std::pow(k.beta1, t), correct2 = 1 - std::pow(k.beta2, t);
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    const T scale = static_cast<T>(read(state.scale, 1)), l1 = static_cast<T>(k.l1), l2 = static_cast<T>(k.l2);
    const T b1 = static_cast<T>(k.beta1), a1 = static_cast<T>(1 - k.beta1);
    const T b2 = static_cast<T>(k.beta2), a2 = static_cast<T>(1 - k.beta2);
    const T keep = static_cast<T>(1 - lr * k.decay), rate = static_cast<T>(lr / correct1);
    const T root = static_cast<T>(1 / std::sqrt(correct2)), eps = static_cast<T>(k.eps);
    for_elements(pack, [&](int i, std::int64_t begin, std::int64_t end) {
      T* __restrict p = operand<T>(pack, 0, i);
      const T* __restrict g = operand<T>(pack, 1, i);
      T* __restrict m = operand<T>(pack, 2, i);
      T* __restrict v = operand<T>(pack, 3, i);
      for (std::int64_t j = begin; j < end; ++j) {
        const T d = penalised(g[j], p[j], scale, l1, l2);
        const T mj = b1 * m[j] + a1 * d, vj = b2 * v[j] + a2 * d * d;
        m[j] = mj;
        v[j] = vj;
        p[j] = keep * p[j] - rate * mj / (std::sqrt(vj) * root + eps);
      }
    });
  });
}

void rmsprop(RmspropConstants k, UpdateState state, TensorPack pack) {
  if (!allowed(state.finite)) return;
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    const T lr = static_cast<T>(read(state.lr, 0)), scale = static_cast<T>(read(state.scale, 1));
    const T l1 = static_cast<T>(k.l1), l2 = static_cast<T>(k.l2), eps = static_cast<T>(k.eps);
    const T b = static_cast<T>(k.alpha), a = static_cast<T>(1 - k.alpha);
    for_elements(pack, [&](int i, std::int64_t begin, std::int64_t end) {
      T* __restrict p = operand<T>(pack, 0, i);
      const T* __restrict g = operand<T>(pack, 1, i);
      T* __restrict v = operand<T>(pack, 2, i);
      for (std::int64_t j = begin; j < end; ++j) {
        const T d = penalised(g[j], p[j], scale, l1, l2);
        v[j] = b * v[j] + a * d * d;
        p[j] -= lr * d / (std::sqrt(v[j]) + eps);
      }
    });
  });
}

void sgd(SgdConstants k, UpdateState state, TensorPack pack) {
  if (!allowed(state.finite)) return;
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    const T lr = static_cast<T>(read(state.lr, 0)), scale = static_cast<T>(read(state.scale, 1));
    const T l1 = static_cast<T>(k.l1), l2 = static_cast<T>(k.l2), mu = static_cast<T>(k.momentum);
    for_elements(pack, [&](int i, std::int64_t begin, std::int64_t end) {
      T* __restrict p = operand<T>(pack, 0, i);
      const T* __restrict g = operand<T>(pack, 1, i);
      T* __restrict m = operand<T>(pack, 2, i);
      for (std::int64_t j = begin; j < end; ++j) {
        const T d = penalised(g[j], p[j], scale, l1, l2);
        m[j] = mu * m[j] + d;
        p[j] -= lr * (k.nesterov ? d + mu * m[j] : m[j]);
      }
    });
  });
}

void ema(double decay, View step, View finite, TensorPack pack) {
  if (!allowed(finite)) return;
  const double t = static_cast<double>(*step.as<std::int64_t>()), d = std::min(decay, (1 + t) / (10 + t));
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    const T keep = static_cast<T>(d), take = static_cast<T>(1 - d);
    for_elements(pack, [&](int i, std::int64_t begin, std::int64_t end) {
      T* __restrict average = operand<T>(pack, 0, i);
      const T* __restrict source = operand<T>(pack, 1, i);
      for (std::int64_t j = begin; j < end; ++j) average[j] = keep * average[j] + take * source[j];
    });
  });
}

void clip(double low, double high, View finite, TensorPack pack) {
  if (!allowed(finite)) return;
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    for_elements(pack, [&](int i, std::int64_t begin, std::int64_t end) {
      T* p = operand<T>(pack, 0, i);
      for (std::int64_t j = begin; j < end; ++j) p[j] = std::min(std::max(p[j], static_cast<T>(low)), static_cast<T>(high));
    });
  });
}

void add_square_norm(TensorPack pack, View sum) {
  constexpr std::int64_t pieces = 64;  // fixed, so that the sum does not depend on the number of threads
  dispatch_float(pack.dtype, [&](auto type) {
    using T = decltype(type);
    for (int i = 0; i < pack.count; ++i) {
      const T* g = operand<T>(pack, 0, i);
      const std::int64_t n = pack.size[i], each = (n + pieces - 1) / pieces;
      double part[pieces];
      parallel_for(pieces, grain_for(each), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t k = begin; k < end; ++k) {
          double lane[8] = {};
          const std::int64_t last = std::min(n, (k + 1) * each);
          std::int64_t j = std::min(n, k * each);
          for (; j + 8 <= last; j += 8)
            for (int l = 0; l < 8; ++l) lane[l] += static_cast<double>(g[j + l]) * static_cast<double>(g[j + l]);
          for (; j < last; ++j) lane[0] += static_cast<double>(g[j]) * static_cast<double>(g[j]);
          part[k] = ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        }
      });
      for (double p : part) *sum.as<double>() += p;
    }
  });
}

void judge_gradient(double max_norm, View sum, View scale, View finite) {
  const double squares = *sum.as<double>();
  if (!std::isfinite(squares)) *finite.as<std::int32_t>() = 0;
  *scale.as<double>() = max_norm > 0 && squares > max_norm * max_norm ? max_norm / std::sqrt(squares) : 1.0;
}

void count_up(View t, View finite) {
  if (allowed(finite)) ++*t.as<std::int64_t>();
}

}  // namespace cpu
}  // namespace duel::kernels
