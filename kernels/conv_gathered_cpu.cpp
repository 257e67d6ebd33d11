#include <omp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/conv_gathered.h"
#include "kernels/matmul.h"

namespace duel::kernels::cpu {
namespace {

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return n > 0 ? (n + d - 1) / d : -(-n / d); }
std::int64_t floor_div(std::int64_t n, std::int64_t d) { return -ceil_div(-n, d); }

// The product that Spread and Collect share:
//
//   out[i, q] (+)= sum over d of in[i*row_step + d*depth_step] * taps[d, q]      q < columns, a multiple of 16
struct Product {
  std::int64_t rows, depth, columns;
  const float* in;
  std::int64_t row_step, depth_step;
  const float* taps;
  float* out;
};

typedef float Vector __attribute__((vector_size(64)));
typedef float UnalignedVector __attribute__((vector_size(64), aligned(4)));

// Rows [i, i+rows) and `vecs` vectors of columns from `column` on, held in registers.
template <bool accumulate, int rows, int vecs>
[[gnu::always_inline]] inline void product_tile(const Product& p, std::int64_t i, std::int64_t column) {
  const float* in = p.in + i * p.row_step;
  const float* taps = p.taps + column;
  float* out = p.out + i * p.columns + column;
  Vector sum[rows][vecs] = {};
  for (std::int64_t d = 0; d < p.depth; ++d, in += p.depth_step, taps += p.columns)
#pragma GCC unroll 8
    for (int k = 0; k < rows; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < vecs; ++v)
        sum[k][v] += in[k * p.row_step] * *reinterpret_cast<const UnalignedVector*>(taps + 16 * v);
#pragma GCC unroll 8
  for (int k = 0; k < rows; ++k)
#pragma GCC unroll 4
    for (int v = 0; v < vecs; ++v) {
      auto* to = reinterpret_cast<UnalignedVector*>(out + k * p.columns + 16 * v);
      *to = accumulate ? *to + sum[k][v] : sum[k][v];
    }
}

template <bool accumulate, int rows, int vecs>
[[gnu::always_inline]] inline void product_panel(const Product& p, std::int64_t column) {
  std::int64_t i = 0;
  for (; i + rows <= p.rows; i += rows) product_tile<accumulate, rows, vecs>(p, i, column);
  for (; i + 2 <= p.rows; i += 2) product_tile<accumulate, 2, vecs>(p, i, column);
  for (; i < p.rows; ++i) product_tile<accumulate, 1, vecs>(p, i, column);
}

// rows1..3: rows of a tile that is 1 to 3 vectors wide; what fits the register file.
template <bool accumulate, int rows1, int rows2, int rows3>
[[gnu::always_inline]] inline void product_all(const Product& p) {
  for (std::int64_t column = 0; column < p.columns; column += 48) {
    const std::int64_t vectors = (p.columns - column) / 16;
    if (vectors == 1) product_panel<accumulate, rows1, 1>(p, column);
    if (vectors == 2) product_panel<accumulate, rows2, 2>(p, column);
    if (vectors >= 3) product_panel<accumulate, rows3, 3>(p, column);
  }
}

#ifdef __x86_64__
// Duel is built for AVX2; these few loops are worth a second build, chosen at run time.
template <bool accumulate>
[[gnu::target("avx512f")]] void product_avx512(const Product& p) {
  product_all<accumulate, 8, 8, 8>(p);
}
const bool has_avx512 = __builtin_cpu_supports("avx512f");
#endif

template <bool accumulate>
void multiply(const Product& p) {
#ifdef __x86_64__
  if (has_avx512) return product_avx512<accumulate>(p);
#endif
  product_all<accumulate, 6, 3, 2>(p);
}

// Rows of taps or products that stay in the first-level cache until they are used: 24 KB.
std::int64_t cached_rows(std::int64_t columns) { return std::max<std::int64_t>(1, 6144 / columns); }

// Few channels: one of the two images, `thin`, has only `width` channels e, the other, `thick`, has `depth` channels d.
//
//   T = sum over n,i,j,r,s,d,e of  thin[n, i*S+r-P, j*S+s-P, e] * taps[d,(r,s,e)] * thick[n,i,j,d]
//
// With few channels in x this is conv.h's form as it stands (thin = x, thick = y). With few in y and stride 1 it is
// too, with the kernel turned around (thin = y, thick = x). oneDNN's vectors run over the channels of the result and
// leave most of the machine idle when these are few; here they run over all kh*kw*width columns of the taps.
struct Few {
  bool turned = false;
  std::int64_t n, thick_h, thick_w, depth, thin_h, thin_w, width;
  std::int64_t kh, kw, stride_h, stride_w, pad_top, pad_left;

  std::int64_t used_columns() const { return kh * kw * width; }
  std::int64_t columns() const { return round_up(used_columns(), 16); }
  std::int64_t pixels() const { return n * thick_h * thick_w; }
  // Where taps[d,q] lies in w.
  std::int64_t weight_index(std::int64_t d, std::int64_t q) const {
    return turned ? (q % width * kh * kw + kh * kw - 1 - q / width) * depth + d : d * used_columns() + q;
  }
};

Few few_in_x(const ConvGeometry& g) {
  return {false, g.n, g.yh, g.yw, g.o, g.xh, g.xw, g.c, g.kh, g.kw, g.stride_h, g.stride_w, g.pad_top, g.pad_left};
}

Few make_few(ConvSlot slot, const ConvGeometry& g) {
  if (slot == ConvSlot::x || (slot == ConvSlot::w && g.c <= g.o)) return few_in_x(g);
  return {true, g.n, g.xh, g.xw, g.c, g.yh, g.yw, g.o, g.kh, g.kw, 1, 1, g.kh - 1 - g.pad_top, g.kw - 1 - g.pad_left};
}

// Block j of `length` floats at from + j*from_step is copied or added to the one at to + j*to_step. Blocks are a few
// floats long, too short for memcpy or a loop of unknown length; neighbours in `to` never overlap.
template <bool add, int length>
void move_blocks(std::int64_t count, const float* from, std::int64_t from_step, float* to, std::int64_t to_step) {
  for (std::int64_t j = 0; j < count; ++j, from += from_step, to += to_step)
    if constexpr (add)
      for (int q = 0; q < length; ++q) to[q] += from[q];
    else
      std::memcpy(to, from, sizeof(float) * length);
}

template <bool add>
void move_blocks(std::int64_t length, std::int64_t count, const float* from, std::int64_t from_step, float* to,
                 std::int64_t to_step) {
  const auto known = [&]<int... lengths>(std::integer_sequence<int, lengths...>) {
    return ((length == lengths && (move_blocks<add, lengths>(count, from, from_step, to, to_step), true)) || ...);
  };
  if (known(std::integer_sequence<int, 1, 2, 3, 4, 6, 8, 9, 12>{})) return;
  for (std::int64_t j = 0; j < count; ++j, from += from_step, to += to_step)
    for (std::int64_t q = 0; q < length; ++q) to[q] = add ? to[q] + from[q] : from[q];
}

// Copies the thin pixels under one thick pixel, kernel row after kernel row; outside lie zeros.
struct Gather {
  const Few& p;
  const float* thin;
  std::int64_t n, i, j;

  Gather(const Few& few, const float* image, std::int64_t pixel)
      : p(few), thin(image), n(pixel / p.thick_w / p.thick_h), i(pixel / p.thick_w % p.thick_h), j(pixel % p.thick_w) {}

  void next() {
    if (++j == p.thick_w) j = 0, ++i;
    if (i == p.thick_h) i = 0, ++n;
  }

  void copy_to(float* to) const {
    const std::int64_t top = i * p.stride_h - p.pad_top, left = j * p.stride_w - p.pad_left, length = p.kw * p.width;
    const float* image = thin + n * p.thin_h * p.thin_w * p.width;
    if (top >= 0 && top + p.kh <= p.thin_h && left >= 0 && left + p.kw <= p.thin_w)
      return move_blocks<false>(length, p.kh, image + (top * p.thin_w + left) * p.width, p.thin_w * p.width, to,
                                length);
    const std::int64_t begin = std::clamp<std::int64_t>(-left, 0, p.kw);
    const std::int64_t end = std::clamp<std::int64_t>(p.thin_w - left, begin, p.kw);
    std::fill_n(to, p.used_columns(), 0.f);
    for (std::int64_t row = std::max<std::int64_t>(top, 0); row < std::min(top + p.kh, p.thin_h); ++row)
      std::copy_n(image + (row * p.thin_w + left + begin) * p.width, (end - begin) * p.width,
                  to + (row - top) * length + begin * p.width);
  }
};

// Spread: thin = dT/dthin. Every thick pixel is multiplied by the taps, and the products are added to the thin pixels
// that they belong to.
struct Spread : Few {
  std::int64_t column_blocks() const { return (kw + stride_w - 1) / stride_w; }
  // Thick rows multiplied at once.
  std::int64_t chunk() const { return std::clamp<std::int64_t>(cached_rows(columns()) / thick_w, 1, thick_h); }
  // Thin rows under construction, as wide as the products reach on both sides.
  std::int64_t ring_rows() const { return std::max(kh, stride_h); }
  std::int64_t ring_width() const {
    return std::max((thick_w - 1 + column_blocks()) * stride_w, pad_left + thin_w) * width;
  }
  // Floats of workspace: the taps, then for each thread products and ring.
  std::int64_t taps_size() const { return depth * columns(); }
  std::int64_t products_size() const { return chunk() * thick_w * columns(); }
  std::int64_t ring_size() const { return round_up(ring_rows() * ring_width(), 16); }
  std::int64_t floats(int threads) const { return taps_size() + threads * (products_size() + ring_size()); }

  void pack_taps(const float* w, float* taps) const {
    for (std::int64_t d = 0; d < depth; ++d, taps += columns()) {
      for (std::int64_t q = 0; q < used_columns(); ++q) taps[q] = w[weight_index(d, q)];
      std::fill(taps + used_columns(), taps + columns(), 0.f);
    }
  }
};

// One image's thin rows [first, last): the ring holds the rows that later thick rows still add to; a row that is
// complete is written out and its place cleared.
struct SpreadBand {
  const Spread& p;
  float* products;
  float* ring;
  float* out;                    // the thin image
  std::int64_t first, last;      // of its rows
  std::int64_t written = first;  // rows before this one are complete

  float* ring_row(std::int64_t row) const { return ring + (row + p.pad_top) % p.ring_rows() * p.ring_width(); }

  void write_before(std::int64_t end) {
    for (end = std::min(end, last); written < end; ++written) {
      float* row = ring_row(written);
      std::copy_n(row + p.pad_left * p.width, p.thin_w * p.width, out + written * p.thin_w * p.width);
      std::fill_n(row, p.ring_width(), 0.f);
    }
  }

  void add_row(std::int64_t i, const float* row_products) {
    for (std::int64_t r = 0; r < p.kh; ++r) {
      const std::int64_t row = i * p.stride_h + r - p.pad_top;
      if (row < first || row >= last) continue;
      for (std::int64_t s = 0; s < p.kw; s += p.stride_w)
        move_blocks<true>(std::min(p.stride_w, p.kw - s) * p.width, p.thick_w, row_products + (r * p.kw + s) * p.width,
                          p.columns(), ring_row(row) + s * p.width, p.stride_w * p.width);
    }
  }

  void run(const float* thick, const float* taps) {
    std::fill_n(ring, p.ring_rows() * p.ring_width(), 0.f);
    const std::int64_t begin = std::max<std::int64_t>(0, ceil_div(first + p.pad_top - p.kh + 1, p.stride_h));
    const std::int64_t end = std::min(p.thick_h, floor_div(last - 1 + p.pad_top, p.stride_h) + 1);
    for (std::int64_t i = begin; i < end; i += p.chunk()) {
      const std::int64_t rows = std::min(p.chunk(), end - i), depth = p.depth;
      multiply<false>({rows * p.thick_w, depth, p.columns(), thick + i * p.thick_w * depth, depth, 1, taps, products});
      for (std::int64_t k = 0; k < rows; ++k) {
        write_before((i + k) * p.stride_h - p.pad_top);
        add_row(i + k, products + k * p.thick_w * p.columns());
      }
    }
    write_before(last);
  }
};

// Images are cut into bands of rows when there are too few of them for the threads; a band's edge rows are then
// multiplied twice. The order of the sums does not depend on the cut.
void run_spread(const Spread& p, const float* w, const float* thick, float* out, float* taps, int threads) {
  p.pack_taps(w, taps);
  const std::int64_t bands = p.n % threads == 0 || p.n >= 4 * threads ? 1 : std::min<std::int64_t>(threads, p.thin_h);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t unit = 0; unit < p.n * bands; ++unit) {
    const std::int64_t n = unit / bands, band = unit % bands;
    float* products = taps + p.taps_size() + omp_get_thread_num() * (p.products_size() + p.ring_size());
    float* image = out + n * p.thin_h * p.thin_w * p.width;
    const std::int64_t first = band * p.thin_h / bands, last = (band + 1) * p.thin_h / bands;
    SpreadBand{p, products, products + p.products_size(), image, first, last}.run(
        thick + n * p.thick_h * p.thick_w * p.depth, taps);
  }
}

// Collect: taps = dT/dtaps. Every thick pixel's channels times the thin pixels under it, summed in the cache. With few
// channels in y it is 3 to 10 times oneDNN's rate; with few in x 0.8 to 1.4 times, but without the barrier in oneDNN's
// weight gradient, which spins whatever OMP_WAIT_POLICY says (1->64, 28x28, k4 s2, N64 beside another process: 7
// GFLOP/s against 78).
struct Collect : Few {
  std::int64_t gathered_size() const { return cached_rows(columns()) * columns(); }
  std::int64_t share() const { return gathered_size() + depth * columns(); }
  std::int64_t floats(int threads) const { return threads * share(); }

  void sum_pixels(std::int64_t begin, std::int64_t end, const float* thick, const float* thin, float* gathered) const {
    std::fill_n(gathered, share(), 0.f);
    Gather pixel(*this, thin, begin);
    for (std::int64_t first = begin; first < end; first += cached_rows(columns())) {
      const std::int64_t count = std::min(cached_rows(columns()), end - first);
      for (std::int64_t k = 0; k < count; ++k, pixel.next()) pixel.copy_to(gathered + k * columns());
      multiply<true>({depth, count, columns(), thick + first * depth, 1, depth, gathered, gathered + gathered_size()});
    }
  }
};

// Every thread sums its share of the pixels; the shares are added in the order of the threads.
void run_collect(const Collect& p, const float* thick, const float* thin, float* w, float* workspace, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; ++t)
    p.sum_pixels(p.pixels() * t / threads, p.pixels() * (t + 1) / threads, thick, thin, workspace + t * p.share());
  for (std::int64_t d = 0; d < p.depth; ++d)
    for (std::int64_t q = 0; q < p.used_columns(); ++q) {
      float total = 0;
      for (int t = 0; t < threads; ++t) total += workspace[t * p.share() + p.gathered_size() + d * p.columns() + q];
      w[p.weight_index(d, q)] = total;
    }
}

// y pixels whose columns are held at once: 32 MB.
std::int64_t columns_chunk(const ConvGeometry& g) {
  return std::clamp<std::int64_t>((8 << 20) / (g.kh * g.kw * g.c), 1, g.n * g.yh * g.yw);
}

}  // namespace

bool is_few(ConvSlot slot, const ConvGeometry& g) {
  const Few p = make_few(slot, g);
  const bool possible = !p.turned || (g.stride_h == 1 && g.stride_w == 1 && g.pad_top < g.kh && g.pad_left < g.kw);
  return g.groups == 1 && possible && p.width <= 12 && g.kh * g.kw > 1;
}

std::int64_t few_floats(ConvSlot slot, const ConvGeometry& g, int threads) {
  const Few p = make_few(slot, g);
  return slot == ConvSlot::w ? Collect{p}.floats(threads) : Spread{p}.floats(threads);
}

void run_few(ConvSlot slot, const ConvGeometry& g, View a, View b, View out, float* workspace, int threads) {
  const Few p = make_few(slot, g);
  const float *first = a.as<float>(), *second = b.as<float>();
  if (slot == ConvSlot::w)
    run_collect({p}, p.turned ? first : second, p.turned ? second : first, out.as<float>(), workspace, threads);
  else
    run_spread({p}, p.turned ? second : first, p.turned ? first : second, out.as<float>(), workspace, threads);
}

bool is_columns(ConvSlot slot, const ConvGeometry& g) {
  return slot == ConvSlot::y && g.groups == 1 && g.yw <= 4 && g.c >= 16 && g.o >= 16;
}

std::int64_t columns_floats(const ConvGeometry& g) { return columns_chunk(g) * g.kh * g.kw * g.c; }

void run_columns(const ConvGeometry& g, View a, View b, View out, float* workspace) {
  const Few p = few_in_x(g);
  const std::int64_t depth = p.used_columns();
  for (std::int64_t first = 0; first < p.pixels(); first += columns_chunk(g)) {
    const std::int64_t count = std::min(columns_chunk(g), p.pixels() - first);
#pragma omp parallel for schedule(static)
    for (std::int64_t k = 0; k < count; ++k) Gather(p, a.as<float>(), first + k).copy_to(workspace + k * depth);
    View columns = a, y = out;
    columns.data = workspace;
    y.data = out.as<float>() + first * g.o;
    matmul({.m = count, .n = g.o, .k = depth, .transpose_b = true}, columns, b, y);
  }
}

}  // namespace duel::kernels::cpu
