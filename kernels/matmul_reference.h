// The matrix product as plain loops: the oracle of the fast path, and what f64 runs on. Every element of C is summed
// by one thread in the order of p, so the bits do not depend on the number of threads.
#pragma once
#include "kernels/matmul.h"

namespace duel::kernels::reference {

// Row i of C gathers the rows of B (axpy), so that the inner loop runs along memory.
template <class T>
void matmul_row(const MatmulShape& s, std::int64_t i, const T* a, const T* b, T* c) {
  for (std::int64_t j = 0; j < s.n; ++j) c[j] = 0;
  for (std::int64_t p = 0; p < s.k; ++p) {
    const T factor = s.transpose_a ? a[p * s.m + i] : a[i * s.k + p];
    for (std::int64_t j = 0; j < s.n; ++j) c[j] += factor * b[p * s.n + j];
  }
}

// With B transposed, each element of row i of C is a dot product with a row of B.
template <class T>
void matmul_row_transposed(const MatmulShape& s, std::int64_t i, const T* a, const T* b, T* c) {
  for (std::int64_t j = 0; j < s.n; ++j) {
    T sum = 0;
    for (std::int64_t p = 0; p < s.k; ++p) sum += (s.transpose_a ? a[p * s.m + i] : a[i * s.k + p]) * b[j * s.k + p];
    c[j] = sum;
  }
}

template <class T>
void matmul(const MatmulShape& s, const T* a, const T* b, T* c) {
#pragma omp parallel for collapse(2)
  for (std::int64_t q = 0; q < s.batch; ++q)
    for (std::int64_t i = 0; i < s.m; ++i) {
      const auto row = s.transpose_b ? matmul_row_transposed<T> : matmul_row<T>;
      row(s, i, a + q * s.m * s.k, b + q * s.k * s.n, c + (q * s.m + i) * s.n);
    }
}

}  // namespace duel::kernels::reference
