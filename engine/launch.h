// The one door to the kernels. launch() runs a kernel and, while a Step records, appends it to the recording.
#pragma once
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/view.h"

namespace duel {

// One kernel call with everything it needs, ready to be run again.
struct Launch {
  const char* op;      // the op that asked for it
  const char* kernel;  // the kernel that does it
  double flops;        // multiplications and additions
  double bytes;        // read and written, each operand counted once
  Device device;
  std::function<void()> run;
  std::vector<kernels::View> views;  // the operands, results included

  bool is_product() const;  // a convolution or a matrix product
};

struct Recording {
  std::vector<Launch> launches;
};

Recording* current_recording();  // of this thread; null when nothing is recorded
class RecordScope {
 public:
  explicit RecordScope(Recording* r);
  ~RecordScope();
  RecordScope(const RecordScope&) = delete;
  RecordScope& operator=(const RecordScope&) = delete;

 private:
  Recording* before_;
};

// Called after every launch of this thread when set: profiling, and the search for the first bad value.
using LaunchHook = std::function<void(const Launch&)>;
LaunchHook& launch_hook();

namespace detail {
template <class T>
void collect(std::vector<kernels::View>& views, const T& a) {
  if constexpr (std::is_same_v<T, kernels::View>)
    if (a) views.push_back(a);
}
template <class T>
double bytes_of(const T& a) {
  if constexpr (requires { a.bytes(); })
    return static_cast<double>(a.bytes());
  else
    return 0;
}
void submit(Launch l);
}  // namespace detail

// `flops` as in Launch; bytes are those of the views and packs of tensors among the arguments.
template <class... P>
void launch(const char* op, double flops, const kernels::Kernel<P...>& kernel, Device device,
            std::type_identity_t<P>... args) {
  std::vector<kernels::View> views;
  (detail::collect(views, args), ...);
  const double bytes = (0.0 + ... + detail::bytes_of(args));
  auto f = kernel.on(device);
  detail::submit({op, kernel.name, flops, bytes, device, [f, args...] { f(args...); }, std::move(views)});
}

}  // namespace duel
