// Hooks: functions of a thread that the engine calls along its way when they are set (launch_hook, result_hook,
// gradient_hook).
#pragma once
#include <utility>

namespace duel {

// Sets a hook for a scope.
template <class Hook>
class HookScope {
 public:
  HookScope(Hook& hook, Hook value) : hook_(hook), before_(std::exchange(hook, std::move(value))) {}
  ~HookScope() { hook_ = std::move(before_); }
  HookScope(const HookScope&) = delete;
  HookScope& operator=(const HookScope&) = delete;

 private:
  Hook& hook_;
  Hook before_;
};

}  // namespace duel
