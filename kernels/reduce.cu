// GPU path of kernels/reduce.h.
#include <climits>
#include <numeric>

#include "kernels/gpu/grid.cuh"
#include "kernels/reduce.h"

namespace duel::kernels::DUEL_GPU {
namespace {

using namespace reductions;

// How x (outer, n, inner) lies before the threads. Rows are joined by `fold`, so that one has whole packs: x is also
// (outer, n / fold, fold * inner), of which `packs` packs a row. The results of the fold columns of an i are joined
// last.
//
// A block has tile_x packs of a row, tile_y rows at a time, and tile_z places o where it holds whole rows. Blocks
// beside each other take the next packs, then the next o; blockIdx.y counts the pieces of n.
struct Layout {
  std::int64_t outer, n, inner;  // n in joined rows, inner as given
  std::int64_t each;             // rows of a piece
  int fold;
  std::int64_t packs;
  int tile_x, tile_y, tile_z;
  unsigned blocks_x, blocks_z, pieces;
};

constexpr int run = 32;                           // packs beside each other that make reading fast
constexpr std::int64_t enough_threads = 1 << 16;  // to fill a GPU; more rows of one column at a time only below that

Layout make_layout(std::int64_t outer, std::int64_t n, std::int64_t inner, std::int64_t pieces, int width) {
  Layout l{outer, n, inner, 0, static_cast<int>(width / std::gcd(inner, std::int64_t{width})), 0, 1, 1, 1, 1, 1, 1};
  l.n = n / l.fold;
  l.packs = l.fold * inner / width;
  while (2 * l.tile_y <= l.n && 2 * l.tile_y * std::min<std::int64_t>(l.packs, run) <= block_threads &&
         (outer * l.packs * l.tile_y < enough_threads || l.packs * l.tile_y < run))
    l.tile_y *= 2;
  const std::int64_t most = block_threads / l.tile_y, blocks_x = (l.packs + most - 1) / most;
  l.tile_x = static_cast<int>((l.packs + blocks_x - 1) / blocks_x);
  if (blocks_x == 1) l.tile_z = static_cast<int>(std::min<std::int64_t>(outer, most / l.tile_x));
  l.blocks_x = static_cast<unsigned>(blocks_x);
  l.blocks_z = static_cast<unsigned>((outer + l.tile_z - 1) / l.tile_z);
  l.pieces = static_cast<unsigned>(pieces);
  l.each = (l.n + pieces - 1) / pieces;
  return l;
}

// Rows can be joined where n allows it and a block holds all of a joined row.
bool packs_fit(std::int64_t n, std::int64_t inner, int width) {
  const std::int64_t fold = width / std::gcd(inner, std::int64_t{width});
  return n % fold == 0 && (fold == 1 || fold * inner / width <= run);
}

// The result of each piece of n: in `parts` where there are several, as f32; else y.
// parts: (outer, pieces, inner)
template <class F, class T, class Y, int width>
__global__ void __launch_bounds__(block_threads)
    reduce_tiles(const Layout l, const T* __restrict__ x, float* __restrict__ parts, Y* __restrict__ y) {
  SHARED(of_thread, float[width][block_threads + 32 / width]);  // so that 32 columns lie in 32 banks
  struct alignas(width * sizeof(T)) Word {
    T at[width];
  };
  const int t = static_cast<int>(threadIdx.x), row_threads = l.tile_x, plane = l.tile_x * l.tile_y;
  const int tx = t % row_threads, ty = t % plane / row_threads, tz = t / plane;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x % l.blocks_x) * l.tile_x, i = first + tx;
  const std::int64_t o = static_cast<std::int64_t>(blockIdx.x / l.blocks_x) * l.tile_z + tz;
  float s[width];
  for (float& v : s) v = F::template start<float>();
  if (o < l.outer && i < l.packs) {
    const std::int64_t begin = blockIdx.y * l.each, end = begin + l.each < l.n ? begin + l.each : l.n;
    const Word* from = reinterpret_cast<const Word*>(x) + o * l.n * l.packs + i;
#pragma unroll(width > 1 ? 4 : 8)
    for (std::int64_t j = begin + ty; j < end; j += l.tile_y) {
      const Word in = from[j * l.packs];
#pragma unroll
      for (int e = 0; e < width; ++e) s[e] = F::template step<float>(s[e], static_cast<float>(in.at[e]));
    }
  }
#pragma unroll
  for (int e = 0; e < width; ++e) of_thread[e][t] = s[e];
  __syncthreads();
  for (int half = l.tile_y / 2; half > 0; half /= 2) {
    if (ty < half) {
#pragma unroll
      for (int e = 0; e < width; ++e)
        of_thread[e][t] = F::template join<float>(of_thread[e][t], of_thread[e][t + half * row_threads]);
    }
    __syncthreads();
  }
  if (ty > 0 || o >= l.outer) return;
  // Columns of the tile, counted from its first; thread tx of row 0 has columns tx * width and following.
  const std::int64_t left = (l.packs - first < l.tile_x ? l.packs - first : l.tile_x) * width;
  const int columns = static_cast<int>(left) / l.fold;
  const std::int64_t to = (o * l.pieces + blockIdx.y) * l.inner + first * width;
  for (int c = tx; c < columns; c += row_threads) {
    float v = of_thread[c % width][t - tx + c / width];
    for (int g = c + columns; g < left; g += columns)
      v = F::template join<float>(v, of_thread[g % width][t - tx + g / width]);
    if (l.pieces > 1)
      parts[to + c] = v;
    else
      y[to + c] = static_cast<Y>(v);
  }
}

template <class F, class T, class Y, int width>
void reduce_once(const Layout& l, const T* x, float* parts, Y* y) {
  LAUNCH((reduce_tiles<F, T, Y, width>), dim3(l.blocks_x * l.blocks_z, l.pieces),
         static_cast<unsigned>(l.tile_x * l.tile_y * l.tile_z), 0, l, x, parts, y);
}

// Join: what the results of pieces are reduced with.
template <class F, class Join, class T>
void reduce_as(std::int64_t outer, std::int64_t n, std::int64_t inner, const T* x, float* parts, T* y) {
  constexpr int width = Pack<T>::count;
  const std::int64_t pieces = parts ? reduce_pieces(outer, n, inner) : 1;
  if (packs_fit(n, inner, width))
    reduce_once<F, T, T, width>(make_layout(outer, n, inner, pieces, width), x, parts, y);
  else
    reduce_once<F, T, T, 1>(make_layout(outer, n, inner, pieces, 1), x, parts, y);
  if (pieces > 1)
    reduce_once<Join, float, T, 1>(make_layout(outer, pieces, inner, 1, 1), parts, static_cast<float*>(nullptr), y);
}

struct Candidate {
  float value;
  int at;
};
__device__ bool beats(const Candidate& a, const Candidate& b) {
  const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
  if (nan_a != nan_b) return nan_a;
  if (a.value != b.value && !nan_a) return a.value > b.value;
  return a.at < b.at;
}

// `lanes` threads of a warp for each result: all 32 for rows, which they read side by side, and one for columns.
template <class T>
__global__ void __launch_bounds__(block_threads)
    argmax_all(int lanes, std::int64_t results, std::int64_t n, std::int64_t inner, const T* __restrict__ x,
               std::int32_t* __restrict__ y) {
  const std::int64_t result = global_thread() / lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  Candidate best{-INFINITY, INT_MAX};
  if (result < results) {
    const T* from = x + result / inner * n * inner + result % inner;
    for (std::int64_t j = lane; j < n; j += lanes) {
      const Candidate now{static_cast<float>(from[j * inner]), static_cast<int>(j)};
      if (beats(now, best)) best = now;
    }
  }
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    const Candidate other{__shfl_xor_sync(0xffffffffu, best.value, distance),
                          __shfl_xor_sync(0xffffffffu, best.at, distance)};
    if (beats(other, best)) best = other;
  }
  if (result < results && lane == 0) y[result] = n ? best.at : 0;
}

}  // namespace

void reduce(Reduce f, std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View scratch, View y) {
  if (outer * inner == 0) return;
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    const T* from = x.as<const T>();
    auto* parts = scratch.as<float>();
    switch (f) {
      case Reduce::sum:
        return reduce_as<Sum, Sum>(outer, n, inner, from, parts, y.as<T>());
      case Reduce::sum_squares:
        return reduce_as<SumSquares, Sum>(outer, n, inner, from, parts, y.as<T>());
      case Reduce::max:
        return reduce_as<Max, Max>(outer, n, inner, from, parts, y.as<T>());
      case Reduce::min:
        return reduce_as<Min, Min>(outer, n, inner, from, parts, y.as<T>());
    }
  });
}

void argmax(std::int64_t outer, std::int64_t n, std::int64_t inner, View x, View y) {
  const std::int64_t results = outer * inner;
  if (results == 0) return;
  const int lanes = inner == 1 ? 32 : 1;
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((argmax_all<T>), static_cast<unsigned>((results * lanes + block_threads - 1) / block_threads), block_threads,
           0, lanes, results, n, inner, x.as<const T>(), y.as<std::int32_t>());
  });
}

}  // namespace duel::kernels::DUEL_GPU
