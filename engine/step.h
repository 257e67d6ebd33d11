// A Step: one whole training iteration, recorded once and then replayed.
//
// The first call with given shapes runs the body eagerly; every kernel it launches is written down. Later calls write
// the new batches into the same buffers and run the launches again, on a GPU as one graph: no tape is built and nothing
// is allocated. All memory of the iteration comes from the Step's own pool, and a buffer that is freed at its last use
// while recording is used again by a later launch of the same recording; so the recording is the memory plan.
//
// What varies from iteration to iteration is data on the device: the batches, the iteration's number (for random
// numbers), learning rates. What the body decides on the host is decided once. Reading a value in the body is an error.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/context.h"
#include "engine/data/dataset.h"
#include "engine/launch.h"
#include "engine/memory.h"
#include "engine/tensor.h"

namespace duel {

struct Batch {
  Tensor images;  // (N,H,W,C) in [-1, 1]
  Tensor labels;  // (N) i32; empty when unlabelled
  std::int64_t size() const { return images.dim(0); }
};

using Metrics = std::vector<std::pair<std::string, Tensor>>;  // names and scalars

class Step {
 public:
  using Body = std::function<Metrics(std::span<const Batch>)>;
  explicit Step(Body body, std::uint64_t seed = 0);
  ~Step();
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  // Runs one iteration; answers the values of the metrics in the order of names(). `variant` tells apart bodies that
  // depend on something else than the batches' shapes (a penalty every 16th time); each variant is recorded for itself,
  // and the body finds it in Context::variant.
  std::span<const double> operator()(std::span<const HostBatch> batches, int variant = 0);

  // The same in two halves, so that the host prepares iterations while the device computes earlier ones: submit()
  // queues one, take() waits for the oldest that was not taken. The batches may be changed after submit(). The values
  // last until the next submit(). Errors: submit() with `most_in_flight` not taken, take() with none.
  struct Outcome {
    std::int64_t iteration;
    std::span<const double> values;
    bool finite;  // as finite(), after that iteration
  };
  static constexpr std::size_t most_in_flight = 3;
  void submit(std::span<const HostBatch> batches, int variant = 0);
  Outcome take();
  std::size_t in_flight() const { return flights_.size(); }

  const std::vector<std::string>& names() const;

  // Iterations submitted; the next one has this number. seek() is for resuming.
  std::int64_t iteration() const { return iteration_; }
  void seek(std::int64_t iteration) { iteration_ = iteration; }
  // False once some gradient was not finite: from then on parameters, averages and statistics stay as they were.
  bool finite() const;
  // Runs the body itself every time; the results are the same to the bit.
  void set_eager(bool on) { eager_ = on; }

  // The launches of the last variant that was run, and the highest address its memory plan reached, in bytes.
  const std::vector<Launch>& launches() const;
  std::size_t peak_bytes() const;

 private:
  struct Plan;
  struct Flight {
    Plan* plan;
    std::int64_t iteration;
    std::size_t slot;
    DeviceDriver::Mark done;
  };
  Plan& plan_for(std::span<const HostBatch> batches, int variant);
  void record(Plan& plan);
  void run_body(Plan& plan);

  Body body_;
  Context context_;
  std::vector<std::unique_ptr<Plan>> plans_;
  Plan* last_ = nullptr;
  std::vector<Flight> flights_;  // the oldest first
  std::size_t submitted_ = 0;
  std::int64_t iteration_ = 0;
  bool eager_ = false;
};

}  // namespace duel
