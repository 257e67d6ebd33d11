// What the engine needs of a device besides its kernels: memory, copies, and the order of execution.
//
// cpu        kernels run when they are called.
// cuda_host  the CUDA kernels, executed on the CPU (kernels/on_host): for tests, and to see a GPU's path without one.
// cuda       a GPU. Only in builds that had nvcc (DUEL_CUDA).
//
// On the two latter, kernels and copies are queued on one stream, and the host waits for them with synchronize().
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace duel {

enum class Device : std::uint8_t { cpu, cuda_host, cuda };

// One for each device. Errors of these functions are exceptions derived from std::runtime_error.
class DeviceDriver {
 public:
  virtual ~DeviceDriver() = default;
  virtual std::string describe() const = 0;  // "NVIDIA H100 80GB HBM3, compute capability 9.0"
  virtual std::size_t capacity() const = 0;  // bytes of memory in all

  // A range of addresses of which nothing can be used yet; commit() makes its first `bytes` usable, release() gives the
  // whole range back. Blocks in it never move.
  virtual void* reserve(std::size_t bytes) = 0;
  virtual void commit(void* base, std::size_t bytes) = 0;
  virtual void release(void* base) = 0;
  // A block within the range begins and ends to be in use: what was queued before the end may still use it. The
  // checking devices report uses outside; `fresh` blocks start as NaN there.
  virtual void begin_block(void* block, std::size_t bytes, bool fresh) = 0;
  virtual void end_block(void* block, std::size_t bytes) noexcept = 0;

  virtual void copy_in(void* to, const void* host, std::size_t bytes) = 0;     // `host` may be changed afterwards
  virtual void copy_out(void* host, const void* from, std::size_t bytes) = 0;  // waits for everything queued before
  virtual void synchronize() = 0;

  // Host memory for copies that the host does not wait for: it stays as it is until they are done.
  virtual void* host_memory(std::size_t bytes) = 0;
  virtual void free_host_memory(void* p) noexcept = 0;
  virtual void queue_in(void* to, const void* host, std::size_t bytes) = 0;
  virtual void queue_out(void* host, const void* from, std::size_t bytes) = 0;
  // A place in the queue. wait() returns when everything before it is done, perhaps later.
  using Mark = std::uint64_t;
  virtual Mark mark() = 0;
  virtual void wait(Mark m) = 0;
  // What queues again all that `work` queues: kernels with the same arguments, copies between the same places. On a GPU
  // one graph, for which `work` is called once; elsewhere, and where it cannot be recorded, `work` itself.
  virtual std::function<void()> repeated(std::function<void()> work) { return work; }

  // How long the device takes for what `work` queues, alone: by a GPU's own events, by the host's clock elsewhere.
  virtual double seconds(const std::function<void()>& work) = 0;
};

DeviceDriver& driver(Device device);
// Why the device cannot be used here: "no CUDA-capable device is detected". Empty where it can.
std::string missing(Device device);
const char* name_of(Device device);  // "cpu", "cuda-host", "cuda"

}  // namespace duel
