#include "kernels/on_host/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define DUEL_FIBER_ASAN 1
#endif

// Saves the registers that a call must preserve on the old stack, stores its stack pointer in *save, and takes up the
// stack at `load`, which was left by the same function.
extern "C" void duel_switch_stack(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl duel_switch_stack
.type duel_switch_stack,@function
duel_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size duel_switch_stack,.-duel_switch_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl duel_switch_stack
.type duel_switch_stack,@function
duel_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size duel_switch_stack,.-duel_switch_stack
)");
#else
#error "fibers need a stack switch for this processor"
#endif

namespace duel::on_host {
namespace {
constexpr std::size_t stack_bytes = 64 << 10, guard_bytes = 4096;
}

Fiber::Fiber(void (*entry)(), std::size_t number) : size_(stack_bytes) {
  void* m = mmap(nullptr, stack_bytes + guard_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED || mprotect(m, guard_bytes, PROT_NONE) != 0)
    throw std::runtime_error("cuda-host: cannot map a fiber's stack");
  base_ = static_cast<std::byte*>(m) + guard_bytes;
  bottom_ = base_;
  // Tops are staggered over the sets of the cache: at equal offsets a thousand stacks would share a few lines.
  const auto top = reinterpret_cast<std::uintptr_t>(base_ + size_ - (number * 5 % 61) * 64) & ~std::uintptr_t{15};
  auto** slot = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
  slot[-2] = reinterpret_cast<void*>(entry);  // the return address; at entry rsp % 16 is then 8, as the ABI wants
  slot[-1] = nullptr;
  for (int i = 3; i <= 8; ++i) slot[-i] = nullptr;  // the six registers
  stack_pointer_ = slot - 8;
#else
  std::memset(slot - 20, 0, 160);
  slot[-20 + 11] = reinterpret_cast<void*>(entry);  // x30
  stack_pointer_ = slot - 20;
#endif
}

Fiber::~Fiber() {
#ifdef DUEL_FIBER_ASAN
  // A kernel that failed left its frames as they were; the next mapping at this address must not inherit their marks.
  if (base_) ASAN_UNPOISON_MEMORY_REGION(base_, size_);
#endif
  if (base_) munmap(base_ - guard_bytes, size_ + guard_bytes);
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
#ifdef DUEL_FIBER_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.bottom_, to.size_);
#endif
  duel_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#ifdef DUEL_FIBER_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::entered([[maybe_unused]] Fiber& from) {
#ifdef DUEL_FIBER_ASAN
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!from.bottom_) {  // the program's own stack, whose extent only the sanitizer knows
    from.bottom_ = bottom;
    from.size_ = size;
  }
#endif
}

}  // namespace duel::on_host
