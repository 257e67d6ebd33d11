#include "tools/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/context.h"
#include "tools/progress.h"
#include "tools/trainer.h"

namespace duel {
namespace {

std::string dims(const Shape& s) {
  std::string text;
  for (std::int64_t d : s) text += (text.empty() ? "" : "x") + fmt::format("{}", d);
  return text;
}
std::string mebibytes(double bytes) { return fmt::format("{:.1f} MiB", bytes / 1048576); }

void show_net(Model::Part part) {
  fmt::print("{}   input {}\n", part.name, dims(part.input));
  fmt::print("    {:<44}{:>14}{:>14}{:>12}\n", "layer", "output", "weights", "MFLOP");
  LayerSummary total{"in all", {}, 0, 0};
  for (const LayerSummary& row : part.net.summary(part.input)) {
    fmt::print("    {:<44}{:>14}{:>14}{:>12.3f}\n", row.what, dims(row.output), row.parameters, row.flops / 1e6);
    total.parameters += row.parameters;
    total.flops += row.flops;
  }
  fmt::print("    {:<44}{:>14}{:>14}{:>12.3f}\n\n", total.what, "", total.parameters, total.flops / 1e6);
}

struct Trial {
  double median = 0, low = 0, high = 0;  // seconds
  std::size_t count = 0;
};
Trial try_iterations(Step& step, Dataset& data, const Model& model, std::int64_t batch) {
  const std::int64_t at = model.busiest_iteration();
  const auto iterate = [&] {
    step.seek(at);
    step(data.next(model.batches_per_step(), batch), model.variant(at));
  };
  iterate();  // is recorded
  std::vector<double> seconds;
  for (const double start = seconds_now(); seconds.size() < 3 || (seconds.size() < 50 && seconds_now() - start < 3);) {
    const double before = seconds_now();
    iterate();
    seconds.push_back(seconds_now() - before);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back(), seconds.size()};
}

// What will run but hardly as it is meant.
std::vector<std::string> doubts(const RunIdentity& id, std::int64_t per_step) {
  std::vector<std::string> out;
  const auto norm = id.settings.find("norm");
  if (id.batch < 8 && norm != id.settings.end())
    out.push_back(fmt::format("--batch {}: batch norm in G takes its statistics from {} images; 32 or more are usual",
                              id.batch, id.batch));
  if (id.data_count < 20 * id.batch * per_step)
    out.push_back(fmt::format("{} images are {} iterations: D can learn them by heart; add data or --flip",
                              id.data_count, id.data_count / (id.batch * per_step)));
  const auto width = id.settings.find("width");
  if (width != id.settings.end() && std::stoll(width->second) % 16 != 0)
    out.push_back(fmt::format("--width {}: multiples of 16 run faster for their size", width->second));
  return out;
}

}  // namespace

std::string peak_memory(const Step& step) { return mebibytes(static_cast<double>(step.peak_bytes())) + " at its peak"; }

int show_plan(Model& model, Dataset& data, const RunIdentity& id, std::int64_t steps) {
  const ImageSet& images = data.images();
  const std::int64_t per_step = model.batches_per_step();
  fmt::print("{} on {}: {} images {}x{}x{}{}, batch {}, seed {}\n\n", id.model, images.name, images.count,
             images.height, images.width, images.channels,
             images.classes ? fmt::format(", {} classes", images.classes) : "", id.batch, id.seed);
  current_context().variant = model.variant(model.busiest_iteration());
  for (const Model::Part& part : model.parts()) show_net(part);

  Step step([&](std::span<const Batch> batches) { return model.step(batches); }, id.seed);
  const Trial t = try_iterations(step, data, model, id.batch);
  double flops = 0, products = 0, state = 0;
  for (const Launch& l : step.launches()) {
    flops += l.flops;
    if (l.is_product()) products += l.flops;
  }
  for (const NamedTensor& x : model.state()) {
    const Storage& memory = *x.value.storage();
    state += static_cast<double>(memory.bytes + (memory.bf16 ? memory.bf16->bytes : 0));
  }
  fmt::print("one iteration   {} batches, {} images, {} kernel calls\n", per_step, per_step * id.batch,
             step.launches().size());
  fmt::print("  arithmetic    {:.2f} GFLOP, of which {:.2f} in convolutions and matrix products\n", flops / 1e9,
             products / 1e9);
  fmt::print("  memory        {}, beside {} of weights and optimizer\n", peak_memory(step), mebibytes(state));
  fmt::print("  time          {:.1f} ms (median of {}; {:.1f} to {:.1f}), {:.0f} images/s, {:.0f} GFLOP/s\n",
             t.median * 1e3, t.count, t.low * 1e3, t.high * 1e3, static_cast<double>(per_step * id.batch) / t.median,
             flops / t.median / 1e9);
  if (steps > 0)
    fmt::print("{} steps       {}, {:.1f} times through the data\n", steps,
               duration(static_cast<double>(steps) * t.median),
               static_cast<double>(steps * per_step * id.batch) / static_cast<double>(images.count));
  for (const std::string& doubt : doubts(id, per_step)) fmt::print("note: {}\n", doubt);
  return 0;
}

}  // namespace duel
