#include "engine/launch.h"

#include <string_view>

#include "engine/error.h"
#include "kernels/conv.h"
#include "kernels/matmul.h"

namespace duel {
namespace {
thread_local Recording* recording = nullptr;
}

bool Launch::is_product() const {
  const std::string_view name = kernel;
  return name == kernels::conv.name || name == kernels::conv_finished.name || name == kernels::matmul.name;
}

Recording* current_recording() { return recording; }
RecordScope::RecordScope(Recording* r) : before_(recording) { recording = r; }
RecordScope::~RecordScope() { recording = before_; }

LaunchHook& launch_hook() {
  thread_local LaunchHook hook;
  return hook;
}

void detail::submit(Launch l) {
  on_driver([&] { l.run(); });
  if (launch_hook()) launch_hook()(l);
  if (recording) recording->launches.push_back(std::move(l));
}

}  // namespace duel
