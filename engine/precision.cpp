#include "engine/precision.h"

#include <algorithm>
#include <atomic>

#include "engine/device.h"
#include "engine/error.h"
#include "kernels/matmul.h"

namespace duel {
namespace {
std::atomic<Precision> of_new_nets{Precision::f32};
}

const std::vector<std::string>& precision_words() {
  static const std::vector<std::string> words{"f32", "tf32", "bf16"};
  return words;
}

Precision choose_precision(const std::string& word, Device device) {
  const auto& words = precision_words();
  const auto it = std::find(words.begin(), words.end(), word);
  require(it != words.end(), "precision '{}' is unknown, expected one of: {}", word, fmt::join(words, ", "));
  const auto p = static_cast<Precision>(it - words.begin());
  if (p == Precision::f32) return p;
  if (device == Device::cpu) {
    require(p == Precision::bf16, "precision {}: only a GPU knows it, found device cpu, expected f32", word);
    require(kernels::cpu::has_amx(), "precision {}: this CPU has no AMX to multiply bf16 with, expected f32", word);
  }
  require(kernels::has_tensor_cores(device),
          "precision {}: this GPU is older than compute capability 8.0, expected f32", word);
  return p;
}

void set_precision(Precision p) {
  of_new_nets = p;
  const Device device = default_device();
  kernels::set_tf32(device, p == Precision::tf32);
  if (device == Device::cpu) kernels::cpu::set_bf16_products(p == Precision::bf16);
}
Precision precision() { return of_new_nets; }
DType activation_type() {
  return precision() == Precision::bf16 && default_device() != Device::cpu ? DType::bf16 : DType::f32;
}

}  // namespace duel
