// The operands of a product (product.h): where each element lies, and how tiles of them come into shared memory.
//
// An operand has an outer index (a row of A or a column of B) and an inner one, k. What depends on one of them only is
// worked out once, by outer(i) and inner(k); at(outer, inner) joins them, null where the element is zero.
#pragma once
#include "kernels/gpu/grid.cuh"
#include "kernels/gpu/product.h"
#include "kernels/gpu/tensor_core.cuh"

namespace duel::kernels::DUEL_GPU {

// Both phases of a block, and the taps in them.
struct Window {
  Phase h, w;
  float inverse_taps;
  // Exact for taps below 2^21.
  __device__ int row_of(int tap) const { return static_cast<int>((static_cast<float>(tap) + 0.5f) * inverse_taps); }
};
__device__ inline Window window_of(const Gather& g, int phase) {
  const Phase h = phase_of(g.h, phase / g.w.phases()), w = phase_of(g.w, phase % g.w.phases());
  return {h, w, 1.0f / static_cast<float>(w.taps > 0 ? w.taps : 1)};
}

// The number of pixel p of a phase in the whole grid, negative where the phase has no such pixel.
__device__ inline std::int64_t place_in_grid(const Gather& g, const Window& window, int p) {
  if (p >= g.pixels) return -1;
  const int line = g.columns(p), image = g.rows(line);
  const int y = window.h.first_pixel + (line - image * g.rows.divisor) * g.h.phases();
  const int x = window.w.first_pixel + (p - line * g.columns.divisor) * g.w.phases();
  if (y >= g.h.grid || x >= g.w.grid) return -1;
  return (static_cast<std::int64_t>(image) * g.h.grid + y) * g.w.grid + x;
}

inline constexpr int outside = -(1 << 30);

template <class T>
struct Image {
  const T* data;
  const Gather& g;
  const Window& window;
  // `at` counts pixels: elements would take a register more.
  struct Pixel {
    int at, place;  // row * 65536 + column, both in [-32768, 32767)
    __device__ int row() const { return place >> 16; }
    __device__ int column() const { return static_cast<std::int16_t>(place); }
  };
  struct Tap {
    int at, channel, down, right;
  };
  __device__ Pixel pixel(int p) const {
    if (p >= g.pixels) return {0, static_cast<int>(0x80008000)};
    const int line = g.columns(p), image = g.rows(line);
    const int row = (line - image * g.rows.divisor) * g.h.step() + window.h.first;
    const int column = (p - line * g.columns.divisor) * g.w.step() + window.w.first;
    return {(image * g.h.image + row) * g.w.image + column, row << 16 | (column & 0xffff)};
  }
  __device__ Tap tap(int q) const {
    const int tap = g.channels(q), channel = q - tap * g.channels.divisor;
    if (tap >= window.h.taps * window.w.taps) return {0, 0, outside, outside};
    const int r = window.row_of(tap);
    const int down = r * g.h.tap_step(), right = (tap - r * window.w.taps) * g.w.tap_step();
    return {down * g.w.image + right, channel, down, right};
  }
  __device__ const T* element(const Pixel& p, const Tap& t) const {
    const bool inside = static_cast<unsigned>(p.row() + t.down) < static_cast<unsigned>(g.h.image) &&
                        static_cast<unsigned>(p.column() + t.right) < static_cast<unsigned>(g.w.image);
    return inside ? data + (static_cast<std::int64_t>(p.at + t.at) * g.pixel_step + t.channel) : nullptr;
  }
};

template <class T>
struct Pixels : Image<T> {  // A[pixel, (tap, channel)]
  using Outer = typename Image<T>::Pixel;
  using Inner = typename Image<T>::Tap;
  __device__ Outer outer(int i) const { return this->pixel(i); }
  __device__ Inner inner(int k) const { return this->tap(k); }
  __device__ const T* at(const Outer& o, const Inner& i) const { return this->element(o, i); }
};
template <class T>
struct Taps : Image<T> {  // B[pixel, (tap, channel)]
  using Outer = typename Image<T>::Tap;
  using Inner = typename Image<T>::Pixel;
  __device__ Outer outer(int i) const { return this->tap(i); }
  __device__ Inner inner(int k) const { return this->pixel(k); }
  __device__ const T* at(const Outer& o, const Inner& i) const { return this->element(i, o); }
};

// The other operand: the place is a sum of two offsets, negative where an index lies outside.
template <class T, Form form>
struct Other {
  const T* data;
  const Product& p;
  const Window& window;
  int depth;  // indices k that exist
  using Outer = std::int64_t;
  using Inner = std::int64_t;
  __device__ Outer outer(int i) const { return i >= p.extent ? -1 : form == Form::y ? i * p.other_step : i; }
  __device__ Inner inner(int k) const {
    if (k >= depth) return -1;
    if constexpr (form == Form::y) return k;
    if constexpr (form == Form::w) return k * p.other_step;
    const int tap = p.gather.channels(k), channel = k - tap * p.gather.channels.divisor, r = window.row_of(tap);
    const int row = window.h.first_tap + r * p.gather.h.phases();
    const int column = window.w.first_tap + (tap - r * window.w.taps) * p.gather.w.phases();
    return channel * p.other_step + (row * p.gather.w.kernel + column) * p.tap_step;
  }
  __device__ const T* at(Outer o, Inner i) const { return o < 0 || i < 0 ? nullptr : data + (o + i); }
};

// A tile of an operand in shared memory, `size` outer indices by 64 bytes of depth. Memory runs along k or along the
// outer index, as it does where the operand lies; each line is made of 16-byte chunks, and these are permuted so that
// reads of a column of chunks meet all banks.
template <class T, int size, bool along_k>
struct Tile {
  static constexpr int vector = 16 / static_cast<int>(sizeof(T)), depth = 64 / static_cast<int>(sizeof(T));
  static constexpr int lines = along_k ? size : depth, chunks = (along_k ? depth : size) / vector;
  static constexpr int elements = size * depth;
  __device__ static int place(int line, int element) {
    const int turn = along_k ? line >> 1 & 3 : sizeof(T) == 2 ? line & 7 : line << 1 & 7;
    return (line * chunks + (element / vector ^ turn)) * vector + element % vector;
  }
};

// Fills tiles, step after step along k. `aligned`: 16 bytes never cross from what exists to what does not, and lie at
// multiples of 16 bytes; else the elements come one by one.
template <class T, class Operand, int size, int threads, bool along_k, bool aligned>
class Loader {
  using Shape = Tile<T, size, along_k>;
  static constexpr int passes = Shape::lines * Shape::chunks / threads, lines_a_pass = threads / Shape::chunks;
  static constexpr int pieces = aligned ? 1 : Shape::vector;

 public:
  __device__ Loader(const Operand& of, int first)
      : operand_(of), line_(threadIdx.x / Shape::chunks), element_(threadIdx.x % Shape::chunks * Shape::vector) {
#pragma unroll
    for (int i = 0; i < kept; ++i) outer_[i] = of.outer(first + (along_k ? line_ + i * lines_a_pass : element_ + i));
  }
  __device__ void load(int k, T* tile) const {
    typename Operand::Inner inner[pieces];
    if constexpr (along_k)
#pragma unroll
      for (int e = 0; e < pieces; ++e) inner[e] = operand_.inner(k + element_ + e);
#pragma unroll(along_k ? passes : 1)  // decoding several k at once would take too many registers
    for (int i = 0; i < passes; ++i) {
      const int line = line_ + i * lines_a_pass;
      T* to = tile + Shape::place(line, element_);
      if constexpr (along_k) {
        fetch(to, [&](int e) { return operand_.at(outer_[i], inner[e]); });
      } else {
        inner[0] = operand_.inner(k + line);
        fetch(to, [&](int e) { return operand_.at(outer_[e], inner[0]); });
      }
    }
  }

 private:
  template <class F>
  __device__ void fetch(T* to, F from) const {
    if constexpr (aligned) {
      copy_async(to, from(0), operand_.data);
    } else {
      Pack<T> pack;
#pragma unroll
      for (int e = 0; e < Shape::vector; ++e) {
        const T* p = from(e);
        pack.at[e] = p ? *p : T(0.0f);
      }
      *reinterpret_cast<Pack<T>*>(to) = pack;
    }
  }

  static constexpr int kept = along_k ? passes : pieces;
  const Operand& operand_;
  int line_, element_;
  typename Operand::Outer outer_[kept];
};

}  // namespace duel::kernels::DUEL_GPU
