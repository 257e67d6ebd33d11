#include "kernels/gpu/cuda.h"
#include "tests/on_host_kernels.h"

namespace duel::test {
namespace {

// ---- right

__global__ void reverse(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = static_cast<float>(t);
  __syncthreads();
  out[t] = s[255 - t];
}
__global__ void within_warps(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = static_cast<float>(t);
  __syncwarp();
  const float v = s[t ^ 1];
  __syncwarp();
  s[t] = v;
  __syncwarp();
  out[t] = s[t ^ 3];
}
__global__ void shuffles(float* out) {
  const int t = static_cast<int>(threadIdx.x), lane = t & 31;
  float v = static_cast<float>(lane);
  for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);  // 496
  v += __shfl_sync(0xffffffffu, static_cast<float>(lane), 5);            // 5
  v += __shfl_down_sync(0xffffffffu, static_cast<float>(lane), 1, 8);
  v += __shfl_up_sync(0xffffffffu, static_cast<float>(lane), 2, 16);
  v += static_cast<float>(__popc(__ballot_sync(0xffffffffu, lane % 3 == 0)));  // 11
  v += __any_sync(0xffffffffu, lane == 7) ? 1.0f : 0.0f;
  v += __all_sync(0xffffffffu, lane >= 0) ? 1.0f : 0.0f;
  if (lane < 16) v += __shfl_sync(0xffffu, 100.0f, 3);
  out[t] = v;
}
float shuffled(int i) {
  const int lane = i & 31, down = lane % 8 + 1 < 8 ? lane + 1 : lane, up = lane % 16 >= 2 ? lane - 2 : lane;
  return static_cast<float>(496 + 5 + down + up + 11 + 1 + 1 + (lane < 16 ? 100 : 0));
}
__global__ void votes(float* out) {
  const int t = static_cast<int>(threadIdx.x);
  const int n = __syncthreads_count(t % 2), any = __syncthreads_or(t == 99), all = __syncthreads_and(t < 255);
  out[t] = static_cast<float>(n + 10 * any + 1000 * all);
}
// The last block to arrive adds up what all blocks have left (CUDA Programming Guide, memory fence functions).
__global__ void last_block(float* part, unsigned* arrived, float* out) {
  SHARED(is_last, bool);
  if (threadIdx.x == 0) {
    part[blockIdx.x] = static_cast<float>(blockIdx.x);
    __threadfence();
    is_last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += part[i];
  out[threadIdx.x] = sum;
}
__global__ void clear(float* p) { p[threadIdx.x] = 0; }
__global__ void atomics(float* out) { atomicAdd(out + threadIdx.x % 4, 1.0f); }
__global__ void dynamic(float* out) {
  DYNAMIC_SHARED(float, s);
  s[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = s[(threadIdx.x + 1) % 256];
}

// ---- one bug each

__global__ void no_barrier(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = static_cast<float>(t);
  out[t] = s[255 - t];
}
__global__ void no_barrier_reading_back(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = static_cast<float>(t);
  out[t] = s[t / 2];
}
__global__ void no_barrier_at_loop_end(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int k = 0; k < 4; ++k) {
    s[t] = static_cast<float>(t + k);
    __syncthreads();
    sum += s[(t + 64) & 255];
  }
  out[t] = sum;
}
__global__ void no_syncwarp(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t] = static_cast<float>(t);
  out[t] = s[t ^ 1];
}
__global__ void barrier_for_some(float* out) {
  if (threadIdx.x < 100) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void two_barriers(float* out) {
  if (threadIdx.x < 100) {
    __syncthreads();
    out[threadIdx.x] = 1;
  } else {
    __syncthreads();
    out[threadIdx.x] = 2;
  }
}
__global__ void mask_too_wide(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
__global__ void lane_outside_mask(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
}
__global__ void caller_outside_mask(float* out) { out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0); }
__global__ void uninitialised(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  if (t < 255) s[t] = static_cast<float>(t);
  __syncthreads();
  out[t] = s[t];
}
__global__ void blocks_race(float* out) { out[0] += 1; }
__global__ void past_the_tensor(float* out) { out[threadIdx.x + 1] = 1; }
__global__ void past_shared(float* out) {
  SHARED(s, float[256]);
  const int t = static_cast<int>(threadIdx.x);
  s[t + 1] = static_cast<float>(t);
  __syncthreads();
  out[t] = s[t + 1];
}
__global__ void misaligned(float* out) { reinterpret_cast<float4*>(out + 1)[threadIdx.x] = make_float4(1, 2, 3, 4); }

constexpr auto index = [](int i) { return static_cast<float>(i); };

}  // namespace

std::vector<HostKernel> host_kernels() {
  using enum Finder;
  return {
      {"reverse", nobody, "", [](float* o) { LAUNCH((reverse), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(255 - i); }},
      {"within_warps", nobody, "", [](float* o) { LAUNCH((within_warps), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(i ^ 2); }},
      {"shuffles", nobody, "", [](float* o) { LAUNCH((shuffles), 1, 256, 0, o); }, shuffled},
      {"votes", nobody, "", [](float* o) { LAUNCH((votes), 1, 256, 0, o); }, [](int) { return 138.0f; }},
      {"last_block", nobody, "",
       [](float* o) {
         LAUNCH((clear), 1, 256, 0, o);
         LAUNCH((last_block), 64, 32, 0, o + 64, reinterpret_cast<unsigned*>(o), o + 128);
       },
       [](int i) { return i >= 64 && i < 128    ? static_cast<float>(i - 64)
                          : i >= 128 && i < 160 ? 2016.0f
                                                : 0.0f; }},
      {"atomics", nobody, "",
       [](float* o) {
         LAUNCH((clear), 1, 256, 0, o);
         LAUNCH((atomics), 8, 128, 0, o);
       },
       [](int i) { return i < 4 ? 256.0f : 0.0f; }},
      {"dynamic", nobody, "", [](float* o) { LAUNCH((dynamic), 1, 256, 1024, o); },
       [](int i) { return static_cast<float>((i + 1) % 256); }},

      {"no_barrier", result, "shared memory", [](float* o) { LAUNCH((no_barrier), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(255 - i); }, true},
      {"no_barrier_reading_back", result, "shared memory",
       [](float* o) { LAUNCH((no_barrier_reading_back), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(i / 2); }, true},
      {"no_barrier_at_loop_end", result, "data race on shared",
       [](float* o) { LAUNCH((no_barrier_at_loop_end), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(4 * ((i + 64) & 255) + 6); }, true},
      {"no_syncwarp", result, "shared memory", [](float* o) { LAUNCH((no_syncwarp), 1, 256, 0, o); },
       [](int i) { return static_cast<float>(i ^ 1); }, true},
      {"barrier_for_some", always, "deadlock", [](float* o) { LAUNCH((barrier_for_some), 1, 256, 0, o); }, nullptr},
      {"two_barriers", always, "divergent barrier", [](float* o) { LAUNCH((two_barriers), 1, 256, 0, o); }, nullptr},
      {"mask_too_wide", always, "", [](float* o) { LAUNCH((mask_too_wide), 1, 32, 0, o); }, nullptr},
      {"lane_outside_mask", always, "reads lane 20", [](float* o) { LAUNCH((lane_outside_mask), 1, 32, 0, o); },
       nullptr},
      {"caller_outside_mask", always, "lacks the calling lane",
       [](float* o) { LAUNCH((caller_outside_mask), 1, 32, 0, o); }, nullptr},
      {"uninitialised", result, "uninitialised shared", [](float* o) { LAUNCH((uninitialised), 1, 256, 0, o); }, index,
       true},
      {"blocks_race", race, "data race on global",
       [](float* o) {
         LAUNCH((clear), 1, 256, 0, o);
         LAUNCH((blocks_race), 64, 1, 0, o);
       },
       nullptr, true},
      {"past_the_tensor", asan, "out of bounds", [](float* o) { LAUNCH((past_the_tensor), 1, 256, 0, o); }, nullptr,
       true},
      {"past_shared", asan, "out of bounds", [](float* o) { LAUNCH((past_shared), 1, 256, 0, o); }, nullptr, true},
      {"misaligned", asan, "", [](float* o) { LAUNCH((misaligned), 1, 16, 0, o); }, nullptr},
  };
}

}  // namespace duel::test
