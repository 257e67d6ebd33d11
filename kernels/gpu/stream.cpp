// The GPU as a device: memory in ranges whose blocks never move, and one stream. Compiled only where there is nvcc.
#ifdef DUEL_CUDA

#include "kernels/gpu/stream.h"

#include <cuda.h>
#include <cuda_runtime.h>

#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace duel {
namespace {

void check(cudaError_t e, const char* what) {
  if (e != cudaSuccess) throw std::runtime_error(std::string("cuda: ") + what + ": " + cudaGetErrorString(e));
}

// The driver's memory functions, found at run time: the program starts without a driver.
class VirtualMemory {
 public:
  decltype(&cuMemAddressReserve) address_reserve = find<decltype(&cuMemAddressReserve)>("cuMemAddressReserve");
  decltype(&cuMemAddressFree) address_free = find<decltype(&cuMemAddressFree)>("cuMemAddressFree");
  decltype(&cuMemCreate) create = find<decltype(&cuMemCreate)>("cuMemCreate");
  decltype(&cuMemRelease) release = find<decltype(&cuMemRelease)>("cuMemRelease");
  decltype(&cuMemMap) map = find<decltype(&cuMemMap)>("cuMemMap");
  decltype(&cuMemUnmap) unmap = find<decltype(&cuMemUnmap)>("cuMemUnmap");
  decltype(&cuMemSetAccess) set_access = find<decltype(&cuMemSetAccess)>("cuMemSetAccess");

 private:
  template <class F>
  static F find(const char* name) {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(cudaGetDriverEntryPointByVersion(name, &f, 12000, cudaEnableDefault, &found), name);
    if (found != cudaDriverEntryPointSuccess || !f)
      throw std::runtime_error(std::string("cuda: the driver lacks ") + name);
    return reinterpret_cast<F>(f);
  }
};

class Cuda final : public DeviceDriver {
 public:
  Cuda() {
    check(cudaSetDevice(0), "cudaSetDevice");
    check(cudaFree(nullptr), "starting the GPU");  // makes the context that the driver's functions work in
    check(cudaGetDeviceProperties(&properties_, 0), "cudaGetDeviceProperties");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    memory_ = new VirtualMemory;
    placement_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    placement_.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
  }
  cudaStream_t stream() const { return stream_; }
  int capability() const { return 10 * properties_.major + properties_.minor; }
  // More than 48 KiB of shared memory must be asked for, once a kernel.
  void allow_shared(const void* kernel, std::size_t bytes) {
    if (bytes <= 48 << 10) return;
    const std::scoped_lock lock(mutex_);
    std::size_t& allowed = shared_allowed_[kernel];
    if (bytes <= allowed) return;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "shared memory");
    allowed = bytes;
  }

  std::string describe() const override {
    return std::string(properties_.name) + ", compute capability " + std::to_string(properties_.major) + "." +
           std::to_string(properties_.minor);
  }
  std::size_t capacity() const override { return properties_.totalGlobalMem; }

  void* reserve(std::size_t bytes) override {
    CUdeviceptr at = 0;
    check_driver(memory_->address_reserve(&at, bytes, 0, 0, 0), "reserving addresses");
    const std::scoped_lock lock(mutex_);
    void* base = reinterpret_cast<void*>(at);
    ranges_[base].reserved = bytes;
    return base;
  }
  void commit(void* base, std::size_t bytes) override {
    const std::scoped_lock lock(mutex_);
    Range& range = ranges_.at(base);
    const std::size_t more = bytes - range.committed;
    CUmemGenericAllocationHandle handle = 0;
    check_driver(memory_->create(&handle, more, &placement_, 0), "memory of the GPU");
    const CUdeviceptr at = reinterpret_cast<CUdeviceptr>(base) + range.committed;
    const CUresult mapped = memory_->map(at, more, 0, handle, 0);
    if (mapped != CUDA_SUCCESS) memory_->release(handle);
    check_driver(mapped, "mapping memory");
    const CUmemAccessDesc access{placement_.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    const CUresult opened = memory_->set_access(at, more, &access, 1);
    if (opened != CUDA_SUCCESS) {
      memory_->unmap(at, more);
      memory_->release(handle);
    }
    check_driver(opened, "opening memory");
    range.pieces.push_back(handle);
    range.committed = bytes;
  }
  void release(void* base) override {
    const std::scoped_lock lock(mutex_);
    const auto it = ranges_.find(base);
    if (it == ranges_.end()) return;
    cudaStreamSynchronize(stream_);  // what is queued may still use it; at exit errors have nobody to go to
    const auto at = reinterpret_cast<CUdeviceptr>(base);
    if (it->second.committed) memory_->unmap(at, it->second.committed);
    for (const CUmemGenericAllocationHandle piece : it->second.pieces) memory_->release(piece);
    memory_->address_free(at, it->second.reserved);
    ranges_.erase(it);
  }
  void begin_block(void*, std::size_t, bool) override {}
  void end_block(void*, std::size_t) noexcept override {}

  void copy_in(void* to, const void* host, std::size_t bytes) override {
    if (!bytes) return;
    check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
    synchronize();  // only then is `host` the caller's again, wherever it lies
  }
  void copy_out(void* host, const void* from, std::size_t bytes) override {
    if (bytes) check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
    synchronize();
  }
  void synchronize() override { check(cudaStreamSynchronize(stream_), "waiting for the GPU"); }
  void* host_memory(std::size_t bytes) override {
    void* p = nullptr;
    check(cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocDefault), "memory of the host for copies");
    return p;
  }
  void free_host_memory(void* p) noexcept override { cudaFreeHost(p); }
  void queue_in(void* to, const void* host, std::size_t bytes) override {
    if (bytes) check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
  }
  void queue_out(void* host, const void* from, std::size_t bytes) override {
    if (bytes) check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
  }
  Mark mark() override {
    cudaEvent_t& event = marks_[++mark_ % std::size(marks_)];
    if (!event) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
    check(cudaEventRecord(event, stream_), "cudaEventRecord");
    return mark_;
  }
  // An event that a later mark has taken over is reached later, never too early.
  void wait(Mark m) override { check(cudaEventSynchronize(marks_[m % std::size(marks_)]), "waiting for the GPU"); }
  std::function<void()> repeated(std::function<void()> work) override {
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording a graph");
    try {
      work();
    } catch (const std::exception&) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
      synchronize();  // throws where more than the recording went wrong
      return work;    // something in it cannot be recorded
    }
    check(cudaStreamEndCapture(stream_, &graph), "recording a graph");
    cudaGraphExec_t made = nullptr;
    const cudaError_t e = cudaGraphInstantiate(&made, graph, 0);
    cudaGraphDestroy(graph);
    check(e, "making a graph");
    const std::shared_ptr<CUgraphExec_st> ready(made, [](cudaGraphExec_t g) { cudaGraphExecDestroy(g); });
    check(cudaGraphUpload(made, stream_), "making a graph");
    return [this, ready] { check(cudaGraphLaunch(ready.get(), stream_), "launching a graph"); };
  }
  double seconds(const std::function<void()>& work) override {
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    check(cudaEventRecord(begin, stream_), "cudaEventRecord");
    work();
    check(cudaEventRecord(end, stream_), "cudaEventRecord");
    synchronize();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return milliseconds / 1e3;
  }

 private:
  static void check_driver(CUresult r, const char* what) {
    if (r == CUDA_ERROR_OUT_OF_MEMORY) throw std::bad_alloc();
    if (r != CUDA_SUCCESS)
      throw std::runtime_error(std::string("cuda: ") + what + ": the driver's error " +
                               std::to_string(static_cast<int>(r)));
  }
  struct Range {
    std::size_t reserved = 0, committed = 0;
    std::vector<CUmemGenericAllocationHandle> pieces;
  };
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  cudaEvent_t marks_[8] = {};
  Mark mark_ = 0;
  VirtualMemory* memory_ = nullptr;
  CUmemAllocationProp placement_{};
  std::map<void*, Range> ranges_;
  std::map<const void*, std::size_t> shared_allowed_;
  std::mutex mutex_;
};

Cuda& cuda() {
  static Cuda& c = *new Cuda;  // never destroyed: at exit the driver may be gone before our statics
  return c;
}

}  // namespace

DeviceDriver& cuda_driver() { return cuda(); }

// Why there is no GPU to compute on; empty where there is one.
std::string cuda_missing() {
  int count = 0;
  const cudaError_t e = cudaGetDeviceCount(&count);
  if (e != cudaSuccess) {
    cudaGetLastError();  // it would come up again at the next call
    int version = 0;
    if (e == cudaErrorInsufficientDriver && cudaDriverGetVersion(&version) == cudaSuccess && version == 0)
      return "no NVIDIA driver is installed";
    return cudaGetErrorString(e);
  }
  if (count == 0) return "no GPU was found";
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  if (10 * major + minor >= DUEL_LEAST_CAPABILITY) return "";
  return "the GPU's compute capability is " + std::to_string(major) + "." + std::to_string(minor) +
         ", this program was built for " + std::to_string(DUEL_LEAST_CAPABILITY / 10) + "." +
         std::to_string(DUEL_LEAST_CAPABILITY % 10) + " and newer";
}

namespace kernels::cuda {
void launch(const void* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
            unsigned block_z, std::size_t shared_bytes, void** arguments) {
  Cuda& c = duel::cuda();
  c.allow_shared(kernel, shared_bytes);
  check(cudaLaunchKernel(kernel, dim3(grid_x, grid_y, grid_z), dim3(block_x, block_y, block_z), arguments, shared_bytes,
                         c.stream()),
        "launching a kernel");
}
CUstream_st* stream() { return duel::cuda().stream(); }
bool has_tensor_cores() { return duel::cuda().capability() >= 80; }
}  // namespace kernels::cuda

}  // namespace duel

#endif  // DUEL_CUDA
