// GPU path of kernels/index.h.
#include "kernels/copy.h"
#include "kernels/gpu/grid.cuh"
#include "kernels/index.h"

namespace duel::kernels::DUEL_GPU {
namespace {

// x (rows, length), y (count, length), both in words of 2 to 16 bytes.
template <class Word>
__global__ void __launch_bounds__(block_threads)
    gather_words(std::int64_t n, std::int64_t rows, std::int64_t length, const Word* __restrict__ x,
                 const std::int32_t* __restrict__ index, Word* __restrict__ y) {
  for (std::int64_t i = global_thread(); i < n; i += all_threads()) {
    const std::int64_t m = i / length, row = index[m];
    y[i] = row >= 0 && row < rows ? x[row * length + (i - m * length)] : Word{};
  }
}

// ---- scatter. The sums need the m of each row, in order, and there is no memory but the result x itself. So the first
// element of each row of x holds a claim until its sum replaces it: 1 + the number of the first chunk of 2^shift places
// of the index that names the row, and a flag if others name it too; 0 where none does. Integer atomics join claims, so
// their order does not matter. Without the flag one chunk has all the m of a row; and a chunk is a single place in f32,
// 128 places in bf16 if there are 4 million.

template <class T>
struct ClaimOf;
template <>
struct ClaimOf<float> {
  using Word = std::uint32_t;
};
template <>
struct ClaimOf<bf16> {
  using Word = std::uint16_t;
};
template <class Word>
inline constexpr Word claimed_again = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));

template <class Word>
__device__ Word join_claims(Word found, Word mine) {
  if (found == 0) return mine;
  const auto first = static_cast<Word>(found & ~claimed_again<Word>);
  if (first == mine) return found;
  return static_cast<Word>((first < mine ? first : mine) | claimed_again<Word>);
}

template <class Word>
__global__ void __launch_bounds__(block_threads)
    claim_rows(std::int64_t rows, std::int64_t length, std::int64_t count, int shift,
               const std::int32_t* __restrict__ index, Word* x) {
  for (std::int64_t m = global_thread(); m < count; m += all_threads()) {
    const std::int64_t row = index[m];
    if (row < 0 || row >= rows) continue;
    const auto mine = static_cast<Word>((m >> shift) + 1);
    Word seen = 0, next = mine;
    while (next != seen) {
      const Word found = atomicCAS(&x[row * length], seen, next);
      if (found == seen) break;
      seen = found;
      next = join_claims(found, mine);
    }
  }
}

// `lanes` threads, a power of two, for each row. The barrier stands between the reading of a claim and the sum that
// replaces it.
template <class T>
__global__ void __launch_bounds__(block_threads)
    sum_claimed(std::int64_t rows, std::int64_t length, std::int64_t count, int shift, int lanes,
                const T* __restrict__ y, const std::int32_t* __restrict__ index, T* x) {
  using Word = typename ClaimOf<T>::Word;
  const int lane = static_cast<int>(threadIdx.x) % lanes, block_rows = block_threads / lanes;
  for (std::int64_t base = static_cast<std::int64_t>(blockIdx.x) * block_rows; base < rows;
       base += static_cast<std::int64_t>(gridDim.x) * block_rows) {
    const std::int64_t row = base + static_cast<int>(threadIdx.x) / lanes;
    const Word claim = row < rows ? __builtin_bit_cast(Word, x[row * length]) : Word{0};
    __syncthreads();
    if (row >= rows) continue;
    std::int64_t begin = 0, end = 0;
    if (claim != 0) {
      begin = static_cast<std::int64_t>((claim & ~claimed_again<Word>)-1) << shift;
      end = claim & claimed_again<Word> ? count : begin + (std::int64_t{1} << shift);
      if (end > count) end = count;
    }
    for (std::int64_t l = lane; l < length; l += lanes) {
      float sum = 0;
      for (std::int64_t m = begin; m < end; ++m)
        if (index[m] == row) sum += static_cast<float>(y[m * length + l]);
      x[row * length + l] = static_cast<T>(sum);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads)
    one_hot_all(std::int64_t n, std::int64_t classes, const std::int32_t* __restrict__ index, T* __restrict__ y) {
  for (std::int64_t i = global_thread(); i < n; i += all_threads())
    y[i] = static_cast<T>(i % classes == index[i / classes] ? 1.0f : 0.0f);
}

// x (N,H,W,C), index (N,out_h,out_w,C); one thread a window. Places in x fit in i32, as the index does.
struct PoolSizes {
  std::int64_t count;
  int size, h, w, c, out_h, out_w;
};
template <class T>
__global__ void __launch_bounds__(block_threads)
    find_maxima(PoolSizes s, const T* __restrict__ x, std::int32_t* __restrict__ index) {
  for (std::int64_t at = global_thread(); at < s.count; at += all_threads()) {
    const int pixel = static_cast<int>(at) / s.c, line = pixel / s.out_w, image = line / s.out_h;
    const int channel = static_cast<int>(at) - pixel * s.c, j = pixel - line * s.out_w, i = line - image * s.out_h;
    const int first = ((image * s.h + i * s.size) * s.w + j * s.size) * s.c + channel;
    int best = first;
    float largest = static_cast<float>(x[first]);
    for (int r = 0; r < s.size; ++r)
      for (int q = 0; q < s.size; ++q) {
        const int place = first + (r * s.w + q) * s.c;
        const float v = static_cast<float>(x[place]);
        if (!(v > largest)) continue;
        largest = v;
        best = place;
      }
    index[at] = best;
  }
}

}  // namespace

void gather_rows(std::int64_t rows, std::int64_t length, View x, View index, View y) {
  const auto element = static_cast<std::int64_t>(size_of(y.dtype));
  const std::int64_t bytes = index.size() * length * element;
  if (bytes == 0) return;
  const auto go = [&](auto word) {
    using Word = decltype(word);
    const std::int64_t n = bytes / static_cast<std::int64_t>(sizeof word);
    LAUNCH((gather_words<Word>), blocks_for(n), block_threads, 0, n, rows, n / index.size(), x.as<const Word>(),
           index.as<const std::int32_t>(), y.as<Word>());
  };
  if (length * element % 16 == 0)
    go(uint4{});
  else if (element == 8)
    go(std::uint64_t{});
  else if (element == 4)
    go(std::uint32_t{});
  else
    go(std::uint16_t{});
}

void scatter_rows(std::int64_t rows, std::int64_t length, View y, View index, View x) {
  if (x.size() == 0) return;
  fill(x, 0);
  const std::int64_t count = index.size();
  if (count == 0) return;
  int lanes = 1;
  while (lanes < length && lanes < block_threads) lanes *= 2;
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    using Word = typename ClaimOf<T>::Word;
    int shift = 0;
    while (((count - 1) >> shift) + 1 >= claimed_again<Word>) ++shift;
    const auto* at = index.as<const std::int32_t>();
    LAUNCH((claim_rows<Word>), blocks_for(count), block_threads, 0, rows, length, count, shift, at, x.as<Word>());
    LAUNCH((sum_claimed<T>), blocks_for(rows, block_threads / lanes), block_threads, 0, rows, length, count, shift,
           lanes, y.as<const T>(), at, x.as<T>());
  });
}

void one_hot(View index, View y) {
  if (y.size() == 0) return;
  dispatch_storage(y.dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((one_hot_all<T>), blocks_for(y.size()), block_threads, 0, y.size(), y.last(), index.as<const std::int32_t>(),
           y.as<T>());
  });
}

void max_pool_index(std::int64_t size, View x, View index) {
  if (index.size() == 0) return;
  const auto extent = [](const View& v, int axis) { return static_cast<int>(v.dim[axis]); };
  const PoolSizes s{index.size(), static_cast<int>(size), extent(x, 1),    extent(x, 2),
                    extent(x, 3), extent(index, 1),       extent(index, 2)};
  dispatch_storage(x.dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((find_maxima<T>), blocks_for(s.count), block_threads, 0, s, x.as<const T>(), index.as<std::int32_t>());
  });
}

}  // namespace duel::kernels::DUEL_GPU
