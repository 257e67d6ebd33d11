// A fiber: a stack of its own and the place where it stopped. Switching costs about ten instructions.
#pragma once
#include <cstddef>

namespace duel::on_host {

// Stacks are mapped with an inaccessible page below them, so an overflow is a crash and not a corruption.
class Fiber {
 public:
  Fiber() = default;  // stands for the stack that the program itself runs on
  Fiber(void (*entry)(), std::size_t number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `from`, the fiber that runs, and goes on in `to`. Returns when someone switches back.
  static void switch_to(Fiber& from, Fiber& to);
  // The first thing an entry function calls: completes the switch that started it.
  static void entered(Fiber& from);

 private:
  void* stack_pointer_ = nullptr;
  std::byte* base_ = nullptr;     // lowest usable address; null for the program's own stack
  const void* bottom_ = nullptr;  // for AddressSanitizer: the stack's extent and its fake stack
  std::size_t size_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace duel::on_host
