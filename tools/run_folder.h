// The folder of a run:
//   config.json             every option, the data and the version
//   log.jsonl               one object for each iteration; at snapshots with swd and diversity (tools/sample_meter.h)
//   real.png                64 images of the data
//   samples/NNNNNN.png      64 samples after NNNNNN steps, of the same noise every time; samples.png: the latest
//   curves.png              the losses and the samples' distance to real images
//   report.html             all of it on one page (tools/report.h)
//   checkpoint.safetensors  everything that --resume needs (tools/checkpoint.h)
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/data/images.h"
#include "tools/checkpoint.h"
#include "tools/history.h"

namespace duel {

// What config.json holds. Options are by their names on the command line, as text.
struct RunConfig {
  std::string model;
  std::map<std::string, std::string> settings;  // the model's own
  std::map<std::string, std::string> options;   // of every training; what has no limit is left out
};

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path report() const { return path_ / "report.html"; }

  // Neither writes. Error: a run, something else than an empty folder, or nothing that one could be made in is there.
  void check_free() const;
  // Error: there is no run, or its config.json is damaged.
  RunConfig read_config() const;

  // Makes what is missing and takes hold of the folder. Error: another process holds it, or it cannot be written.
  void open();
  void write_config(const RunConfig& config, const RunIdentity& identity);
  // Cuts the log after the record of `step`, and hands what stays to the history. A torn last line goes, too.
  void open_log(std::int64_t step, History& history);
  void log(const Record& record, double images_per_s);

  // samples/NNNNNN.png and samples.png. columns 0: about a square.
  void write_samples(const ImageSet& images, std::int64_t columns, std::int64_t step);

 private:
  std::filesystem::path path_;
  int lock_ = -1, log_ = -1;
};

// A grid, scaled up where the images are small.
void save_grid(const std::filesystem::path& path, const ImageSet& images, std::int64_t columns = 0);

}  // namespace duel
