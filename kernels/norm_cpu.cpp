#include <cmath>

#include "kernels/norm.h"
#include "kernels/parallel.h"

namespace duel::kernels {
namespace {

constexpr std::int64_t pieces = 32;  // of S, fixed: the order of additions does not depend on the number of threads
constexpr std::int64_t strip = 64;   // channels that one pass keeps close

// Calls f(b, c0, w) for strips of at most `strip` channels, in parallel when there are enough of them.
template <class F>
void for_strips(const NormShape& n, F f) {
  const std::int64_t strips = (n.channels() + strip - 1) / strip;
  parallel_for(n.b * strips, grain_for(n.s * strip), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t c0 = t % strips * strip;
      f(t / strips, c0, std::min(strip, n.channels() - c0));
    }
  });
}

// total[q][i] = sum over s of the quantities that add(s, acc) contributes for channels c0 .. c0+w.
template <class T, class F>
void sum_over_positions(const NormShape& n, std::int64_t w, double (*total)[strip], F add) {
  static_assert(std::is_floating_point_v<T>);
  double part[pieces][2][strip];
  const std::int64_t each = (n.s + pieces - 1) / pieces;
  parallel_for(pieces, grain_for(each * w), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      double sum[2][strip] = {};
      const std::int64_t last = std::min(n.s, (k + 1) * each);
      for (std::int64_t s0 = k * each; s0 < last; s0 += 128) {
        T acc[2][strip] = {};
        for (std::int64_t s = s0; s < std::min(last, s0 + 128); ++s) add(s, acc);
        for (int q = 0; q < 2; ++q)
          for (std::int64_t i = 0; i < w; ++i) sum[q][i] += static_cast<double>(acc[q][i]);
      }
      for (int q = 0; q < 2; ++q)
        for (std::int64_t i = 0; i < w; ++i) part[k][q][i] = sum[q][i];
    }
  });
  for (int q = 0; q < 2; ++q)
    for (std::int64_t i = 0; i < w; ++i) {
      total[q][i] = 0;
      for (std::int64_t k = 0; k < pieces; ++k) total[q][i] += part[k][q][i];
    }
}

// The inner loops over the channels of one position. Functions of their own with nothing aliased: inside the lambdas of
// a parallel region g++ 12 does not vectorise them (norm_apply ran at a tenth of the memory's speed).
template <class T>
void apply_row(const T* __restrict x, const T* __restrict mean, const T* __restrict scale, const T* __restrict shift,
               T slope, T* __restrict y, std::int64_t w) {
#pragma omp simd
  for (std::int64_t i = 0; i < w; ++i) {
    const T v = (x[i] - mean[i]) * scale[i] + shift[i];
    y[i] = v > 0 ? v : slope * v;
  }
}
template <class T>
void square_row(const T* __restrict x, const T* __restrict shift, T* __restrict sum, T* __restrict squares,
                std::int64_t w) {
#pragma omp simd
  for (std::int64_t i = 0; i < w; ++i) {
    const T d = x[i] - shift[i];
    sum[i] += d;
    squares[i] += d * d;
  }
}
// `active`: dy is multiplied by the activation's slope, y > 0 tells the side. Otherwise y is not read.
template <bool active, class T>
void grad_sum_row(const T* __restrict x, const T* __restrict y, const T* __restrict dy, const T* __restrict mean,
                  const T* __restrict rstd, T slope, T* __restrict sum, T* __restrict products, std::int64_t w) {
#pragma omp simd
  for (std::int64_t i = 0; i < w; ++i) {
    const T dv = active && !(y[i] > 0) ? slope * dy[i] : dy[i];
    sum[i] += dv;
    products[i] += dv * ((x[i] - mean[i]) * rstd[i]);
  }
}
template <bool active, class T>
void grad_input_row(const T* __restrict x, const T* __restrict y, const T* __restrict dy, const T* __restrict mean,
                    const T* __restrict rstd, const T* __restrict gamma, const T* __restrict mean_dv,
                    const T* __restrict mean_dvx, T slope, T* __restrict dx, std::int64_t w) {
#pragma omp simd
  for (std::int64_t i = 0; i < w; ++i) {
    const T dv = active && !(y[i] > 0) ? slope * dy[i] : dy[i];
    dx[i] = rstd[i] * (dv * gamma[i] - mean_dv[i] - (x[i] - mean[i]) * rstd[i] * mean_dvx[i]);
  }
}

// Statistics of the groups that lie wholly or partly in a strip need all their channels: groups wider than one channel
// are few, so they go one by one.
template <class T>
void statistics(const NormShape& n, T eps, const T* x, T* mean, T* rstd) {
  const std::int64_t c = n.channels();
  const double count = static_cast<double>(n.s * n.k);
  if (n.k > 1) {
    parallel_for(n.b * n.g, grain_for(n.s * n.k), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const T* p = x + t / n.g * n.s * c + t % n.g * n.k;
        double sum = 0, squares = 0;
        for (std::int64_t s = 0; s < n.s; ++s)
          for (std::int64_t k = 0; k < n.k; ++k) sum += static_cast<double>(p[s * c + k]);
        const double m = sum / count;
        for (std::int64_t s = 0; s < n.s; ++s)
          for (std::int64_t k = 0; k < n.k; ++k)
            squares += (static_cast<double>(p[s * c + k]) - m) * (static_cast<double>(p[s * c + k]) - m);
        mean[t] = static_cast<T>(m);
        rstd[t] = static_cast<T>(1 / std::sqrt(squares / count + static_cast<double>(eps)));
      }
    });
    return;
  }
  for_strips(n, [&](std::int64_t b, std::int64_t c0, std::int64_t w) {
    const T* p = x + b * n.s * c + c0;
    double total[2][strip];
    T shift[strip];  // sums of x - x[0] and its square: no cancellation when the mean is far from 0
    for (std::int64_t i = 0; i < w; ++i) shift[i] = p[i];
    sum_over_positions<T>(n, w, total,
                          [&](std::int64_t s, T(*acc)[strip]) { square_row(p + s * c, shift, acc[0], acc[1], w); });
    for (std::int64_t i = 0; i < w; ++i) {
      const double d = total[0][i] / count;
      const double var = std::max(0.0, total[1][i] / count - d * d);
      mean[b * n.g + c0 + i] = static_cast<T>(static_cast<double>(shift[i]) + d);
      rstd[b * n.g + c0 + i] = static_cast<T>(1 / std::sqrt(var + static_cast<double>(eps)));
    }
  });
}

// Per channel, y = act(x * scale + shift); computed once per block b, not per position.
template <class T>
void apply(const NormShape& n, T slope, const T* x, const T* mean, const T* rstd, const T* gamma, const T* beta, T* y) {
  const std::int64_t c = n.channels();
  for_strips(n, [&](std::int64_t b, std::int64_t c0, std::int64_t w) {
    T m[strip], scale[strip], shift[strip];
    for (std::int64_t i = 0; i < w; ++i) {
      const std::int64_t at = b * n.g + (c0 + i) / n.k;
      m[i] = mean[at];
      scale[i] = rstd[at] * (gamma ? gamma[c0 + i] : T(1));
      shift[i] = beta ? beta[c0 + i] : T(0);
    }
    parallel_for(n.s, grain_for(w), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t s = begin; s < end; ++s) {
        const std::int64_t row = (b * n.s + s) * c + c0;
        apply_row(x + row, m, scale, shift, slope, y + row, w);
      }
    });
  });
}

template <class T>
struct GradArgs {
  const T *x, *mean, *rstd, *gamma, *y, *dy;
  T *sums, *dx, *dgamma, *dbeta;
  T slope;
};

// sums[b, 0, c] = sum over s of dv,  sums[b, 1, c] = sum over s of dv * xhat
template <class T>
void grad_sums(const NormShape& n, const GradArgs<T>& a) {
  const std::int64_t c = n.channels();
  for_strips(n, [&](std::int64_t b, std::int64_t c0, std::int64_t w) {
    T m[strip], r[strip];
    for (std::int64_t i = 0; i < w; ++i) {
      m[i] = a.mean[b * n.g + (c0 + i) / n.k];
      r[i] = a.rstd[b * n.g + (c0 + i) / n.k];
    }
    double total[2][strip];
    const bool active = a.slope != T(1);
    sum_over_positions<T>(n, w, total, [&](std::int64_t s, T(*acc)[strip]) {
      const std::int64_t row = (b * n.s + s) * c + c0;
      if (active)
        grad_sum_row<true>(a.x + row, a.y + row, a.dy + row, m, r, a.slope, acc[0], acc[1], w);
      else
        grad_sum_row<false>(a.x + row, a.dy + row, a.dy + row, m, r, a.slope, acc[0], acc[1], w);
    });
    for (int q = 0; q < 2; ++q)
      for (std::int64_t i = 0; i < w; ++i) a.sums[(b * 2 + q) * c + c0 + i] = static_cast<T>(total[q][i]);
  });
}

template <class T>
void grad_affine(const NormShape& n, const GradArgs<T>& a) {
  const std::int64_t c = n.channels();
  for (std::int64_t i = 0; i < c; ++i) {
    T sum[2] = {};
    for (std::int64_t b = 0; b < n.b; ++b)
      for (int q = 0; q < 2; ++q) sum[q] += a.sums[(b * 2 + q) * c + i];
    if (a.dbeta) a.dbeta[i] = sum[0];
    if (a.dgamma) a.dgamma[i] = sum[1];
  }
}

template <class T>
void grad_input(const NormShape& n, const GradArgs<T>& a) {
  const std::int64_t c = n.channels();
  const T count = static_cast<T>(n.s * n.k);
  for_strips(n, [&](std::int64_t b, std::int64_t c0, std::int64_t w) {
    T m[strip], r[strip], ga[strip], mean_dv[strip], mean_dvx[strip];
    for (std::int64_t i = 0; i < w; ++i) {
      const std::int64_t group = (c0 + i) / n.k;
      m[i] = a.mean[b * n.g + group];
      r[i] = a.rstd[b * n.g + group];
      ga[i] = a.gamma ? a.gamma[c0 + i] : T(1);
      T sum[2] = {};
      for (std::int64_t k = group * n.k; k < (group + 1) * n.k; ++k)
        for (int q = 0; q < 2; ++q) sum[q] += a.sums[(b * 2 + q) * c + k] * (a.gamma ? a.gamma[k] : T(1));
      mean_dv[i] = sum[0] / count;
      mean_dvx[i] = sum[1] / count;
    }
    const bool active = a.slope != T(1);
    parallel_for(n.s, grain_for(w), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t s = begin; s < end; ++s) {
        const std::int64_t row = (b * n.s + s) * c + c0;
        if (active)
          grad_input_row<true>(a.x + row, a.y + row, a.dy + row, m, r, ga, mean_dv, mean_dvx, a.slope, a.dx + row, w);
        else
          grad_input_row<false>(a.x + row, a.dy + row, a.dy + row, m, r, ga, mean_dv, mean_dvx, a.slope, a.dx + row, w);
      }
    });
  });
}

}  // namespace

namespace cpu {

void norm_statistics(NormShape shape, double eps, View x, View mean, View rstd, View) {
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    statistics<T>(shape, static_cast<T>(eps), x.as<T>(), mean.as<T>(), rstd.as<T>());
  });
}

void norm_apply(NormShape shape, double slope, View x, View mean, View rstd, View gamma, View beta, View y) {
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    apply<T>(shape, static_cast<T>(slope), x.as<T>(), mean.as<T>(), rstd.as<T>(), gamma.as<T>(), beta.as<T>(),
             y.as<T>());
  });
}

void norm_grad(NormShape shape, double slope, View x, View mean, View rstd, View gamma, View y, View dy, View scratch,
               View dx, View dgamma, View dbeta) {
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    const GradArgs<T> a{x.as<T>(),      mean.as<T>(),  rstd.as<T>(),         gamma.as<T>(),
                        y.as<T>(),      dy.as<T>(),    scratch.as<T>(),      dx.as<T>(),
                        dgamma.as<T>(), dbeta.as<T>(), static_cast<T>(slope)};
    grad_sums<T>(shape, a);
    if (dgamma || dbeta) grad_affine<T>(shape, a);
    if (dx) grad_input<T>(shape, a);
  });
}

void norm_running(NormShape shape, double eps, double momentum, View mean, View rstd, View running_mean,
                  View running_var, View finite) {
  if (finite && *finite.as<std::int32_t>() == 0) return;
  dispatch_float(mean.dtype, [&](auto t) {
    using T = decltype(t);
    const double n = static_cast<double>(shape.s), keep = 1 - momentum;
    for (std::int64_t i = 0; i < shape.g; ++i) {
      const double r = static_cast<double>(rstd.as<T>()[i]), m = static_cast<double>(mean.as<T>()[i]);
      const double var = (1 / (r * r) - eps) * n / (n > 1 ? n - 1 : 1);
      if (!std::isfinite(var) || !std::isfinite(m)) continue;
      running_mean.as<T>()[i] = static_cast<T>(keep * static_cast<double>(running_mean.as<T>()[i]) + momentum * m);
      running_var.as<T>()[i] = static_cast<T>(keep * static_cast<double>(running_var.as<T>()[i]) + momentum * var);
    }
  });
}

}  // namespace cpu
}  // namespace duel::kernels
