#include "engine/launch.h"

#include "engine/error.h"

namespace duel {
namespace {
thread_local Recording* recording = nullptr;
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
