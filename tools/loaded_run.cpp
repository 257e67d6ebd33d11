#include "tools/loaded_run.h"

#include <algorithm>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/safetensors.h"
#include "tools/run_folder.h"
#include "tools/threads.h"

namespace duel {

namespace fs = std::filesystem;

LoadedRun load_run(const std::string& run, const Settings& options) {
  const RunFolder folder(run);
  const RunConfig config = folder.read_config();
  const std::string name = folder.checkpoint().string();
  const TensorFile file = read_safetensors(folder.checkpoint());
  LoadedRun out{RunIdentity::parse(file.metadata, name), nullptr, {}};
  require(out.identity.model == config.model, "{}: found a checkpoint of {}, expected {} as in config.json", name,
          out.identity.model, config.model);
  configure_threads(static_cast<int>(options.integer("threads")));
  use_device(options.word("device"));
  const std::string& precision = options.word("precision");
  use_precision(precision == "run" ? out.identity.precision : precision);
  const ModelInfo& info = find_model(out.identity.model);
  set_seed(0);  // the weights are overwritten
  out.model = info.make(out.identity.image, Settings(info.settings, out.identity.settings));
  out.at = load_state(file, name, *out.model);
  return out;
}

void check_output(const std::string& option, const fs::path& file, std::initializer_list<const char*> endings) {
  const std::string end = file.extension().string();
  std::error_code error;
  require(std::any_of(endings.begin(), endings.end(), [&](const char* e) { return end == e; }),
          "--{} {}: expected a name that ends in {}", option, file.string(), fmt::join(endings, " or "));
  const fs::path above = file.has_parent_path() ? file.parent_path() : ".";
  require(fs::is_directory(above, error), "--{} {}: {} is no folder", option, file.string(), above.string());
  require(!fs::is_directory(file, error), "--{} {}: found a folder, expected a file", option, file.string());
}

void save_latents(const fs::path& file, const RunIdentity& run, const Tensor& z) {
  const std::vector<float> values = z.to_vector<float>();
  const TensorEntry entry{"z", DType::f32, {z.shape().begin(), z.shape().end()}, values.data()};
  write_safetensors(file, {&entry, 1}, {{"duel.latents", "1"}, {"model", run.model}});
}

Tensor load_latents(const fs::path& file, const Model& model) {
  const std::string name = file.string();
  const TensorFile stored = read_safetensors(file);
  const auto it = stored.tensors.find("z");
  require(it != stored.tensors.end(), "{}: tensor z is missing; duel sample --save-latents writes such files", name);
  const StoredTensor& t = it->second;
  Shape expected = model.noise(1).shape();
  const Shape found(t.shape);
  if (found.rank() > 0) expected[0] = found[0];
  require(t.dtype == DType::f32 && found == expected && found[0] >= 1 && found[0] <= 1 << 20,
          "{}: tensor z is {} {}, expected f32 rows of {} numbers, as the model's noise", name, found, t.dtype,
          model.noise(1).size());
  Tensor z = empty(found);
  assign(z, t.data.data(), t.data.size());
  return z;
}

}  // namespace duel
