// Where the time of an iteration goes, kernel by kernel.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/speed.h"
#include "engine/step.h"
#include "models/model.h"
#include "tools/checkpoint.h"

namespace duel {

// All calls of one kernel by one op in an iteration.
struct ProfileRow {
  std::string op, kernel;
  std::int64_t calls = 0;
  double seconds = 0, share = 0;  // share: of the sum of all launches
  double bytes = 0, flops = 0;    // as in Launch
};
struct Profile {
  std::vector<ProfileRow> rows;  // the longest first
  std::vector<double> launches;  // seconds of each launch of the Step, in its order
  double sum = 0;                // of these
  double iteration = 0;          // seconds of the whole, replayed
};

// `iterate` runs one iteration of the Step. It is recorded; then `times` iterations are replayed as a whole, and
// `times` more launch by launch, each launch alone on the device. All times are medians. The model moves meanwhile.
Profile profile_step(Step& step, Device device, const std::function<void()>& iterate, int times);

// The iteration in the Chrome trace format, for chrome://tracing and Perfetto: a complete event for each launch, one
// after the other, in microseconds, with shapes, bytes and flops.
std::string chrome_trace(const std::vector<Launch>& launches, const Profile& profile, const std::string& title);

struct ProfileRequest {
  int times = 0;
  std::filesystem::path trace;  // the file to write
};
// From --profile and --out; `out` is empty where it was not given. Errors: not 1 to 1000 times; the trace is there
// already, or its folder cannot be.
ProfileRequest profile_request(const std::string& times, const std::string& out);
// Prints the table and writes the trace.
int show_profile(Model& model, Dataset& data, const RunIdentity& identity, const ProfileRequest& request);

}  // namespace duel
