#include "engine/speed.h"

#include <algorithm>
#include <vector>

#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"

namespace duel {

Timing time_work(Device device, const std::function<void()>& work, double budget) {
  DeviceDriver& d = driver(device);
  const double once = std::max(d.seconds(work), 1e-7);
  const int repeats = std::clamp(static_cast<int>(budget / 7 / once), 1, 1000);
  std::vector<double> samples;
  for (int i = 0; i < 7; ++i)
    samples.push_back(d.seconds([&] {
      for (int r = 0; r < repeats; ++r) work();
    }) / repeats);
  std::sort(samples.begin(), samples.end());
  return {samples[3], samples.front(), samples.back()};
}

double Ceiling::fraction(double moved_bytes, double done_flops, double seconds) const {
  const double least = std::max(bytes > 0 ? moved_bytes / bytes : 0, flops > 0 ? done_flops / flops : 0);
  return seconds > 0 ? least / seconds : 0;
}

namespace {

// The last launch of an op, timed while its operands live.
template <class F>
Timing time_last_launch(Device device, F op, Launch& launch) {
  Recording recording;
  Tensor y;
  {
    const RecordScope record(&recording);
    y = op();
  }
  launch = recording.launches.back();
  return time_work(device, launch.run, 0.5);
}

}  // namespace

Ceiling measure_ceiling(Device device, DType type) {
  const DeviceScope scope(device);
  const auto pool = std::make_shared<Pool>(device);
  const PoolScope memory(pool);  // given back at the end
  const NoGrad off;
  const std::int64_t n = device == Device::cuda ? 8192 : 1024, length = device == Device::cuda ? 1 << 28 : 1 << 24;
  const Tensor x = full({length}, 0.5, type), a = full({n, n}, 0.5, type);
  Launch copy, product;
  const Timing of_copy = time_last_launch(
      device,
      [&] {
        Tensor y = empty_like(x);
        assign(y, x);
        return y;
      },
      copy);
  const Timing of_product = time_last_launch(
      device, [&] { return matmul(a, a); }, product);
  return {copy.bytes / of_copy.low, product.flops / of_product.low};
}

}  // namespace duel
