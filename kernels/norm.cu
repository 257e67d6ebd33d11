// GPU path of kernels/norm.h.
//
// All passes over x divide (B, S, C) alike: a block takes a piece of S (norm_piece) and a tile of channels. Its threads
// stand side by side over a position's channels, 16 bytes each, and one behind the other over positions, so that a warp
// reads whole rows of the tile; each thread keeps its channels while it walks over positions. Sums over S are made in
// two steps: each block writes one pair of numbers per channel, (b, c, pieces) in scratch, and a second kernel adds the
// pairs of a group, which lie side by side.
#include <cmath>
#include <type_traits>

#include "kernels/gpu/grid.cuh"
#include "kernels/gpu/moments.h"
#include "kernels/norm.h"

namespace duel::kernels::DUEL_GPU {
namespace {

constexpr int warps = block_threads / 32;
constexpr int widest_tile = 64;

// NormShape as kernels use it.
struct Cut {
  std::int64_t s;
  int b, c, g, k;
  std::int64_t piece;
  int pieces, tiles;
};

// The part of x that a thread works on: V channels from c, at the positions threadIdx.y, + blockDim.y, ... < rows of
// its block's piece. Threads beyond the last channel have no rows.
template <int V>
struct Part {
  int b, piece, tile, c, rows;  // tile: its first channel
  std::int64_t at, step;        // the first position's element, and the distance to the next one

  __device__ explicit Part(const Cut& n) {
    const int width = static_cast<int>(blockDim.x) * V;
    const unsigned block = blockIdx.x, tiles = static_cast<unsigned>(n.tiles), pieces = static_cast<unsigned>(n.pieces);
    tile = static_cast<int>(block % tiles) * width;
    piece = static_cast<int>(block / tiles % pieces);
    b = static_cast<int>(block / tiles / pieces);
    c = tile + static_cast<int>(threadIdx.x) * V;
    const std::int64_t first = piece * n.piece, left = n.s - first;
    rows = c < n.c ? static_cast<int>(left < n.piece ? left : n.piece) : 0;
    at = (b * n.s + first + threadIdx.y) * n.c + c;
    step = static_cast<std::int64_t>(blockDim.y) * n.c;
  }
};

// V values side by side, as they are stored: they stay packed until they are used, in half as many registers for bf16.
template <class T, int V>
struct alignas(V * sizeof(T)) Stored {
  T at[V];
};
template <class T, int V>
struct Channels {
  using Word = std::conditional_t<V * sizeof(T) % 4 == 0, std::uint32_t, std::uint16_t>;
  struct Words {
    Word at[V * sizeof(T) / sizeof(Word)];
  } words;

  __device__ float operator[](int i) const {
    if constexpr (sizeof(T) == 4)
      return __uint_as_float(words.at[i]);
    else
      return __uint_as_float(i % 2 ? words.at[i / 2] & 0xffff0000u : static_cast<std::uint32_t>(words.at[i / 2]) << 16);
  }
};
template <class T, int V>
__device__ inline Channels<T, V> load(const T* __restrict__ p) {
  using Words = typename Channels<T, V>::Words;
  return {__builtin_bit_cast(Words, *reinterpret_cast<const Stored<T, V>*>(p))};
}
template <class T, int V>
__device__ inline void store(const float (&v)[V], T* __restrict__ p) {
  Stored<T, V> packed;
  for (int i = 0; i < V; ++i) packed.at[i] = static_cast<T>(v[i]);
  *reinterpret_cast<Stored<T, V>*>(p) = packed;
}

// Numbers of a thread's channels: per channel, and per group of channels (W numbers each).
template <int V, class T>
__device__ inline void load_channels(const T* __restrict__ p, const Part<V>& part, float missing, float (&v)[V]) {
  for (int i = 0; i < V; ++i) v[i] = missing;
  if (!p) return;
  const auto stored = load<T, V>(p + part.c);
  for (int i = 0; i < V; ++i) v[i] = stored[i];
}
template <int W, int V>
__device__ inline void load_groups(const float* __restrict__ p, const Cut& n, const Part<V>& part, float (&v)[V * W]) {
  p += static_cast<std::int64_t>(part.b) * n.g * W;
  if (n.k == 1) {
    const auto stored = load<float, V * W>(p + part.c * W);
    for (int i = 0; i < V * W; ++i) v[i] = stored[i];
  } else {
    for (int i = 0; i < V * W; ++i) v[i] = p[(part.c + i / W) / n.k * W + i % W];
  }
}

// use(element, fetch(element)) at each position of a thread. Fetches `ahead` positions before it uses them: memory is
// slow to answer, and there are few threads.
template <int ahead, int V, class Fetch, class Use>
__device__ inline void walk(const Part<V>& part, Fetch fetch, Use use) {
  const int down = static_cast<int>(blockDim.y);
  std::int64_t at = part.at;
  for (int r = static_cast<int>(threadIdx.y); r < part.rows; r += ahead * down, at += ahead * part.step) {
    decltype(fetch(at)) fetched[ahead] = {};
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (r + u * down < part.rows) fetched[u] = fetch(at + u * part.step);
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (r + u * down < part.rows) use(at + u * part.step, fetched[u]);
  }
}

// The sum over the positions of a warp, in all of its threads.
__device__ inline float sum_down(float v) {
  for (int o = static_cast<int>(blockDim.x); o < 32; o *= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}
// The sum over a set of `lanes` neighbours.
__device__ inline float sum_across(float v, int lanes) {
  for (int o = lanes / 2; o > 0; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}

// What the warps of a block found for the channels of its tile: a pair of numbers each.
struct Findings {
  float first[warps][widest_tile], second[warps][widest_tile], count[warps];
};
__device__ inline int thread_of_block() { return static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); }

// Per channel of a block's piece: the mean and the sum of squared deviations (Welford 1962 within a thread, and Chan et
// al. 1979 between threads): no cancellation however far the mean is from 0. One pair a group: it is the statistics.
template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    piece_statistics(Cut n, float eps, const T* __restrict__ x, float* __restrict__ mean, float* __restrict__ rstd,
                     float2* __restrict__ pairs) {
  SHARED(found, Findings);
  const Part<V> part(n);
  float count = 0, m[V] = {}, squares[V] = {};
  // The first value is the first mean: what the approximate division misses is a part of a deviation, not of x.
  if (static_cast<int>(threadIdx.y) < part.rows) {
    const auto first = load<T, V>(x + part.at);
    for (int i = 0; i < V; ++i) m[i] = first[i];
  }
  walk<4>(
      part, [&](std::int64_t at) { return load<T, V>(x + at); },
      [&](std::int64_t, const Channels<T, V>& v) {
        count += 1;
        const float share = __fdividef(1.0f, count);
        for (int i = 0; i < V; ++i) {
          const float d = v[i] - m[i];
          m[i] += d * share;
          squares[i] += d * (v[i] - m[i]);
        }
      });
  const int t = thread_of_block(), warp = t / 32;
  const bool writes = t % 32 < static_cast<int>(blockDim.x);
  const float of_warp = sum_down(count), inverse = of_warp > 0 ? 1 / of_warp : 0;
  for (int i = 0; i < V; ++i) {
    const float together = sum_down(count * m[i]) * inverse, d = m[i] - together;
    const float sum = sum_down(squares[i] + count * (d * d));
    const int column = static_cast<int>(threadIdx.x) * V + i;
    if (writes) {
      found.first[warp][column] = together;
      found.second[warp][column] = sum;
    }
  }
  // Lane 0 stands at the tile's first channel, which exists: its count is that of all channels.
  if (t % 32 == 0) found.count[warp] = of_warp;
  __syncthreads();
  const int c = part.tile + t;
  if (t >= static_cast<int>(blockDim.x) * V || c >= n.c) return;
  float all = 0, together = 0, sum = 0;
  for (int w = 0; w < warps; ++w) {
    all += found.count[w];
    together += found.count[w] * found.first[w][t];
  }
  together /= all;
  for (int w = 0; w < warps; ++w) {
    const float d = found.first[w][t] - together;
    sum += found.second[w][t] + found.count[w] * (d * d);
  }
  const std::int64_t channel = static_cast<std::int64_t>(part.b) * n.c + c;
  if (n.k * n.pieces == 1) {
    mean[channel] = together;
    rstd[channel] = rsqrtf(sum / all + eps);
  } else {
    pairs[channel * n.pieces + part.piece] = make_float2(together, sum);
  }
}

// The statistics of each (b, g) from its k * pieces pairs. `lanes` neighbours share a group. counts: the positions of
// each piece; null for those of Cut.
__global__ void __launch_bounds__(block_threads)
    group_statistics(Cut n, int lanes, float eps, const float2* __restrict__ pairs, const float* __restrict__ counts,
                     float* __restrict__ mean, float* __restrict__ rstd) {
  const std::int64_t group = global_thread() / lanes, groups = static_cast<std::int64_t>(n.b) * n.g;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int entries = group < groups ? n.k * n.pieces : 0;
  const float2* p = pairs + group * n.k * n.pieces;
  const float all = static_cast<float>(n.s) * static_cast<float>(n.k);
  auto positions = [&](int i) {
    if (counts) return counts[i % n.pieces];
    const std::int64_t left = n.s - i % n.pieces * n.piece;
    return static_cast<float>(left < n.piece ? left : n.piece);
  };
  float together = 0, sum = 0;
#pragma unroll 4
  for (int i = lane; i < entries; i += lanes) together += positions(i) * p[i].x;
  together = sum_across(together, lanes) / all;
#pragma unroll 4
  for (int i = lane; i < entries; i += lanes) {
    const float d = p[i].x - together;
    sum += p[i].y + positions(i) * (d * d);
  }
  sum = sum_across(sum, lanes);
  if (lane != 0 || group >= groups) return;
  mean[group] = together;
  rstd[group] = rsqrtf(sum / all + eps);
}

template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    apply(Cut n, float slope, const T* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ rstd,
          const T* __restrict__ gamma, const T* __restrict__ beta, T* __restrict__ y) {
  const Part<V> part(n);
  if (part.rows == 0) return;
  float m[V], r[V], scale[V], shift[V];
  load_groups<1>(mean, n, part, m);
  load_groups<1>(rstd, n, part, r);
  load_channels(gamma, part, 1, scale);
  load_channels(beta, part, 0, shift);
  for (int i = 0; i < V; ++i) scale[i] *= r[i];
  walk<4>(
      part, [&](std::int64_t at) { return load<T, V>(x + at); },
      [&](std::int64_t at, const Channels<T, V>& v) {
        float result[V];
        for (int i = 0; i < V; ++i) {
          const float before = (v[i] - m[i]) * scale[i] + shift[i];
          result[i] = before > 0 ? before : slope * before;
        }
        store<T>(result, y + at);
      });
}

// What the gradient reads at one position. `side` tells the activation's side: y, or without an activation (slope 1)
// anything.
template <class T, int V>
struct Read {
  Channels<T, V> x, side, dy;

  __device__ float dv(int i, float slope) const { return side[i] > 0 ? dy[i] : slope * dy[i]; }
};
template <class T, int V>
__device__ inline Read<T, V> read(const T* __restrict__ x, const T* __restrict__ side, const T* __restrict__ dy,
                                  std::int64_t at) {
  return {load<T, V>(x + at), load<T, V>(side + at), load<T, V>(dy + at)};
}

// Per channel of a block's piece: the sums of dv and dv * xhat.
template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    piece_sums(Cut n, float slope, const T* __restrict__ x, const float* __restrict__ mean,
               const float* __restrict__ rstd, const T* __restrict__ side, const T* __restrict__ dy,
               float2* __restrict__ pairs) {
  SHARED(found, Findings);
  const Part<V> part(n);
  float m[V] = {}, sum[V] = {}, products[V] = {};
  if (part.rows > 0) load_groups<1>(mean, n, part, m);
  walk<2>(
      part, [&](std::int64_t at) { return read<T, V>(x, side, dy, at); },
      [&](std::int64_t, const Read<T, V>& v) {
        for (int i = 0; i < V; ++i) {
          const float dv = v.dv(i, slope);
          sum[i] += dv;
          products[i] += dv * (v.x[i] - m[i]);
        }
      });
  const int t = thread_of_block(), warp = t / 32;
  const bool writes = t % 32 < static_cast<int>(blockDim.x);
  for (int i = 0; i < V; ++i) {
    const float first = sum_down(sum[i]), second = sum_down(products[i]);
    const int column = static_cast<int>(threadIdx.x) * V + i;
    if (writes) {
      found.first[warp][column] = first;
      found.second[warp][column] = second;
    }
  }
  __syncthreads();
  const int c = part.tile + t;
  if (t >= static_cast<int>(blockDim.x) * V || c >= n.c) return;
  float2 pair = make_float2(0, 0);
  for (int w = 0; w < warps; ++w) {
    pair.x += found.first[w][t];
    pair.y += found.second[w][t];
  }
  pair.y *= rstd[static_cast<std::int64_t>(part.b) * n.g + c / n.k];
  pairs[(static_cast<std::int64_t>(part.b) * n.c + c) * n.pieces + part.piece] = pair;
}

// Blocks before `group_blocks`: means[b,g] = 1/(S*K) sum of gamma * (dv, dv * xhat), `lanes` neighbours a group.
// The others: dbeta[c], dgamma[c], `channel_lanes` neighbours a channel.
template <class T>
__global__ void __launch_bounds__(block_threads)
    add_pairs(Cut n, int group_blocks, int lanes, int channel_lanes, const float2* __restrict__ pairs,
              const T* __restrict__ gamma, float2* __restrict__ means, T* __restrict__ dgamma, T* __restrict__ dbeta) {
  float first = 0, second = 0;
  const bool of_group = static_cast<int>(blockIdx.x) < group_blocks;
  if (!of_group) lanes = channel_lanes;
  const std::int64_t block = of_group ? blockIdx.x : blockIdx.x - static_cast<unsigned>(group_blocks);
  const std::int64_t item = (block * block_threads + threadIdx.x) / lanes;  // a (b, g), or a channel
  const bool exists = item < (of_group ? static_cast<std::int64_t>(n.b) * n.g : n.c);
  const int entries = exists ? (of_group ? n.k : n.b) * n.pieces : 0, lane = static_cast<int>(threadIdx.x) % lanes;
#pragma unroll 4
  for (int i = lane; i < entries; i += lanes) {
    const int row = i / n.pieces;  // a channel of the group, or a b
    const std::int64_t channel = of_group ? item * n.k + row : static_cast<std::int64_t>(row) * n.c + item;
    const float2 pair = pairs[channel * n.pieces + i % n.pieces];
    const float weight = of_group && gamma ? static_cast<float>(gamma[channel % n.c]) : 1.0f;
    first += weight * pair.x;
    second += weight * pair.y;
  }
  first = sum_across(first, lanes);
  second = sum_across(second, lanes);
  if (lane != 0 || !exists) return;
  if (of_group) {
    const float all = static_cast<float>(n.s) * static_cast<float>(n.k);
    means[item] = make_float2(first / all, second / all);
  } else {
    if (dbeta) dbeta[item] = static_cast<T>(first);
    if (dgamma) dgamma[item] = static_cast<T>(second);
  }
}

// dx = rstd*gamma * dv - rstd^2 * mean(dv*gamma*xhat) * (x - mean) - rstd * mean(dv*gamma)
template <class T, int V>
__global__ void __launch_bounds__(block_threads)
    grad_input(Cut n, float slope, const T* __restrict__ x, const float* __restrict__ mean,
               const float* __restrict__ rstd, const T* __restrict__ gamma, const T* __restrict__ side,
               const T* __restrict__ dy, const float2* __restrict__ means, T* __restrict__ dx) {
  const Part<V> part(n);
  if (part.rows == 0) return;
  float m[V], r[V], pair[V * 2], by_dv[V], by_x[V], shift[V];
  load_groups<1>(mean, n, part, m);
  load_groups<1>(rstd, n, part, r);
  load_groups<2>(&means->x, n, part, pair);
  load_channels(gamma, part, 1, by_dv);
  for (int i = 0; i < V; ++i) {
    by_dv[i] *= r[i];
    by_x[i] = -r[i] * r[i] * pair[2 * i + 1];
    shift[i] = -r[i] * pair[2 * i];
  }
  walk<2>(
      part, [&](std::int64_t at) { return read<T, V>(x, side, dy, at); },
      [&](std::int64_t at, const Read<T, V>& v) {
        float result[V];
        for (int i = 0; i < V; ++i) result[i] = by_dv[i] * v.dv(i, slope) + (by_x[i] * (v.x[i] - m[i]) + shift[i]);
        store<T>(result, dx + at);
      });
}

__global__ void __launch_bounds__(block_threads)
    update_running(std::int64_t n, float unbiased, float eps, float keep, float momentum,
                   const float* __restrict__ mean, const float* __restrict__ rstd, float* __restrict__ running_mean,
                   float* __restrict__ running_var, const std::int32_t* __restrict__ finite) {
  const std::int64_t i = global_thread();
  if (i >= n || (finite && *finite == 0)) return;
  const float m = mean[i], var = (1 / (rstd[i] * rstd[i]) - eps) * unbiased;
  if (!std::isfinite(m) || !std::isfinite(var)) return;
  running_mean[i] = keep * running_mean[i] + momentum * m;
  running_var[i] = keep * running_var[i] + momentum * var;
}

// A launch over all of x: f(a value of the storage type, a constant V, cut, grid, block).
template <class F>
void over_pieces(const NormShape& s, DType type, F f) {
  Cut n{s.s, static_cast<int>(s.b), static_cast<int>(s.channels()), static_cast<int>(s.g), static_cast<int>(s.k), 0, 0,
        0};
  n.piece = norm_piece(s);
  n.pieces = static_cast<int>(norm_pieces(s));
  auto go = [&](auto t, auto width) {
    // A tile's row is 128 bytes where packs of 16 bytes fit, and 32 elements where they do not.
    constexpr int v = decltype(width)::value;
    const int packs = n.c / v, most = v == 1 ? 32 : 8;
    int across = 1;
    while (across < most && across < packs) across *= 2;
    n.tiles = (packs + across - 1) / across;
    const unsigned blocks =
        static_cast<unsigned>(n.b) * static_cast<unsigned>(n.tiles) * static_cast<unsigned>(n.pieces);
    const auto x = static_cast<unsigned>(across);
    f(t, width, n, dim3(blocks), dim3(x, block_threads / x));
  };
  dispatch_storage(type, [&](auto t) {
    constexpr int whole = Pack<decltype(t)>::count;
    if (n.c % whole == 0)
      go(t, std::integral_constant<int, whole>{});
    else
      go(t, std::integral_constant<int, 1>{});
  });
}

// Neighbours that share the addition of `entries` pairs: a power of two up to a warp.
int lanes_for(std::int64_t entries) {
  int lanes = 1;
  while (lanes < 32 && lanes < entries) lanes *= 2;
  return lanes;
}
unsigned blocks_of(std::int64_t items, int lanes) {
  return static_cast<unsigned>((items * lanes + block_threads - 1) / block_threads);
}

}  // namespace

void norm_statistics(NormShape s, double eps, View x, View mean, View rstd, View scratch) {
  const std::int64_t groups = s.b * s.g;
  if (groups * s.k == 0) return;
  over_pieces(s, x.dtype, [&](auto t, auto width, const Cut& n, dim3 grid, dim3 block) {
    using T = decltype(t);
    constexpr int V = decltype(width)::value;
    if (n.pieces > 0)
      LAUNCH((piece_statistics<T, V>), grid, block, 0, n, static_cast<float>(eps), x.as<T>(), mean.as<float>(),
             rstd.as<float>(), scratch.as<float2>());
    const std::int64_t entries = s.k * n.pieces;
    if (entries == 1) return;
    const int lanes = lanes_for(entries);
    LAUNCH((group_statistics), blocks_of(groups, lanes), block_threads, 0, n, lanes, static_cast<float>(eps),
           scratch.as<float2>(), static_cast<const float*>(nullptr), mean.as<float>(), rstd.as<float>());
  });
}

void merge_moments(const NormShape& s, double eps, const float2* pairs, int pieces, float* mean, float* rstd) {
  const Cut n{s.s, 1, static_cast<int>(s.g), static_cast<int>(s.g), 1, 0, pieces, 0};
  const int lanes = lanes_for(pieces);
  const auto* counts = reinterpret_cast<const float*>(pairs + s.g * pieces);
  LAUNCH((group_statistics), blocks_of(s.g, lanes), block_threads, 0, n, lanes, static_cast<float>(eps), pairs, counts,
         mean, rstd);
}

void norm_apply(NormShape s, double slope, View x, View mean, View rstd, View gamma, View beta, View y) {
  if (x.size() == 0) return;
  over_pieces(s, x.dtype, [&](auto t, auto width, const Cut& n, dim3 grid, dim3 block) {
    using T = decltype(t);
    constexpr int V = decltype(width)::value;
    LAUNCH((apply<T, V>), grid, block, 0, n, static_cast<float>(slope), x.as<T>(), mean.as<float>(), rstd.as<float>(),
           gamma.as<T>(), beta.as<T>(), y.as<T>());
  });
}

void norm_grad(NormShape s, double slope, View x, View mean, View rstd, View gamma, View y, View dy, View scratch,
               View dx, View dgamma, View dbeta) {
  if (s.channels() == 0) return;
  const auto slope_of_act = static_cast<float>(slope);
  over_pieces(s, x.dtype, [&](auto t, auto width, const Cut& n, dim3 grid, dim3 block) {
    using T = decltype(t);
    constexpr int V = decltype(width)::value;
    const T* side = slope == 1 ? dy.as<T>() : y.as<T>();
    float2* pairs = scratch.as<float2>();
    float2* means = pairs + s.b * s.channels() * n.pieces;
    if (grid.x > 0)
      LAUNCH((piece_sums<T, V>), grid, block, 0, n, slope_of_act, x.as<T>(), mean.as<float>(), rstd.as<float>(), side,
             dy.as<T>(), pairs);
    const std::int64_t groups = s.b * s.g, channels = dgamma || dbeta ? s.channels() : 0;
    const int lanes = lanes_for(s.k * n.pieces), channel_lanes = lanes_for(s.b * n.pieces);
    const unsigned group_blocks = blocks_of(groups, lanes), blocks = group_blocks + blocks_of(channels, channel_lanes);
    if (blocks > 0)
      LAUNCH((add_pairs<T>), blocks, block_threads, 0, n, static_cast<int>(group_blocks), lanes, channel_lanes, pairs,
             gamma.as<T>(), means, dgamma.as<T>(), dbeta.as<T>());
    if (dx && grid.x > 0)
      LAUNCH((grad_input<T, V>), grid, block, 0, n, slope_of_act, x.as<T>(), mean.as<float>(), rstd.as<float>(),
             gamma.as<T>(), side, dy.as<T>(), means, dx.as<T>());
  });
}

void norm_running(NormShape s, double eps, double momentum, View mean, View rstd, View running_mean, View running_var,
                  View finite) {
  if (s.g == 0) return;
  const double n = static_cast<double>(s.s), unbiased = n / (n > 1 ? n - 1 : 1);
  LAUNCH((update_running), blocks_for(s.g), block_threads, 0, s.g, static_cast<float>(unbiased),
         static_cast<float>(eps), static_cast<float>(1 - momentum), static_cast<float>(momentum), mean.as<float>(),
         rstd.as<float>(), running_mean.as<float>(), running_var.as<float>(), finite.as<std::int32_t>());
}

}  // namespace duel::kernels::DUEL_GPU
