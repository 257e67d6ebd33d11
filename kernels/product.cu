// The tiled kernel behind every large product, and the choice of its tiles.
#include <stdexcept>

#include "kernels/gpu/cores.cuh"

namespace duel::kernels::DUEL_GPU {
namespace {

constexpr int stages = 3;                                         // tiles in flight
constexpr std::int64_t enough_blocks = 128, wanted_blocks = 256;  // about one and two for each multiprocessor

std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }

// How one product is cut: `splits` ranges of k, each `steps` tiles deep.
struct Cut {
  int tiles_m = 1, tiles_n = 1, splits = 1, steps = 0;
};

template <class T>
struct alignas(2 * sizeof(T)) Two {
  T a, b;
};

// Stores the sums of a tile: into the result, or as f32 into a split's partial result.
template <class T, Form form>
struct Writer {
  const Product& p;
  const Window& window;
  T* out;
  float* partial;
  int rows, columns, first_row, first_column;

  // Where row i of the tile begins; negative: nowhere.
  __device__ std::int64_t row(int i) const {
    const int m = first_row + i;
    if constexpr (form == Form::w) return m < rows ? m * p.row_step : -1;
    const std::int64_t place = place_in_grid(p.gather, window, m);
    return place < 0 ? place : place * p.row_step;
  }
  __device__ void one(std::int64_t at, int j, float v) const {
    const int n = first_column + j;
    if (at < 0 || n >= columns) return;
    at += n * p.column_step;
    if (partial)
      partial[at] = v;
    else
      out[at] = T(v);
  }
  // Columns j and j+1; j is even.
  __device__ void two(std::int64_t at, int j, float v, float w) const {
    const int n = first_column + j;
    if ((columns | p.row_step) % 2 || p.column_step != 1) {
      one(at, j, v);
      one(at, j + 1, w);
    } else if (at >= 0 && n < columns) {
      if (partial)
        *reinterpret_cast<Two<float>*>(partial + at + n) = {v, w};
      else
        *reinterpret_cast<Two<T>*>(out + at + n) = {T(v), T(w)};
    }
  }
};

// Bias and activation, rounded as the result will be, so that the moments are those of what is stored. first_q: the
// channel of the tile's first column; columns from `end` on are none.
template <class Core>
__device__ void finish_sums(Core& core, const Finish& f, int first_q, int end) {
  using T = typename Core::Type;
#pragma unroll
  for (int c = 0; c < Core::columns; ++c) {
    const int q = first_q + core.column(c);
    const float bias = f.bias && q < end ? static_cast<float>(static_cast<const T*>(f.bias)[q]) : 0.0f;
#pragma unroll
    for (int r = 0; r < Core::rows; ++r) {
      const float v = core.at(r, c) + bias;
      core.at(r, c) = static_cast<float>(T(v > 0 ? v : f.slope * v));
    }
  }
}

// The moments of one tile's columns: means first, then deviations from them, each summed over a thread's rows, the
// lanes and the warps that share a column. `shared` is free for use. first_q, end: as above.
template <int size, class Core, class Writer>
__device__ void write_moments(Core& core, const Writer& writer, const Moments& m, int piece, int first_q, int end,
                              float* shared) {
  constexpr int rows = Core::rows, columns = Core::columns, parts = Core::parts;
  float *sums = shared, *squares = sums + parts * size, *counts = squares + parts * size;
  const auto over_lanes = [](float v) {
#pragma unroll
    for (int distance = Core::columns_repeat; distance < 32; distance *= 2) v += __shfl_xor_sync(~0u, v, distance);
    return v;
  };
  const auto over_parts = [](const float* of, int step) {
    float v = of[0];
#pragma unroll
    for (int p = 1; p < parts; ++p) v += of[p * step];
    return v;
  };
  const bool writes = threadIdx.x % 32 < Core::columns_repeat;
  const int part = core.part();
  unsigned exists = 0;  // a bit for each row: there are few registers to spare
#pragma unroll
  for (int r = 0; r < rows; ++r) exists |= writer.row(core.row(r)) >= 0 ? 1u << r : 0u;
  const float count = over_lanes(static_cast<float>(__popc(exists)));
  __syncthreads();  // nobody reads the tiles any more
  if (writes && core.column(0) == 0) counts[part] = count;
#pragma unroll
  for (int c = 0; c < columns; ++c) {
    float sum = 0;
#pragma unroll
    for (int r = 0; r < rows; ++r) sum += exists >> r & 1 ? core.at(r, c) : 0.0f;
    sum = over_lanes(sum);
    if (writes) sums[part * size + core.column(c)] = sum;
  }
  __syncthreads();
  const float all = over_parts(counts, 1), share = all > 0 ? 1 / all : 0.0f;
#pragma unroll
  for (int c = 0; c < columns; ++c) {
    const float mean = over_parts(sums + core.column(c), size) * share;
    float sum = 0;
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const float d = core.at(r, c) - mean;
      sum += exists >> r & 1 ? d * d : 0.0f;
    }
    sum = over_lanes(sum);
    if (writes) squares[part * size + core.column(c)] = sum;
  }
  __syncthreads();
  const int column = threadIdx.x, q = first_q + column;
  if (column < size && q < end) {
    m.pairs[static_cast<std::int64_t>(q) * m.pieces + piece] =
        make_float2(over_parts(sums + column, size) * share, over_parts(squares + column, size));
    if (q == 0) m.counts[piece] = all;
  }
}

template <class T, Form form>
__device__ auto a_operand(const Product& p, const Window& window, std::int64_t batch, int depth) {
  if constexpr (form == Form::w)
    return Other<T, form>{static_cast<const T*>(p.other) + batch * p.other_batch, p, window, depth};
  else
    return Pixels<T>{{static_cast<const T*>(p.image) + batch * p.image_batch, p.gather, window}};
}
template <class T, Form form>
__device__ auto b_operand(const Product& p, const Window& window, std::int64_t batch, int depth) {
  if constexpr (form == Form::w)
    return Taps<T>{{static_cast<const T*>(p.image) + batch * p.image_batch, p.gather, window}};
  else
    return Other<T, form>{static_cast<const T*>(p.other) + batch * p.other_batch, p, window, depth};
}

// One tile of one product of the batch, one phase of the grid, one range of k: that is a block, in this order, the
// columns' tiles first.
struct Place {
  int tile_n, tile_m, split, phase, batch;
  __device__ Place(const Product& p, const Cut& cut, unsigned block) {
    const auto next = [&](int count) {
      const unsigned at = block % static_cast<unsigned>(count);
      block /= static_cast<unsigned>(count);
      return static_cast<int>(at);
    };
    tile_n = next(cut.tiles_n);
    tile_m = next(cut.tiles_m);
    split = next(cut.splits);
    phase = next(p.gather.phases());
    batch = static_cast<int>(block);
  }
};

// What follows the sums. The block's place is worked out anew, so that nothing need be kept of it meanwhile.
template <class Core, Form form, int size>
__device__ void write_tile(Core& core, const Product& p, const Cut& cut, float* partial, float* shared) {
  using T = typename Core::Type;
  const Place place(p, cut, blockIdx.x);
  const Window window = window_of(p.gather, place.phase);
  const int first_n = place.tile_n * size;
  const int taps = window.h.taps * window.w.taps * p.gather.channels.divisor;
  const std::int64_t offset = place.batch * p.out_batch;
  const Writer<T, form> writer{p,
                               window,
                               static_cast<T*>(p.out) + offset,
                               partial ? partial + place.split * p.out_size + offset : nullptr,
                               form == Form::w ? p.extent : p.gather.pixels,
                               form == Form::w ? taps : p.extent,
                               place.tile_m * size,
                               first_n};
  if constexpr (form != Form::w) {
    const int first_q = place.batch * p.extent + first_n, end = (place.batch + 1) * p.extent;
    if (!partial) finish_sums(core, p.finish, first_q, end);
    if (p.moments.pairs)
      write_moments<size>(core, writer, p.moments, place.phase * cut.tiles_m + place.tile_m, first_q, end, shared);
    core.write(writer);
  } else {
    core.write(writer);
  }
}

// How many blocks a multiprocessor is to hold, which bounds their registers. For GPUs before Hopper the compiler needs
// a few more than two large tiles leave.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
inline constexpr int large_tiles = 1;
#else
inline constexpr int large_tiles = 2;
#endif
template <int size, bool aligned>
inline constexpr int blocks_at_once = size == 128 ? large_tiles
                                      : aligned   ? 4
                                                  : 3;

template <class Core, Form form, int size, bool aligned>
__global__ void __launch_bounds__(tile_threads<size>, blocks_at_once<size, aligned>)
    product_tiles(Product p, Cut cut, float* partial) {
  using T = typename Core::Type;
  constexpr bool a_along_k = form != Form::w, b_along_k = form == Form::y;
  constexpr int depth = 64 / static_cast<int>(sizeof(T)), elements = size * depth, threads = tile_threads<size>;
  DYNAMIC_SHARED(T, tiles);  // (stages, 2, elements)
  const Place place(p, cut, blockIdx.x);
  const int first_n = place.tile_n * size, first_m = place.tile_m * size, split = place.split;
  const Window window = window_of(p.gather, place.phase);
  const std::int64_t batch = place.batch;
  const int taps = window.h.taps * window.w.taps * p.gather.channels.divisor;
  const int depth_in_all = form == Form::w ? p.gather.pixels : taps;
  const auto a = a_operand<T, form>(p, window, batch, depth_in_all);
  const auto b = b_operand<T, form>(p, window, batch, depth_in_all);
  const Loader<T, std::decay_t<decltype(a)>, size, threads, a_along_k, aligned> load_a(a, first_m);
  const Loader<T, std::decay_t<decltype(b)>, size, threads, b_along_k, aligned> load_b(b, first_n);

  const int first = split * cut.steps, all = (depth_in_all + depth - 1) / depth;
  const int steps = (first + cut.steps < all ? first + cut.steps : all) - first;
  const auto fetch = [&](int step) {
    T* slot = tiles + step % stages * 2 * elements;
    if (step < steps) {
      load_a.load((first + step) * depth, slot);
      load_b.load((first + step) * depth, slot + elements);
    }
    copy_async_commit();
  };
  Core core;
  for (int step = 0; step < stages - 1; ++step) fetch(step);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<stages - 2>();
    __syncthreads();  // this step's tiles are complete, and nobody reads the last step's any more
    fetch(step + stages - 1);
    const T* slot = tiles + step % stages * 2 * elements;
    core.step(slot, slot + elements);
  }
  write_tile<Core, form, size>(core, p, cut, partial, reinterpret_cast<float*>(tiles));
}

// A warp adds every eighth split of 32 neighbouring results, and the first warp the eight sums.
constexpr int adders = block_threads / 32;
template <class T>
__global__ void __launch_bounds__(block_threads)
    add_partials(std::int64_t n, int splits, Finish finish, std::int64_t channels, const float* __restrict__ partial,
                 T* __restrict__ y) {
  SHARED(part, float[adders][32]);
  const int lane = threadIdx.x % 32, adder = threadIdx.x / 32;
  for (std::int64_t first = std::int64_t{blockIdx.x} * 32; first < n; first += std::int64_t{gridDim.x} * 32) {
    const std::int64_t i = first + lane;
    float sum = 0;
    if (i < n)
      for (int s = adder; s < splits; s += adders) sum += partial[s * n + i];
    part[adder][lane] = sum;
    __syncthreads();
    if (adder == 0 && i < n) {
#pragma unroll
      for (int a = 1; a < adders; ++a) sum += part[a][lane];
      y[i] = T(finished<T>(finish, sum, finish.bias ? static_cast<int>(i % channels) : 0));
    }
    __syncthreads();
  }
}

// ---- the choice

struct Plan {
  int size = 64;
  bool aligned = false;
  Cut cut;
  std::int64_t blocks = 0;
};

bool is_aligned(Form form, const Product& p, int vector) {
  std::int64_t steps = p.gather.channels.divisor | p.gather.pixel_step | p.image_batch | p.other_step | p.other_batch;
  if (form != Form::y) steps |= p.extent;
  if (form == Form::x) steps |= p.tap_step;
  return steps % vector == 0;
}

Plan plan_of(Form form, const Product& p, DType dtype, bool may_split) {
  const int element = dtype == DType::bf16 ? 2 : 4;
  const Gather& g = p.gather;
  const auto most_taps = [](const Axis& a) { return a.phased ? ceil_div(a.kernel, a.stride) : a.kernel; };
  const std::int64_t taps = most_taps(g.h) * most_taps(g.w) * g.channels.divisor;
  const std::int64_t m = form == Form::w ? p.extent : g.pixels, n = form == Form::w ? taps : p.extent;
  const std::int64_t k = form == Form::w ? g.pixels : taps, products = std::int64_t{p.batch} * g.phases();
  Plan plan;
  plan.aligned = is_aligned(form, p, 16 / element);
  if (plan.aligned && ceil_div(m, 128) * ceil_div(n, 128) * products >= enough_blocks) plan.size = 128;
  plan.cut.tiles_m = static_cast<int>(ceil_div(m, plan.size));
  plan.cut.tiles_n = static_cast<int>(ceil_div(n, plan.size));
  const std::int64_t blocks = products * plan.cut.tiles_m * plan.cut.tiles_n, steps = ceil_div(k, 64 / element);
  std::int64_t splits = 1;
  if (may_split && blocks < enough_blocks)
    splits = std::min(wanted_blocks / std::max<std::int64_t>(blocks, 1), steps / 4);
  splits = std::max<std::int64_t>(splits, 1);
  plan.cut.steps = static_cast<int>(ceil_div(steps, splits));
  plan.cut.splits = plan.cut.steps > 0 ? static_cast<int>(ceil_div(steps, plan.cut.steps)) : 1;
  plan.blocks = blocks * plan.cut.splits;
  return plan;
}

std::size_t bytes_of_partials(const Plan& plan, const Product& p) {
  return plan.cut.splits > 1 ? static_cast<std::size_t>(plan.cut.splits * p.out_size) * sizeof(float) : 0;
}

template <template <int, bool, bool> class Core, Form form, int size, bool aligned>
void launch_tiles(const Product& p, const Plan& plan, float* partial) {
  constexpr std::size_t shared_bytes = stages * 2 * size * 64;
  LAUNCH((product_tiles<Core<size, form != Form::w, form == Form::y>, form, size, aligned>),
         static_cast<unsigned>(plan.blocks), tile_threads<size>, shared_bytes, p, plan.cut, partial);
}
template <template <int, bool, bool> class Core, Form form>
void launch_aligned(const Product& p, const Plan& plan, float* partial) {
  if (plan.size == 128)
    launch_tiles<Core, form, 128, true>(p, plan, partial);
  else
    launch_tiles<Core, form, 64, true>(p, plan, partial);
}
template <template <int, bool, bool> class Core, template <int, bool, bool> class Unaligned>
void launch_form(Form form, const Product& p, const Plan& plan, float* partial) {
  const auto go = [&](auto f) {
    if (plan.aligned)
      launch_aligned<Core, f()>(p, plan, partial);
    else
      launch_tiles<Unaligned, f(), 64, false>(p, plan, partial);
  };
  if (form == Form::x) go(std::integral_constant<Form, Form::x>{});
  if (form == Form::w) go(std::integral_constant<Form, Form::w>{});
  if (form == Form::y) go(std::integral_constant<Form, Form::y>{});
}

template <int size, bool a_along_k, bool b_along_k>
using Bf16Core = TensorCore<bf16, size, a_along_k, b_along_k>;
template <int size, bool a_along_k, bool b_along_k>
using Tf32Core = TensorCore<float, size, a_along_k, b_along_k>;

bool tf32_on = false;

}  // namespace

void set_tf32(bool on) { tf32_on = on; }
bool tf32_wanted() { return tf32_on; }

std::size_t product_workspace(Form form, const Product& p, DType dtype) {
  return p.out_size == 0 ? 0 : bytes_of_partials(plan_of(form, p, dtype, true), p);
}

int moment_pieces(Form form, const Product& p, DType dtype) {
  const Plan plan = plan_of(form, p, dtype, true);
  return plan.cut.splits == 1 && p.out_size > 0 ? plan.cut.tiles_m * p.gather.phases() : 0;
}

void run_product(Form form, const Product& p, DType dtype, View workspace) {
  if (p.out_size == 0) return;
  Plan plan = plan_of(form, p, dtype, true);
  if (static_cast<std::size_t>(workspace.bytes()) < bytes_of_partials(plan, p)) plan = plan_of(form, p, dtype, false);
  float* partial = plan.cut.splits > 1 ? workspace.as<float>() : nullptr;
  if (dtype == DType::bf16 && !has_tensor_cores())
    throw std::runtime_error("cuda: products of bf16 need a GPU of compute capability 8.0 or newer");
  if (dtype == DType::bf16)
    launch_form<Bf16Core, Bf16Core>(form, p, plan, partial);
  else if (tf32_on && has_tensor_cores())
    launch_form<Tf32Core, FmaCore>(form, p, plan, partial);
  else
    launch_form<FmaCore, FmaCore>(form, p, plan, partial);
  if (!partial) return;
  dispatch_storage(dtype, [&](auto t) {
    using T = decltype(t);
    LAUNCH((add_partials<T>), blocks_for(p.out_size, 32), block_threads, 0, p.out_size, plan.cut.splits, p.finish,
           std::int64_t{p.batch} * p.extent, partial, static_cast<T*>(p.out));
  });
}

}  // namespace duel::kernels::DUEL_GPU
