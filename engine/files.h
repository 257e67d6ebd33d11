// Whole files: read with errors that name the path, and written so that a crash leaves the old file or the new one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace duel {

// Writes the parts, one after the other, to a temporary file in path's folder, then fsync, rename onto path and fsync
// of the folder. The folder must exist. Error: path and the system's reason; the temporary file is removed and a file
// that was at path stays as it was. A path that names something else than a regular file (a device, a folder) is
// refused.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// A regular file, read from front to back. Errors name the path.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Bytes, when it was opened.
  std::int64_t size() const { return size_; }
  // Fills out with the next bytes. Error if the file ends before.
  void read(std::span<std::byte> out);

 private:
  std::string name_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

std::vector<std::byte> read_file(const std::filesystem::path& path);
std::string read_text(const std::filesystem::path& path);

}  // namespace duel
