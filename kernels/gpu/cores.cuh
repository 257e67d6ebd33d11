// The arithmetic of a product's tile in shared memory, with the sums in registers: f32 on the ordinary units, tf32 and
// bf16 on the tensor cores. A core is told the sizes and how the tiles lie (operands.cuh); step() adds one tile's
// products, write() hands out the sums. A thread holds `rows` by `columns` sums: at(r, c) belongs to row(r) and
// column(c) of the tile. Lanes a multiple of `columns_repeat` apart have the same columns, and so have `parts` warps,
// each being the part() of its rows.
#pragma once
#include "kernels/gpu/operands.cuh"

namespace duel::kernels::DUEL_GPU {

// Threads of a block whose tile is size x size.
template <int size>
inline constexpr int tile_threads = 2 * size;

// f32: 8 rows by size/16 columns a thread, `portion` k at a time. Lanes of a warp are 4 rows by 8 columns, so that a
// float4 that 8 lanes read comes from 8 banks of four.
template <int size, bool a_along_k, bool b_along_k>
class FmaCore {
  using A = Tile<float, size, a_along_k>;
  using B = Tile<float, size, b_along_k>;
  static constexpr int threads_down = size / 8, threads_right = 16;
  static constexpr int portion = size == 128 && a_along_k ? 2 : 4;  // more would leave too few registers

  // The index in the tile of a thread's i-th row or column.
  template <bool along_k>
  __device__ static int index(int thread, int threads, int i) {
    return along_k ? thread + threads * i : 4 * thread + i % 4 + 4 * threads * (i / 4);
  }
  template <int count>
  struct alignas(4 * count) Floats {
    float at[count];
  };
  template <int count>
  __device__ static Floats<count> read(const float* tile, int place) {
    return *reinterpret_cast<const Floats<count>*>(tile + place);
  }

 public:
  using Type = float;
  static constexpr int rows = 8, columns = size / 16, columns_repeat = 8, parts = size / 32;
  __device__ int row(int r) const { return index<a_along_k>(down_, threads_down, r); }
  __device__ int column(int c) const { return index<b_along_k>(right_, threads_right, c); }
  __device__ int part() const { return threadIdx.x / 64; }
  __device__ float& at(int r, int c) { return sum_[r][c]; }
  __device__ FmaCore() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    right_ = lane % 8 + 8 * (warp % 2);
    down_ = lane / 8 + 4 * (warp / 2);
  }
  __device__ void step(const float* a_tile, const float* b_tile) {
#pragma unroll 1
    for (int k = 0; k < A::depth; k += portion) {
      Floats<a_along_k ? portion : 4> a[a_along_k ? rows : 2 * portion];  // of a row and all k, or four rows and one k
#pragma unroll
      for (int i = 0; i < (a_along_k ? rows : 2 * portion); ++i) {
        if constexpr (a_along_k)
          a[i] = read<portion>(a_tile, A::place(index<true>(down_, threads_down, i), k));
        else
          a[i] = read<4>(a_tile, A::place(k + i / 2, index<false>(down_, threads_down, i % 2 * 4)));
      }
      const auto add = [&](int q, int c, float b) {
#pragma unroll
        for (int r = 0; r < rows; ++r) sum_[r][c] += (a_along_k ? a[r].at[q] : a[2 * q + r / 4].at[r % 4]) * b;
      };
      if constexpr (b_along_k) {
#pragma unroll
        for (int c = 0; c < columns; ++c) {
          const auto b = read<portion>(b_tile, B::place(index<true>(right_, threads_right, c), k));
#pragma unroll
          for (int q = 0; q < portion; ++q) add(q, c, b.at[q]);
        }
      } else {
#pragma unroll
        for (int q = 0; q < portion; ++q)
#pragma unroll
          for (int c = 0; c < columns; c += 4) {
            const auto b = read<4>(b_tile, B::place(k + q, index<false>(right_, threads_right, c)));
#pragma unroll
            for (int e = 0; e < 4; ++e) add(q, c + e, b.at[e]);
          }
      }
    }
  }
  template <class Writer>
  __device__ void write(const Writer& w) const {
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const std::int64_t begin = w.row(row(r));
#pragma unroll
      for (int c = 0; c < columns; c += b_along_k ? 1 : 2) {
        if constexpr (b_along_k)
          w.one(begin, column(c), sum_[r][c]);
        else
          w.two(begin, column(c), sum_[r][c], sum_[r][c + 1]);
      }
    }
  }

 private:
  int down_, right_;
  float sum_[rows][columns] = {};
};

// bf16, or f32 rounded to tf32. A warp has size/2 rows by 32 columns; a tile is two fragments deep.
template <class T, int size, bool a_along_k, bool b_along_k>
class TensorCore {
  using A = Tile<T, size, a_along_k>;
  using B = Tile<T, size, b_along_k>;
  static constexpr int down = size / 32, right = 4, depth = A::depth / 2;

  // The fragment of rows [m, m+16), or the two of columns [n, n+8) and [n+8, n+16). The four 8 x 8 matrices of A go
  // down first, those of B along k.
  template <class Shape, bool along_k>
  __device__ static void read(unsigned (&f)[4], const T* tile, int outer, int k, bool k_first) {
    const int lane = threadIdx.x % 32, matrix = lane / 8;
    const int out = outer + 8 * (k_first ? matrix / 2 : matrix % 2);
    const int in = k + depth / 2 * (k_first ? matrix % 2 : matrix / 2);
    if constexpr (along_k) {
      load_matrices(f, tile + Shape::place(out + lane % 8, in));
    } else if constexpr (sizeof(T) == 2) {
      load_matrices_transposed(f, tile + Shape::place(in + lane % 8, out));
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        f[e] = __float_as_uint(tile[Shape::place(k + lane % 4 + 4 * (k_first ? e % 2 : e / 2),
                                                 outer + lane / 4 + 8 * (k_first ? e / 2 : e % 2))]);
    }
    if constexpr (sizeof(T) == 4)
#pragma unroll
      for (unsigned& word : f) word = to_tf32(word);
  }

 public:
  using Type = T;
  static constexpr int rows = 2 * down, columns = 2 * right, columns_repeat = 4, parts = 2;
  __device__ int row(int r) const { return row_ + 8 * r + threadIdx.x % 32 / 4; }
  __device__ int column(int c) const { return column_ + 8 * (c / 2) + 2 * (threadIdx.x % 4) + c % 2; }
  __device__ int part() const { return threadIdx.x / 32 % 2; }
  __device__ float& at(int r, int c) { return sum_[r / 2][c / 2][2 * (r % 2) + c % 2]; }
  __device__ TensorCore() {
    const int warp = threadIdx.x / 32;
    row_ = warp % 2 * (size / 2);
    column_ = warp / 2 * 32;
  }
  __device__ void step(const T* a_tile, const T* b_tile) {
#pragma unroll
    for (int k = 0; k < A::depth; k += depth) {
      unsigned b[right / 2][4];
#pragma unroll
      for (int j = 0; j < right / 2; ++j) read<B, b_along_k>(b[j], b_tile, column_ + 16 * j, k, true);
#pragma unroll
      for (int i = 0; i < down; ++i) {
        unsigned a[4];
        read<A, a_along_k>(a, a_tile, row_ + 16 * i, k, false);
#pragma unroll
        for (int j = 0; j < right; ++j)
          multiply_fragments(sum_[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1], T{});
      }
    }
  }
  template <class Writer>
  __device__ void write(const Writer& w) const {
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const std::int64_t begin = w.row(row(r));
#pragma unroll
      for (int j = 0; j < right; ++j)
        w.two(begin, column(2 * j), sum_[r / 2][j][r % 2 * 2], sum_[r / 2][j][r % 2 * 2 + 1]);
    }
  }

 private:
  int row_, column_;
  float sum_[down][right][4] = {};
};

}  // namespace duel::kernels::DUEL_GPU
