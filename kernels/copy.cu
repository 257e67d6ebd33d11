// GPU path of kernels/copy.h.
#include "kernels/copy.h"
#include "kernels/gpu/grid.cuh"

namespace duel::kernels::DUEL_GPU {
namespace {

template <class T>
__global__ void __launch_bounds__(block_threads) fill_all(std::int64_t n, T value, T* __restrict__ y) {
  using P = Pack<T>;
  P packed;
  for (T& v : packed.at) v = value;
  for (std::int64_t i = global_thread(); i < n / P::count; i += all_threads()) reinterpret_cast<P*>(y)[i] = packed;
  const std::int64_t i = n / P::count * P::count + global_thread();
  if (i < n) y[i] = value;
}

__global__ void __launch_bounds__(block_threads)
    copy_all(std::int64_t bytes, const unsigned char* __restrict__ x, unsigned char* __restrict__ y) {
  using P = Pack<unsigned char>;
  for (std::int64_t i = global_thread(); i < bytes / P::count; i += all_threads())
    reinterpret_cast<P*>(y)[i] = reinterpret_cast<const P*>(x)[i];
  const std::int64_t i = bytes / P::count * P::count + global_thread();
  if (i < bytes) y[i] = x[i];
}

// One thread an element: its index in the extent gives both places. The extents stay in the memory of parameters, which
// may be indexed; Index is 32 bits wide where that is enough, because division is the costly part.
template <class Word, class Index>
__global__ void __launch_bounds__(block_threads)
    copy_walks(std::int64_t n, const __grid_constant__ Extent extent, const Word* __restrict__ x,
               const __grid_constant__ Walk from, Word* __restrict__ y, const __grid_constant__ Walk to) {
  for (std::int64_t i = global_thread(); i < n; i += all_threads()) {
    auto rest = static_cast<Index>(i);
    std::int64_t source = from.offset, target = to.offset;
    for (int k = extent.rank - 1; k >= 0; --k) {
      const auto dim = static_cast<Index>(extent.dim[k]), above = static_cast<Index>(rest / dim);
      const auto at = static_cast<std::int64_t>(rest - above * dim);
      rest = above;
      source += at * from.stride[k];
      target += at * to.stride[k];
    }
    y[target] = x[source];
  }
}

// f64 arithmetic only where a side is f64: it is slow on most GPUs.
template <class From, class To>
__global__ void __launch_bounds__(block_threads)
    convert_all(std::int64_t n, const From* __restrict__ x, To* __restrict__ y, double scale, double shift) {
  constexpr bool wide = sizeof(From) == 8 || sizeof(To) == 8;
  for (std::int64_t i = global_thread(); i < n; i += all_threads()) {
    if constexpr (wide)
      y[i] = static_cast<To>(scale * static_cast<double>(x[i]) + shift);
    else
      y[i] = static_cast<To>(static_cast<float>(scale) * static_cast<float>(x[i]) + static_cast<float>(shift));
  }
}

__global__ void collect_all(const __grid_constant__ Scalars scalars, double* __restrict__ y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < scalars.count) y[i] = scalar_at(scalars, i);
}

}  // namespace

void collect(Scalars scalars, View y) {
  if (scalars.count > 0) LAUNCH((collect_all), 1, Scalars::capacity, 0, scalars, y.as<double>());
}

void fill(View y, double value) {
  if (y.size() == 0) return;
  dispatch_type(y.dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((fill_all<T>), blocks_for(y.size(), block_threads * Pack<T>::count), block_threads, 0, y.size(),
           static_cast<T>(value), y.as<T>());
  });
}

void copy_bytes(View x, View y) {
  if (y.bytes() == 0) return;
  LAUNCH((copy_all), blocks_for(y.bytes(), block_threads * 16), block_threads, 0, y.bytes(), x.as<unsigned char>(),
         y.as<unsigned char>());
}

void copy_strided(Extent extent, View x, Walk from, View y, Walk to) {
  std::int64_t n = 1;
  for (int k = 0; k < extent.rank; ++k) n *= extent.dim[k];
  if (n == 0) return;
  auto go = [&](auto word) {
    using Word = decltype(word);
    if (n < std::int64_t{1} << 31)
      LAUNCH((copy_walks<Word, std::uint32_t>), blocks_for(n), block_threads, 0, n, extent, x.as<Word>(), from,
             y.as<Word>(), to);
    else
      LAUNCH((copy_walks<Word, std::uint64_t>), blocks_for(n), block_threads, 0, n, extent, x.as<Word>(), from,
             y.as<Word>(), to);
  };
  const std::size_t bytes = size_of(y.dtype);
  if (bytes == 8)
    go(std::uint64_t{});
  else if (bytes == 4)
    go(std::uint32_t{});
  else
    go(std::uint16_t{});
}

void convert(View x, View y, double scale, double shift) {
  if (y.size() == 0) return;
  dispatch_type(x.dtype, [&](auto from) {
    dispatch_type(y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      LAUNCH((convert_all<From, To>), blocks_for(y.size()), block_threads, 0, y.size(), x.as<From>(), y.as<To>(), scale,
             shift);
    });
  });
}

}  // namespace duel::kernels::DUEL_GPU
