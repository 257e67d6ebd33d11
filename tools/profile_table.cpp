#include <fmt/format.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/files.h"
#include "tools/profile.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_rows = 20;

// Rates are shown where they mean something: not on cuda-host.
void print_row(const ProfileRow& r, const Ceiling* ceiling) {
  fmt::print("{:<26}{:<20}{:>6}{:>11.3f}{:>8.1f} %", r.op, r.kernel, r.calls, r.seconds * 1e3, r.share * 100);
  if (ceiling && r.bytes > 0 && r.seconds > 0) {
    fmt::print("{:>9.2f}", r.bytes / r.seconds / 1e9);
    fmt::print("{:>10}", r.flops > 0 ? fmt::format("{:.2f}", r.flops / r.seconds / 1e9) : "");
    fmt::print("{:>8.0f} %", ceiling->fraction(r.bytes, r.flops, r.seconds) * 100);
  }
  fmt::print("\n");
}

void print_table(const Profile& p, const Ceiling* ceiling) {
  fmt::print("{:<26}{:<20}{:>6}{:>11}{:>10}", "op", "kernel", "calls", "ms", "share");
  if (ceiling) fmt::print("{:>9}{:>10}{:>10}", "GB/s", "GFLOP/s", "ceiling");
  fmt::print("\n");
  ProfileRow all{"all launches", "", 0, p.sum, 1, 0, 0}, rest;
  for (std::size_t i = 0; i < p.rows.size(); ++i) {
    const ProfileRow& r = p.rows[i];
    if (i < most_rows) print_row(r, ceiling);
    for (ProfileRow* sum : {&all, &rest}) {
      if (sum == &rest && i < most_rows) continue;
      sum->calls += r.calls;
      sum->bytes += r.bytes;
      sum->flops += r.flops;
    }
    if (i < most_rows) continue;
    rest.seconds += r.seconds;
    rest.share += r.share;
  }
  if (p.rows.size() > most_rows) {
    rest.op = fmt::format("{} more", p.rows.size() - most_rows);
    print_row(rest, ceiling);
  }
  print_row(all, ceiling);
  const double between = p.iteration - p.sum;
  fmt::print("{:<52}{:>11.3f}   {}\n\n", "one iteration, replayed", p.iteration * 1e3,
             between >= 0
                 ? fmt::format("launching and waiting: {:.3f} ms, {:.1f} %", between * 1e3, 100 * between / p.iteration)
                 : fmt::format("{:.3f} ms less than the launches one by one", -between * 1e3));
}

}  // namespace

ProfileRequest profile_request(const std::string& times, const std::string& out) {
  const Setting setting{"profile", "", "", 1, 1000, true, {}};
  fs::path folder = out;
  if (!out.empty() && !folder.has_filename()) folder = folder.parent_path();  // "runs/a/"
  ProfileRequest request{static_cast<int>(Settings({setting}, {{"profile", times}}).integer("profile")),
                         folder / "trace.json"};
  std::error_code error;
  require(out.empty() || fs::is_directory(folder, error) || !fs::exists(folder, error),
          "--out {}: found a file, expected a folder", out);
  const fs::path above = folder.has_parent_path() ? folder.parent_path() : ".";
  require(fs::is_directory(folder, error) || fs::is_directory(above, error), "--out {}: {} is no folder", out,
          above.string());
  require(!fs::exists(request.trace, error), "{}: is there already; remove it or choose another --out",
          request.trace.string());
  return request;
}

int show_profile(Model& model, Dataset& data, const RunIdentity& id, const ProfileRequest& request) {
  const ImageSet& images = data.images();
  const Device device = default_device();
  const std::string title = fmt::format("{} on {}: images {}x{}x{}, batch {}, on {}", id.model, images.name,
                                        images.height, images.width, images.channels, id.batch, name_of(device));
  Step step([&](std::span<const Batch> batches) { return model.step(batches); }, id.seed);
  const std::int64_t batches = model.batches_per_step(), at = model.busiest_iteration();
  const Profile p = profile_step(
      step, device,
      [&] {
        step.seek(at);
        step(data.next(batches, id.batch), model.variant(at));
      },
      request.times);
  fmt::print("{}; medians of {} iterations\n", title, request.times);
  if (device == Device::cuda_host) {
    fmt::print("cuda-host executes the kernels of a GPU on the CPU: its times say nothing about one\n\n");
    print_table(p, nullptr);
  } else {
    const Ceiling ceiling = measure_ceiling(device, default_float());
    fmt::print(
        "ceiling: copies {:.1f} GB/s, matrix product {:.1f} GFLOP/s; a row's part of it is of its bytes or its\n"
        "arithmetic, whichever is more, and above 100 % where tensors stay in a cache\n\n",
        ceiling.bytes / 1e9, ceiling.flops / 1e9);
    print_table(p, &ceiling);
  }
  std::error_code error;
  if (request.trace.has_parent_path()) fs::create_directories(request.trace.parent_path(), error);
  write_file_atomically(request.trace, chrome_trace(step.launches(), p, title));
  fmt::print("one iteration launch by launch: {} (open it in chrome://tracing or ui.perfetto.dev)\n",
             request.trace.string());
  return 0;
}

}  // namespace duel
