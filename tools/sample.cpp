#include <fmt/format.h>

#include <filesystem>

#include "engine/error.h"
#include "engine/pictures/picture.h"
#include "tools/codes.h"
#include "tools/commands.h"
#include "tools/loaded_run.h"
#include "tools/run_folder.h"
#include "tools/sampler.h"
#include "tools/threads.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

// What --out asks for by its end. Checked before any image is drawn.
enum class Form { grid, array, folder };
Form form_of(const fs::path& out) {
  const std::string end = out.extension().string();
  std::error_code error;
  if (fs::is_directory(out, error)) return Form::folder;
  const fs::path above = out.has_parent_path() ? out.parent_path() : ".";
  if (end == ".png" || end == ".npy") {
    require(fs::is_directory(above, error), "--out {}: {} is no folder", out.string(), above.string());
    return end == ".png" ? Form::grid : Form::array;
  }
  for (const char* other : {".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".npz", ".pt"})
    require(end != other, "--out {}: '{}' cannot be written, expected .png, .npy or a folder", out.string(), end);
  require(!fs::exists(out, error), "--out {}: found a file, expected .png, .npy or a folder", out.string());
  return Form::folder;
}

void write_folder(const fs::path& folder, const ImageSet& images) {
  std::error_code error;
  fs::create_directories(folder, error);
  require(!error, "--out {}: cannot be made: {}", folder.string(), error.message());
  const auto bytes = static_cast<std::size_t>(images.height * images.width * images.channels);
  for (std::int64_t i = 0; i < images.count; ++i) {
    const auto begin = images.pixels.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * bytes);
    save_png(folder / fmt::format("{:06}.png", i),
             {images.height, images.width, images.channels, {begin, begin + static_cast<std::ptrdiff_t>(bytes)}});
  }
}

// --class 3 is --code class=3.
std::vector<CodeValue> asked_codes(const Model& model, const std::map<std::string, std::string>& given) {
  std::vector<CodeValue> all;
  for (const char* option : {"class", "code"}) {
    const auto it = given.find(option);
    if (it == given.end()) continue;
    const bool is_class = option == std::string("class");
    const std::vector<CodeValue> some = parse_codes(model, option, (is_class ? "class=" : "") + it->second);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace

std::vector<Setting> sample_options() {
  return {{"count", "images to draw", "64", 1, 1e6, true, {}},
          {"seed", "the seed of their noise", "1", 0, 9007199254740992, true, {}},
          threads_option(),
          device_option(),
          drawing_precision_option()};
}

int sample(const std::string& run, const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> numbers = given;
  numbers.erase("out");
  for (const char* text : {"save-latents", "class", "code"}) numbers.erase(text);
  const Settings options(sample_options(), numbers);
  const auto it = given.find("out");
  const fs::path out = it != given.end() ? fs::path(it->second) : fs::path(run) / "sampled.png";
  require(!out.empty(), "--out: found '', expected .png, .npy or a folder");
  const auto latents = given.find("save-latents");
  if (latents != given.end()) check_output("save-latents", latents->second, {".safetensors"});
  const LoadedRun loaded = load_run(run, options);
  const Form form = form_of(out);

  const std::vector<CodeValue> asked = asked_codes(*loaded.model, given);
  Tensor z = draw_noise(*loaded.model, static_cast<std::uint64_t>(options.integer("seed")), options.integer("count"));
  if (asked.empty()) z = with_categories_in_turn(*loaded.model, z);
  for (const CodeValue& value : asked) z = with_code(z, value);
  const ImageSet images = draw_images(*loaded.model, loaded.identity.image, z);
  switch (form) {
    case Form::grid:
      save_grid(out, images, asked.empty() ? grid_form(*loaded.model).columns : 0);
      break;
    case Form::array:
      save_npy(out, images.pixels, {images.count, images.height, images.width, images.channels});
      break;
    case Form::folder:
      write_folder(out, images);
      break;
  }
  fmt::print("{}: {} images of {} after {} steps\n", out.string(), images.count, loaded.identity.model,
             loaded.at.iteration);
  if (latents != given.end()) {
    save_latents(latents->second, loaded.identity, z);
    fmt::print("{}: their noise\n", latents->second);
  }
  return 0;
}

}  // namespace duel
