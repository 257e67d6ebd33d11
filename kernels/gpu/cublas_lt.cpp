#ifdef DUEL_CUDA

#include "kernels/gpu/cublas_lt.h"

#include <fmt/format.h>

#include <stdexcept>

#include "kernels/gpu/library.h"
#ifdef DUEL_CUBLAS_LT
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#endif

namespace duel::kernels {

std::string describe(const MatmulCase& c) {
  const char* type = c.dtype == DType::bf16 ? "bf16" : c.tf32 ? "tf32" : "f32";
  return fmt::format("matmul {} {}x{} times {}x{}, batch {}, {}{}", type, c.s.m, c.s.k, c.s.k, c.s.n, c.s.batch,
                     c.s.transpose_a ? 't' : 'n', c.s.transpose_b ? 't' : 'n');
}

std::string describe_cublas_lt() {
  const std::string why = why_no_cublas_lt();
  return why.empty() ? fmt::format("cuBLASLt {}: {}", version_of(cublas_lt(), "cublasLtGetVersion"), cublas_lt().path())
                     : "cuBLASLt: " + why;
}

#ifndef DUEL_CUBLAS_LT

std::string why_no_cublas_lt() { return "this program was built without its headers"; }
struct CublasLtHandle {};
CublasLt::CublasLt(CUstream_st*) { throw std::runtime_error(why_no_cublas_lt()); }
std::vector<Engine> CublasLt::engines(const MatmulCase&) const { return {}; }

#else

std::string why_no_cublas_lt() { return cublas_lt().why(); }

namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
constexpr int most_engines = 4;

struct Functions {
#define DUEL_FIND(name) decltype(&::name) name = cublas_lt().find<decltype(&::name)>(#name)
  DUEL_FIND(cublasLtCreate);
  DUEL_FIND(cublasLtDestroy);
  DUEL_FIND(cublasLtGetStatusString);
  DUEL_FIND(cublasLtMatmul);
  DUEL_FIND(cublasLtMatmulAlgoGetHeuristic);
  DUEL_FIND(cublasLtMatmulDescCreate);
  DUEL_FIND(cublasLtMatmulDescDestroy);
  DUEL_FIND(cublasLtMatmulDescSetAttribute);
  DUEL_FIND(cublasLtMatmulPreferenceCreate);
  DUEL_FIND(cublasLtMatmulPreferenceDestroy);
  DUEL_FIND(cublasLtMatmulPreferenceSetAttribute);
  DUEL_FIND(cublasLtMatrixLayoutCreate);
  DUEL_FIND(cublasLtMatrixLayoutDestroy);
  DUEL_FIND(cublasLtMatrixLayoutSetAttribute);
#undef DUEL_FIND
};
const Functions& lib() {
  static const Functions& f = *new Functions;
  return f;
}
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(fmt::format("cublasLt: {}: {}", what, lib().cublasLtGetStatusString(status)));
}

// A matrix by columns, one of a batch of them that follow each other.
struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  Layout(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t batch) {
    check(lib().cublasLtMatrixLayoutCreate(&handle, dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F,
                                           static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), rows),
          "a matrix");
    const auto count = static_cast<std::int32_t>(batch);
    const std::int64_t distance = rows * columns;
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count);
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, distance);
  }
  Layout(const Layout&) = delete;
  ~Layout() { lib().cublasLtMatrixLayoutDestroy(handle); }

 private:
  template <class T>
  void set(cublasLtMatrixLayoutAttribute_t name, const T& value) {
    check(lib().cublasLtMatrixLayoutSetAttribute(handle, name, &value, sizeof value), "an attribute of a matrix");
  }
};

struct Operation {
  cublasLtMatmulDesc_t handle = nullptr;
  explicit Operation(const MatmulCase& c) {
    const bool tf32 = c.tf32 && c.dtype == DType::f32;
    check(lib().cublasLtMatmulDescCreate(&handle, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, c.s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, c.s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  }
  Operation(const Operation&) = delete;
  ~Operation() { lib().cublasLtMatmulDescDestroy(handle); }

 private:
  void set(cublasLtMatmulDescAttributes_t name, cublasOperation_t value) {
    const auto word = static_cast<std::int32_t>(value);
    check(lib().cublasLtMatmulDescSetAttribute(handle, name, &word, sizeof word), "an attribute of a product");
  }
};

struct Preference {
  cublasLtMatmulPreference_t handle = nullptr;
  explicit Preference(const MatmulCase& c) {
    check(lib().cublasLtMatmulPreferenceCreate(&handle), "a preference");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    // Sums that are split along k are added up in f32, whatever the result's type.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    const auto element = static_cast<std::int64_t>(size_of(c.dtype));
    // Of every matrix of a batch.
    const auto alignment = [&](std::int64_t elements) {
      return static_cast<std::uint32_t>(c.s.batch > 1 ? std::gcd(std::int64_t{16}, elements * element) : 16);
    };
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(c.s.k * c.s.n));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(c.s.m * c.s.k));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c.s.m * c.s.n));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c.s.m * c.s.n));
  }
  Preference(const Preference&) = delete;
  ~Preference() { lib().cublasLtMatmulPreferenceDestroy(handle); }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t name, T value) {
    check(lib().cublasLtMatmulPreferenceSetAttribute(handle, name, &value, sizeof value),
          "an attribute of a preference");
  }
};

// Our matrices by rows are their transposes by columns, so C' = op(B)' op(A)': b is the library's first operand.
struct Problem {
  Operation operation;
  Layout first, second, result;
  explicit Problem(const MatmulCase& c)
      : operation(c),
        first(c.dtype, c.s.transpose_b ? c.s.k : c.s.n, c.s.transpose_b ? c.s.n : c.s.k, c.s.batch),
        second(c.dtype, c.s.transpose_a ? c.s.m : c.s.k, c.s.transpose_a ? c.s.k : c.s.m, c.s.batch),
        result(c.dtype, c.s.n, c.s.m, c.s.batch) {}
};

}  // namespace

struct CublasLtHandle {
  cublasLtHandle_t handle = nullptr;
  CUstream_st* stream = nullptr;
  void* workspace = nullptr;

  explicit CublasLtHandle(CUstream_st* s) : stream(s) {
    check(lib().cublasLtCreate(&handle), "starting");
    if (cudaMalloc(&workspace, workspace_bytes) == cudaSuccess) return;
    cudaGetLastError();
    lib().cublasLtDestroy(handle);
    throw std::runtime_error("cublasLt: no memory for its workspace");
  }
  CublasLtHandle(const CublasLtHandle&) = delete;
  ~CublasLtHandle() {
    cudaFree(workspace);
    lib().cublasLtDestroy(handle);
  }
  void run(const Problem& p, const cublasLtMatmulAlgo_t& algorithm, View a, View b, View c) const {
    const float one = 1, zero = 0;
    check(lib().cublasLtMatmul(handle, p.operation.handle, &one, b.data, p.first.handle, a.data, p.second.handle, &zero,
                               c.data, p.result.handle, c.data, p.result.handle, &algorithm, workspace, workspace_bytes,
                               stream),
          "running a product");
  }
};

CublasLt::CublasLt(CUstream_st* stream) : handle_(std::make_shared<const CublasLtHandle>(stream)) {}

std::vector<Engine> CublasLt::engines(const MatmulCase& c) const {
  std::vector<Engine> engines;
  if (c.s.k == 0) return engines;
  try {
    const auto problem = std::make_shared<const Problem>(c);
    const Preference preference(c);
    cublasLtMatmulHeuristicResult_t found[most_engines] = {};
    int count = 0;
    check(lib().cublasLtMatmulAlgoGetHeuristic(handle_->handle, problem->operation.handle, problem->first.handle,
                                               problem->second.handle, problem->result.handle, problem->result.handle,
                                               preference.handle, most_engines, found, &count),
          "a heuristic");
    for (int i = 0; i < count; ++i) {
      if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
      // With one stream cuBLASLt gives the same bits every time.
      engines.push_back({fmt::format("cublasLt {}", i), 0, true,
                         [handle = handle_, problem, algorithm = found[i].algo](View a, View b, View out, View) {
                           handle->run(*problem, algorithm, a, b, out);
                         }});
    }
  } catch (const std::exception&) {  // a case that it does not know
  }
  return engines;
}

#endif  // DUEL_CUBLAS_LT

}  // namespace duel::kernels

#endif  // DUEL_CUDA
