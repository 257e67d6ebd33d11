#include <cstring>

#include "kernels/copy.h"
#include "kernels/parallel.h"

namespace duel::kernels {
namespace {

// Drops axes of extent 1 and joins neighbours that both walks cross without a jump.
Extent simplify(const Extent& e, Walk& from, Walk& to) {
  Extent out;
  for (int k = 0; k < e.rank; ++k) {
    if (e.dim[k] == 1) continue;
    const int last = out.rank - 1;
    const bool joins =
        out.rank > 0 && from.stride[last] == from.stride[k] * e.dim[k] && to.stride[last] == to.stride[k] * e.dim[k];
    const int at = joins ? last : out.rank++;
    out.dim[at] = joins ? out.dim[last] * e.dim[k] : e.dim[k];
    from.stride[at] = from.stride[k];
    to.stride[at] = to.stride[k];
  }
  if (out.rank == 0) {
    out.rank = 1;
    out.dim[0] = 1;
    from.stride[0] = to.stride[0] = 1;
  }
  return out;
}

template <class T>
void copy_row(const T* x, std::int64_t sx, T* y, std::int64_t sy, std::int64_t n) {
  if (sx == 1 && sy == 1)
    std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(T));
  else if (sx == 0 && sy == 1)
    for (std::int64_t i = 0; i < n; ++i) y[i] = *x;
  else
    for (std::int64_t i = 0; i < n; ++i) y[i * sy] = x[i * sx];
}

template <class T>
void copy_walk(const Extent& e, const T* x, const Walk& from, T* y, const Walk& to) {
  const int inner = e.rank - 1;
  std::int64_t outer = 1;
  for (int k = 0; k < inner; ++k) outer *= e.dim[k];
  if (outer == 1) {
    parallel_for(e.dim[inner], elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
      copy_row(x + from.offset + begin * from.stride[inner], from.stride[inner],
               y + to.offset + begin * to.stride[inner], to.stride[inner], end - begin);
    });
    return;
  }
  parallel_for(outer, grain_for(e.dim[inner]), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t px = from.offset, py = to.offset, rest = row;
      for (int k = inner - 1; k >= 0; --k) {
        const std::int64_t i = rest % e.dim[k];
        rest /= e.dim[k];
        px += i * from.stride[k];
        py += i * to.stride[k];
      }
      copy_row(x + px, from.stride[inner], y + py, to.stride[inner], e.dim[inner]);
    }
  });
}

}  // namespace

namespace cpu {

void fill(View y, double value) {
  dispatch_type(y.dtype, [&](auto t) {
    using T = decltype(t);
    const T v = static_cast<T>(value);
    T* p = y.as<T>();
    parallel_for(y.size(), elementwise_grain,
                 [&](std::int64_t begin, std::int64_t end) { std::fill(p + begin, p + end, v); });
  });
}

void copy_bytes(View x, View y) {
  if (y.bytes()) std::memcpy(y.data, x.data, static_cast<std::size_t>(y.bytes()));
}

void copy_strided(Extent extent, View x, Walk from, View y, Walk to) {
  for (int k = 0; k < extent.rank; ++k)
    if (extent.dim[k] == 0) return;
  const Extent e = simplify(extent, from, to);
  if (size_of(x.dtype) == 8)
    copy_walk(e, x.as<std::uint64_t>(), from, y.as<std::uint64_t>(), to);
  else
    copy_walk(e, x.as<std::uint32_t>(), from, y.as<std::uint32_t>(), to);
}

void convert(View x, View y, double scale, double shift) {
  dispatch_type(x.dtype, [&](auto from) {
    dispatch_type(y.dtype, [&](auto to) {
      const auto* p = x.as<decltype(from)>();
      auto* q = y.as<decltype(to)>();
      // Bytes to f32 in f32: the same value for every pixel on every device.
      using Work = std::conditional_t<sizeof(from) == 1 && sizeof(to) == 4, float, double>;
      const Work s = static_cast<Work>(scale), t = static_cast<Work>(shift);
      parallel_for(y.size(), elementwise_grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) q[i] = static_cast<decltype(to)>(static_cast<Work>(p[i]) * s + t);
      });
    });
  });
}

void collect(Scalars scalars, View y) {
  for (int i = 0; i < scalars.count; ++i) y.as<double>()[i] = scalar_at(scalars, i);
}

}  // namespace cpu
}  // namespace duel::kernels
