// One training iteration on several devices, against the CPU's plain loops in f64.
//
// Every device begins with the same weights, random numbers and batches, and runs the iteration twice:
//   op by op   each op is handed the reference's values, so an error is the op's own, and is found where it is made
//   as a whole only an optimizer is handed the reference's gradients: an update by Adam begins as the sign of the
//              gradient, and one that is 0 but for rounding would send the weights anywhere. A value whose sign
//              rounding turned is handed the reference's too, for the slope of a leaky ReLU hangs on it
// An error is max |value - reference| / max(max |reference|, floor). The floor is a thousandth of what the reference's
// values can have come from by cancellation: for an op of the smallest of its inputs' largest values, for a gradient of
// the largest gradient in the same update, for a loss of the largest loss, for the state of the largest of its kind.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "models/model.h"

namespace duel {

// What is compared under one name: "conv2d", "D.0.weight", "loss_d".
struct VerifiedRow {
  std::string name;
  std::int64_t count = 0;      // values (tensors or numbers) of that name in the reference
  double reference = 0;        // of a loss
  std::vector<double> errors;  // the worst of each device; infinite where a value is not a number
  double worst() const { return *std::max_element(errors.begin(), errors.end()); }
};

struct Verification {
  std::vector<Device> devices;
  std::vector<VerifiedRow> ops, gradients, losses, state;  // ops and gradients: the worst first
};

// The model's `batch` images a batch are the next of `data`.
// std::runtime_error: a device computes another sequence of ops, or gradients of other parameters.
Verification verify_model(const ModelInfo& model, const Settings& settings, Dataset& data, std::int64_t batch,
                          std::uint64_t seed, const std::vector<Device>& devices);

// The largest errors that rounding to f32 may make, on any device.
inline constexpr double op_tolerance = 1e-4, whole_tolerance = 5e-4;

// "" where all is within the tolerances, else the worst of what is not: "op matmul on cuda-host: error 0.031, expected
// at most 0.0001".
std::string what_is_wrong(const Verification& v);
// Prints the tables, of ops and of gradients at most `most` rows each.
void show_verification(const Verification& v, std::size_t most);

}  // namespace duel
