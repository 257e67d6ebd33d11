#include <cstring>

#include "kernels/index.h"
#include "kernels/parallel.h"

namespace duel::kernels::cpu {

void gather_rows(std::int64_t rows, std::int64_t length, View x, View index, View y) {
  const auto* at = index.as<const std::int32_t>();
  const std::size_t bytes = static_cast<std::size_t>(length) * size_of(x.dtype);
  parallel_for(index.size(), grain_for(length), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m) {
      char* to = y.as<char>() + static_cast<std::size_t>(m) * bytes;
      if (at[m] >= 0 && at[m] < rows)
        std::memcpy(to, x.as<const char>() + static_cast<std::size_t>(at[m]) * bytes, bytes);
      else
        std::memset(to, 0, bytes);
    }
  });
}

void scatter_rows(std::int64_t rows, std::int64_t length, View y, View index, View x) {
  const auto* at = index.as<const std::int32_t>();
  const std::int64_t count = index.size();
  dispatch_float(x.dtype, [&](auto t) {
    using T = decltype(t);
    const T* from = y.as<const T>();
    T* to = x.as<T>();
    // Each thread owns a range of rows, so that no two add to one place and the order is that of m.
    parallel_for(rows, grain_for(length + count / std::max<std::int64_t>(rows, 1)),
                 [&](std::int64_t begin, std::int64_t end) {
                   std::fill(to + begin * length, to + end * length, T(0));
                   for (std::int64_t m = 0; m < count; ++m)
                     if (at[m] >= begin && at[m] < end)
                       for (std::int64_t l = 0; l < length; ++l) to[at[m] * length + l] += from[m * length + l];
                 });
  });
}

void one_hot(View index, View y) {
  const auto* at = index.as<const std::int32_t>();
  const std::int64_t classes = y.last();
  dispatch_float(y.dtype, [&](auto t) {
    using T = decltype(t);
    for (std::int64_t m = 0; m < index.size(); ++m)
      for (std::int64_t c = 0; c < classes; ++c) y.as<T>()[m * classes + c] = c == at[m] ? T(1) : T(0);
  });
}

void max_pool_index(std::int64_t size, View x, View index) {
  const std::int64_t h = x.dim[1], w = x.dim[2], c = x.dim[3], ph = index.dim[1], pw = index.dim[2];
  auto* out = index.as<std::int32_t>();
  dispatch_float(x.dtype, [&](auto t) {
    const auto* p = x.as<const decltype(t)>();
    parallel_for(x.dim[0] * ph, grain_for(pw * c * size * size), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t jc = 0; jc < pw * c; ++jc) {
          const std::int64_t first = ((row / ph * h + row % ph * size) * w + jc / c * size) * c + jc % c;
          std::int64_t best = first;
          for (std::int64_t r = 0; r < size; ++r)
            for (std::int64_t s = 0; s < size; ++s) {
              const std::int64_t at = first + (r * w + s) * c;
              if (p[at] > p[best]) best = at;
            }
          out[row * pw * c + jc] = static_cast<std::int32_t>(best);
        }
    });
  });
}

void gather_images(double scale, double shift, View pixels, View index, View flip, View images) {
  const std::int64_t count = pixels.dim[0], h = pixels.dim[1], w = pixels.dim[2], c = pixels.dim[3];
  dispatch_float(images.dtype, [&](auto t) {
    using T = decltype(t);
    parallel_for(index.size() * h, grain_for(w * c), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t n = row / h, image = index.as<const std::int32_t>()[n];
        const bool known = image >= 0 && image < count, mirrored = flip && flip.as<const std::int32_t>()[n] != 0;
        const std::uint8_t* from = pixels.as<const std::uint8_t>() + (known ? (image * h + row % h) * w * c : 0);
        T* to = images.as<T>() + row * w * c;
        for (std::int64_t j = 0; j < w; ++j)
          for (std::int64_t k = 0; k < c; ++k)
            to[j * c + k] =
                static_cast<T>(scale) * static_cast<T>(known ? from[(mirrored ? w - 1 - j : j) * c + k] : 0) +
                static_cast<T>(shift);
      }
    });
  });
}

}  // namespace duel::kernels::cpu
