// Where tensors live and ops are computed.
#pragma once
#include <string>
#include <vector>

#include "kernels/view.h"

namespace duel {

// New tensors live on this device; set it before the first one is made. Tensors of one device know nothing of those of
// another. Default: the CPU.
void set_default_device(Device device);
Device default_device();
class DeviceScope {
 public:
  explicit DeviceScope(Device device) : before_(default_device()) { set_default_device(device); }
  ~DeviceScope() { set_default_device(before_); }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Device before_;
};

// The type of new tensors where none is given, and so of nets and of the images in a Step: f32, or f64 for references.
DType default_float();
class FloatScope {
 public:
  explicit FloatScope(DType type);  // Error: neither f32 nor f64
  ~FloatScope();
  FloatScope(const FloatScope&) = delete;
  FloatScope& operator=(const FloatScope&) = delete;

 private:
  DType before_;
};

// The words that choose_device knows: auto, cpu, cuda-host, cuda.
const std::vector<std::string>& device_words();
struct DeviceChoice {
  Device device;
  std::string what;  // "cuda: NVIDIA H100, compute capability 9.0", "cpu (no GPU: no CUDA-capable device is detected)"
};
// `auto` is a GPU where there is one, else the CPU. Errors: an unknown word; `cuda` where there is no GPU.
DeviceChoice choose_device(const std::string& word);

}  // namespace duel
