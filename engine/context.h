// What an iteration carries besides tensors: its random numbers' coordinates and the flag that all is finite.
#pragma once
#include <cstdint>

#include "engine/tensor.h"

namespace duel {

// A random value is a function of (seed, call site, step, element); see kernels/random.h. The call site is the number
// of the call within the iteration, so a replayed iteration draws what an eager one would.
struct Context {
  explicit Context(std::uint64_t seed);
  std::uint64_t seed;
  std::uint32_t site = 0;
  Tensor step;      // i64 (1), on the device
  int variant = 0;  // what the Step was told of this iteration (engine/step.h)
  Tensor finite;    // i32 (1), on the device: 1 until some gradient was not finite; then no state is written any more
};

// The context of this thread: a Step's while it runs, a process-wide one (seed 0) otherwise.
Context& current_context();
class ContextScope {
 public:
  explicit ContextScope(Context& c);
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  Context* before_;
};

// Seeds the draws made outside any Step: initial weights, samples. The sequence starts anew.
void set_seed(std::uint64_t seed);

// The number of the iteration, from 0, as a tensor (1): what varies with it is computed from this.
Tensor iteration_number();

// Normal with mean 0 and standard deviation 1; uniform in (low, high). The result is a constant.
Tensor normal(const Shape& shape, DType dtype = default_float());
Tensor normal(const Shape& shape, double mean, double deviation, DType dtype = default_float());
Tensor uniform(const Shape& shape, double low = 0, double high = 1, DType dtype = default_float());
// x with each element set to 0 with probability p and the rest divided by 1 - p (Srivastava et al. 2014). The mask is
// drawn once, at this call, and kept for gradients of every order.
Tensor dropout(const Tensor& x, double p);

}  // namespace duel
