#include "engine/device.h"

#include <algorithm>
#include <atomic>

#include "engine/error.h"

namespace duel {
namespace {
std::atomic<Device> device_of_new_tensors{Device::cpu};
std::atomic<DType> type_of_new_tensors{DType::f32};
}  // namespace

void set_default_device(Device device) { device_of_new_tensors = device; }
Device default_device() { return device_of_new_tensors; }

DType default_float() { return type_of_new_tensors; }
FloatScope::FloatScope(DType type) : before_(type_of_new_tensors) {
  require(type == DType::f32 || type == DType::f64, "type of new tensors: expected f32 or f64");
  type_of_new_tensors = type;
}
FloatScope::~FloatScope() { type_of_new_tensors = before_; }

const std::vector<std::string>& device_words() {
  static const std::vector<std::string> words{"auto", "cpu", "cuda-host", "cuda"};
  return words;
}

DeviceChoice choose_device(const std::string& word) {
  const auto& words = device_words();
  require(std::find(words.begin(), words.end(), word) != words.end(), "device '{}' is unknown, expected one of: {}",
          word, fmt::join(words, ", "));
  const auto with_name = [](Device d) {
    return DeviceChoice{d, on_driver([&] { return fmt::format("{}: {}", name_of(d), driver(d).describe()); })};
  };
  if (word == "cpu") return {Device::cpu, "cpu"};
  if (word == "cuda-host") return with_name(Device::cuda_host);
  const std::string why = missing(Device::cuda);
  if (word == "cuda") require(why.empty(), "device cuda: {}", why);
  return why.empty() ? with_name(Device::cuda) : DeviceChoice{Device::cpu, fmt::format("cpu (no GPU: {})", why)};
}

}  // namespace duel
