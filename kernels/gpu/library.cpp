#include "kernels/gpu/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace duel::kernels {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(':', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Folders that hold a Python's lib/python3*: where its environment says so, and beside every bin/python3.
std::vector<fs::path> python_prefixes() {
  std::vector<fs::path> prefixes;
  std::error_code error;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string folder = variable(name); !folder.empty()) prefixes.push_back(folder);
  for (const fs::path folder : split(variable("PATH"))) {
    const fs::path python = folder / "python3";
    if (!fs::exists(python, error)) continue;
    prefixes.push_back(folder.parent_path());
    const fs::path real = fs::canonical(python, error);
    if (!error) prefixes.push_back(real.parent_path().parent_path());
  }
  if (const std::string home = variable("HOME"); !home.empty()) prefixes.push_back(fs::path(home) / ".local");
  return prefixes;
}

void add_python_folders(const fs::path& prefix, const std::string& package, std::vector<std::string>& folders) {
  std::error_code error;
  std::vector<fs::path> pythons;
  for (const auto& entry : fs::directory_iterator(prefix / "lib", error))
    if (entry.path().filename().string().starts_with("python3")) pythons.push_back(entry.path());
  std::sort(pythons.begin(), pythons.end());
  for (const fs::path& python : pythons)
    for (const char* packages : {"site-packages", "dist-packages"})
      for (const std::string& part : {package, std::string("cu13")}) {
        const std::string folder = (python / packages / "nvidia" / part / "lib").string();
        const bool known = std::find(folders.begin(), folders.end(), folder) != folders.end();
        if (!known && fs::is_directory(folder, error)) folders.push_back(folder);
      }
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::vector<std::string> library_folders(const std::string& package) {
  if (const auto given = split(variable("DUEL_CUDA_LIBRARIES")); !given.empty()) return given;
  std::vector<std::string> folders{""};
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    folders.push_back(self.parent_path().string());
    folders.push_back((self.parent_path().parent_path() / "lib").string());
  }
  folders.push_back("/usr/local/cuda/lib64");
  for (const fs::path& prefix : python_prefixes()) add_python_folders(prefix, package, folders);
  return folders;
}

Library::Library(const std::vector<std::string>& names, const std::string& package) {
  std::string broken;
  const std::vector<std::string> folders = library_folders(package);
  for (const std::string& name : names) {
    for (const std::string& folder : folders) {
      const std::string file = folder.empty() ? name : (fs::path(folder) / name).string();
      std::error_code error;
      if (!folder.empty() && !fs::exists(file, error)) continue;
      handle_ = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle_) {
        link_map* map = nullptr;
        path_ = ::dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map ? map->l_name : file;
        return;
      }
      const char* reason = ::dlerror();
      if (!folder.empty() && broken.empty()) broken = one_line(reason ? reason : file + " cannot be loaded");
    }
  }
  if (!broken.empty())
    why_ = broken;
  else if (folders.front().empty())
    why_ = fmt::format("{} not found by the loader, nor in {} folders; DUEL_CUDA_LIBRARIES=folder names another",
                       fmt::join(names, " or "), folders.size() - 1);
  else
    why_ = fmt::format("{} not found in {}", fmt::join(names, " or "), fmt::join(folders, ", "));
}
Library::~Library() {
  if (handle_) ::dlclose(handle_);
}

void* Library::symbol(const char* name) const {
  void* found = handle_ ? ::dlsym(handle_, name) : nullptr;
  if (!found) throw std::runtime_error(handle_ ? path_ + " has no " + name : why_);
  return found;
}

Library& cublas_lt() {
  static Library& library = *new Library({"libcublasLt.so.13", "libcublasLt.so.12"}, "cublas");
  return library;
}
Library& cudnn() {
  // It uses cuBLASLt, too, and finds it by its name once it is loaded.
  static Library& library = (cublas_lt(), *new Library({"libcudnn.so.9"}, "cudnn"));
  return library;
}

std::string version_of(const Library& library, const char* function) {
  const std::size_t v = library.find<std::size_t (*)()>(function)();
  return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

}  // namespace duel::kernels
