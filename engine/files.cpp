#include "engine/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "engine/error.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_system(const char* action, const std::string& name, int code) {
  fail("cannot {} {}: {}", action, name, std::generic_category().message(code));
}

// The file under construction: closed and removed unless it was renamed into place.
struct Temporary {
  fs::path path;
  int descriptor = -1;
  bool renamed = false;

  explicit Temporary(const fs::path& folder, const std::string& target) {
    static std::atomic<unsigned> counter{0};
    // A leftover of a killed process with the same id is stepped over. The name is short: target's may be at the limit.
    for (int attempt = 0; attempt < 1000; ++attempt) {
      path = folder / fmt::format(".duel-{}-{}.tmp", ::getpid(), counter++);
      descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor >= 0) return;
      if (errno != EEXIST) break;
    }
    fail_system("write", target, errno);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (descriptor >= 0) ::close(descriptor);
    if (!renamed) ::unlink(path.c_str());
  }
};

struct Folder {
  int descriptor;

  explicit Folder(const fs::path& path, const std::string& target)
      : descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor < 0) fail_system("write", target, errno);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { ::close(descriptor); }
};

void write_all(int descriptor, std::span<const std::byte> bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system("write", name, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace

void write_file_atomically(const fs::path& path, std::span<const std::span<const std::byte>> parts) {
  const std::string name = path.string();
  require(path.has_filename(), "cannot write {}: the path has no file name", name.empty() ? "''" : name);
  // A rename would put a regular file in the place of, say, /dev/null.
  std::error_code ignored;
  const fs::file_status there = fs::status(path, ignored);
  require(!fs::exists(there) || fs::is_regular_file(there), "cannot write {}: it exists and is not a regular file",
          name);

  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Folder folder(parent, name);
  Temporary temporary(parent, name);
  for (const auto part : parts) write_all(temporary.descriptor, part, name);
  if (::fsync(temporary.descriptor) != 0) fail_system("write", name, errno);
  const int closed = ::close(temporary.descriptor);
  temporary.descriptor = -1;
  if (closed != 0) fail_system("write", name, errno);
  if (::rename(temporary.path.c_str(), path.c_str()) != 0) fail_system("write", name, errno);
  temporary.renamed = true;
  // Some file systems cannot sync a folder and say EINVAL; the file itself is safe there.
  if (::fsync(folder.descriptor) != 0 && errno != EINVAL) fail_system("write", name, errno);
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(text))};
  write_file_atomically(path, parts);
}

InputFile::InputFile(const fs::path& path) : name_(path.string()) {
  // Without O_NONBLOCK the opening of a pipe waits for its writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_system("read", name_, errno);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  const int code = errno;
  if (known && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::int64_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (!known) fail_system("read", name_, code);
  fail("cannot read {}: it is not a regular file", name_);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::span<std::byte> out) {
  const std::size_t expected = out.size();
  while (!out.empty()) {
    const ssize_t n = ::read(descriptor_, out.data(), out.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_system("read", name_, errno);
    require(n != 0, "cannot read {}: it ends {} bytes before the {} expected here", name_, out.size(), expected);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::vector<std::byte> read_file(const fs::path& path) {
  InputFile file(path);
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.size()));
  file.read(bytes);
  return bytes;
}

std::string read_text(const fs::path& path) {
  InputFile file(path);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace duel
