// f32 products run on oneDNN's matmul primitive, built once for a shape and kept. Against dnnl_sgemm it is 1.3 to 2.9
// times as fast with B transposed (a linear layer's forward pass, 64x1024x784: 402 against 165 GFLOP/s) and even
// otherwise, except when C is a single row or column: there dnnl_sgemm is 2 to 4 times as fast.
#include <algorithm>
#include <atomic>

#include "kernels/conv.h"
#include "kernels/matmul.h"
#include "kernels/matmul_reference.h"

#ifdef DUEL_ONEDNN
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <array>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace duel::kernels::cpu {
namespace {

std::atomic<bool> in_bf16{false};

#ifdef DUEL_ONEDNN
// One shape's primitive and its arguments. The memory objects are made once; a call only sets their addresses, and
// executing through the C interface spares the map that the C++ one builds. Scratch is oneDNN's own: one buffer a
// thread, as large as the largest shape met.
struct Plan {
  bool usable = false;
  std::mutex one_call;
  dnnl::stream stream;
  dnnl::matmul primitive;
  std::array<dnnl::memory, 3> tensors;
  std::array<dnnl_exec_arg_t, 3> args;

  explicit Plan(const MatmulShape& s) {
    using dnnl::memory;
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    stream = dnnl::stream(engine);
    const auto type = memory::data_type::f32;
    using Strides = memory::dims;
    const memory::desc a({s.batch, s.m, s.k}, type,
                         s.transpose_a ? Strides{s.m * s.k, 1, s.m} : Strides{s.m * s.k, s.k, 1});
    const memory::desc b({s.batch, s.k, s.n}, type,
                         s.transpose_b ? Strides{s.k * s.n, 1, s.k} : Strides{s.k * s.n, s.n, 1});
    const memory::desc c({s.batch, s.m, s.n}, type, Strides{s.m * s.n, s.n, 1});
    dnnl::primitive_attr attr;
    if (in_bf16) attr.set_fpmath_mode(dnnl::fpmath_mode::bf16);
    try {
      primitive = dnnl::matmul(dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attr, engine));
    } catch (const dnnl::error&) {
      return;
    }
    tensors = {memory(a, engine, nullptr), memory(b, engine, nullptr), memory(c, engine, nullptr)};
    args = {{{DNNL_ARG_SRC, tensors[0].get()}, {DNNL_ARG_WEIGHTS, tensors[1].get()}, {DNNL_ARG_DST, tensors[2].get()}}};
    usable = true;
  }

  bool run(View a, View b, View c) {
    if (!usable) return false;
    const std::scoped_lock lock(one_call);
    dnnl_memory_set_data_handle(tensors[0].get(), a.data);
    dnnl_memory_set_data_handle(tensors[1].get(), b.data);
    dnnl_memory_set_data_handle(tensors[2].get(), c.data);
    return dnnl_primitive_execute(primitive.get(), stream.get(), args.size(), args.data()) == dnnl_success;
  }
};

// oneDNN fixes a primitive's split of the work when it is built, so the thread count belongs to the key. Never
// destroyed: a static object's destructor elsewhere may still multiply.
Plan& plan_for(const MatmulShape& s) {
  using Key = std::array<std::int64_t, 8>;
  static auto& plans = *new std::map<Key, Plan>;
  static std::mutex mutex;
  const Key key{s.batch, s.m, s.n, s.k, s.transpose_a, s.transpose_b, omp_get_max_threads(), in_bf16};
  const std::scoped_lock lock(mutex);
  return plans.try_emplace(key, s).first->second;
}

// C is a row or a column. A call inside a parallel region stays on its thread.
bool sgemm(const MatmulShape& s, const float* a, const float* b, float* c) {
  bool done = true;
#pragma omp parallel for if (s.batch > 1) reduction(&& : done)
  for (std::int64_t q = 0; q < s.batch; ++q)
    done = done && dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, 1, a + q * s.m * s.k,
                              s.transpose_a ? s.m : s.k, b + q * s.k * s.n, s.transpose_b ? s.k : s.n, 0,
                              c + q * s.m * s.n, s.n) == dnnl_success;
  return done;
}

bool fast_matmul(const MatmulShape& s, View a, View b, View c) {
  if (s.m == 1 || s.n == 1) return sgemm(s, a.as<float>(), b.as<float>(), c.as<float>());
  return plan_for(s).run(a, b, c);
}
#else
bool fast_matmul(const MatmulShape&, View, View, View) { return false; }
#endif

}  // namespace

void set_bf16_products(bool on) { in_bf16 = on; }
bool bf16_products() { return in_bf16; }
bool has_amx() {
#ifdef DUEL_ONEDNN
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
#else
  return false;
#endif
}

void matmul(MatmulShape s, View a, View b, View c) {
  if (s.batch * s.m * s.n == 0) return;
  if (c.dtype == DType::f32 && s.k > 0 && !reference() && fast_matmul(s, a, b, c)) return;
  dispatch_float(c.dtype, [&](auto zero) {
    using T = decltype(zero);
    reference::matmul(s, a.as<T>(), b.as<T>(), c.as<T>());
  });
}

}  // namespace duel::kernels::cpu
