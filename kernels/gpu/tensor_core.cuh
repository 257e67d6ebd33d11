// What the tensor cores need, each wrapped once: products of small matrices by a warp, loads of their operands from
// shared memory, and asynchronous copies into it. For a GPU inline PTX; on the CPU the warp's lanes meet and read what
// each other brought.
//
// Fragments, with g = lane / 4 and t = lane % 4. A word is two neighbouring bf16 or one tf32:
//   a[e]  row g + 8*(e%2), word t + 4*(e/2)        A (16 x 8 words), by rows
//   b[e]  column g,        word t + 4*e            B (8 words x 8), by columns
//   c[e]  row g + 8*(e/2), column 2*t + e%2        C (16 x 8), f32
#pragma once
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/gpu/cuda.h"

namespace duel::kernels::DUEL_GPU {

#ifdef __CUDACC__

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

// c += a b with 16 bf16 of depth.
__device__ inline void multiply_fragments(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, bf16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// c += a b with 8 tf32 of depth.
__device__ inline void multiply_fragments(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, float) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// f32 bits rounded to the 10 bits of mantissa that tf32 has.
__device__ inline unsigned to_tf32(unsigned bits) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// Begins to copy 16 bytes into shared memory, zeros where `from` is null.
__device__ inline void copy_async(void* to, const void* from, const void* valid) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(from ? from : valid), "r"(from ? 16 : 0)
      : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until all but the last `groups_left` commits of this thread have landed.
template <int groups_left>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
}

#else  // GPUs before Ampere: products in f32 only (run_product sees to it), and copies that are done at once

template <class T>
__device__ inline void multiply_fragments(float (&)[4], const unsigned (&)[4], unsigned, unsigned, T) {
  __trap();
}
__device__ inline unsigned to_tf32(unsigned bits) { return bits; }
__device__ inline void copy_async(void* to, const void* from, const void*) {
  *static_cast<uint4*>(to) = from ? *static_cast<const uint4*>(from) : uint4{};
}
__device__ inline void copy_async_commit() {}
template <int groups_left>
__device__ inline void copy_async_wait() {}

#endif

// Four 8 x 8 matrices of b16, each row 16 bytes; lane i brings the address of row i%8 of matrix i/8, and gets word t of
// row g of each.
__device__ inline void load_matrices(unsigned (&d)[4], const void* row) {
  const auto p = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(p)
               : "memory");
}
// The same of the transposed matrices.
__device__ inline void load_matrices_transposed(unsigned (&d)[4], const void* row) {
  const auto p = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(p)
               : "memory");
}

#else

struct Fragments {
  unsigned a[4], b[2];
};

// depth: words of A and B; dot(u, v): what one word of each contributes.
template <class Dot>
void multiply_on_host(float (&c)[4], const Fragments& mine, on_host::Site site, Dot dot) {
  on_host::gather(~0u, mine, site, [&](const Fragments* of) {
    const unsigned g = on_host::lane() / 4, t = on_host::lane() % 4;
    for (unsigned e = 0; e < 4; ++e) {
      float sum = 0;
      for (unsigned word = 0; word < 8; ++word)
        sum += dot(of[g * 4 + word % 4].a[e / 2 + 2 * (word / 4)], of[(2 * t + e % 2) * 4 + word % 4].b[word / 4]);
      c[e] += sum;
    }
    return 0;
  });
}
inline void multiply_fragments(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, bf16, DUEL_SITE) {
  multiply_on_host(c, {{a[0], a[1], a[2], a[3]}, {b0, b1}}, {"mma bf16", file, line}, [](unsigned u, unsigned v) {
    return __uint_as_float(u << 16) * __uint_as_float(v << 16) +
           __uint_as_float(u & 0xffff0000u) * __uint_as_float(v & 0xffff0000u);
  });
}
inline void multiply_fragments(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, float, DUEL_SITE) {
  multiply_on_host(c, {{a[0], a[1], a[2], a[3]}, {b0, b1}}, {"mma tf32", file, line}, [](unsigned u, unsigned v) {
    return __uint_as_float(u & 0xffffe000u) * __uint_as_float(v & 0xffffe000u);  // the hardware ignores the rest
  });
}
inline unsigned to_tf32(unsigned bits) {
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & 0xffffe000u : bits;
}

inline void check_row(const void* row, on_host::Site site) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16) on_host::fail(on_host::to_string(site) + ": a row is not aligned");
}
inline void load_matrices(unsigned (&d)[4], const void* row, DUEL_SITE) {
  const on_host::Site site{"ldmatrix", file, line};
  check_row(row, site);
  on_host::gather(~0u, row, site, [&](const void* const* of) {
    for (unsigned m = 0; m < 4; ++m)
      d[m] = static_cast<const unsigned*>(of[m * 8 + on_host::lane() / 4])[on_host::lane() % 4];
    return 0;
  });
}
inline void load_matrices_transposed(unsigned (&d)[4], const void* row, DUEL_SITE) {
  const on_host::Site site{"ldmatrix.trans", file, line};
  check_row(row, site);
  on_host::gather(~0u, row, site, [&](const void* const* of) {
    const unsigned g = on_host::lane() / 4, t = on_host::lane() % 4;
    for (unsigned m = 0; m < 4; ++m) {
      const auto half = [&](unsigned i) -> unsigned { return static_cast<const std::uint16_t*>(of[m * 8 + i])[g]; };
      d[m] = half(2 * t) | half(2 * t + 1) << 16;
    }
    return 0;
  });
}

inline void copy_async(void* to, const void* from, const void*, DUEL_SITE) {
  if (from)
    on_host::copy_async(to, from, 16, {"cp.async", file, line});
  else
    *static_cast<uint4*>(to) = uint4{};
}
inline void copy_async_commit() { on_host::copy_async_commit(); }
template <int groups_left>
void copy_async_wait() {
  on_host::copy_async_wait(groups_left);
}

#endif

}  // namespace duel::kernels::DUEL_GPU
