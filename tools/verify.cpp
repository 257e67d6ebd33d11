#include <fmt/format.h>

#include "engine/device.h"
#include "engine/error.h"
#include "tools/checkpoint.h"
#include "tools/commands.h"
#include "tools/threads.h"
#include "tools/verification.h"

namespace duel {
namespace {

// All there are but a GPU that is missing, or the one that was asked for.
std::vector<Device> devices_for(const std::string& word) {
  if (word != "all") return {choose_device(word).device};
  std::vector<Device> devices{Device::cpu, Device::cuda_host};
  if (missing(Device::cuda).empty()) devices.push_back(Device::cuda);
  return devices;
}

}  // namespace

std::vector<Setting> verify_options() {
  Setting device{"device", "what to compare with the CPU's plain loops in f64", "all", 0, 0, false, {"all"}};
  for (const std::string& word : device_words())
    if (word != "auto") device.choices.push_back(word);
  return {{"batch", "images in a batch", "4", 1, 65536, true, {}},
          {"size", "crop images to squares and resize them to N x N pixels; 0: as they are", "0", 0, 4096, true, {}},
          {"seed", "the seed of everything random", "1", 0, 9007199254740992, true, {}},
          threads_option(),
          device};
}

int verify(const ModelInfo& info, const VerifyRequest& request) {
  std::map<std::string, std::string> given = request.options;
  const auto named = given.extract("data");
  const std::string spec = named ? named.mapped() : "glyphs";
  const Settings settings = canonical(info.settings, request.settings), options = canonical(verify_options(), given);
  const std::vector<Device> devices = devices_for(options.word("device"));
  configure_threads(static_cast<int>(options.integer("threads")));
  const auto seed = static_cast<std::uint64_t>(options.integer("seed"));
  Dataset data = load_dataset(spec, seed, {.size = options.integer("size")});
  const ImageSet& images = data.images();
  const std::int64_t batch = options.integer("batch");
  require(batch <= images.count, "--batch: found {}, expected at most {}: the images of {}", batch, images.count, spec);

  const Verification v = verify_model(info, settings, data, batch, seed, devices);
  fmt::print("{} on {}: images {}x{}x{}, batch {}, seed {}; one iteration\n\n", info.name, images.name, images.height,
             images.width, images.channels, batch, seed);
  show_verification(v, request.all ? v.ops.size() + v.gradients.size() : 20);
  if (const std::string why = missing(Device::cuda); options.word("device") == "all" && !why.empty())
    fmt::print("{}: not run: {}\n", name_of(Device::cuda), why);
  const std::string wrong = what_is_wrong(v);
  if (wrong.empty())
    fmt::print("right: every op within {} of the reference, the whole within {}\n", op_tolerance, whole_tolerance);
  else
    fmt::print("wrong: {}\n", wrong);
  return wrong.empty() ? 0 : 1;
}

}  // namespace duel
