#include "engine/products.h"

#include <algorithm>

#include "engine/device.h"
#include "engine/error.h"
#include "kernels/gpu/engines.h"

namespace duel {

const std::vector<std::string>& product_words() {
  static const std::vector<std::string> words{"own", "cudnn", "auto"};
  return words;
}

void choose_products(const std::string& word, [[maybe_unused]] bool deterministic) {
  const auto& words = product_words();
  require(std::find(words.begin(), words.end(), word) != words.end(), "conv '{}' is unknown, expected one of: {}", word,
          fmt::join(words, ", "));
  const Device device = default_device();
  require(word != "cudnn" || device == Device::cuda, "conv cudnn: found device {}, expected cuda", name_of(device));
#ifdef DUEL_CUDA
  if (device != Device::cuda) return;
  using kernels::Prefer;
  const Prefer prefer = word == "own" ? Prefer::own : word == "cudnn" ? Prefer::library : Prefer::fastest;
  if (prefer == Prefer::library) {
    const std::string why = kernels::cuda::why_no_libraries();
    require(why.empty(), "conv cudnn: {}", why);
  }
  on_driver([&] { kernels::cuda::choose_engines(prefer, deterministic); });
#endif
}

std::vector<std::string> product_libraries() {
#ifdef DUEL_CUDA
  return on_driver([] { return kernels::cuda::library_lines(); });
#else
  return {};
#endif
}
std::vector<std::string> dropped_products() {
#ifdef DUEL_CUDA
  return kernels::cuda::dropped_engines();
#else
  return {};
#endif
}

}  // namespace duel
