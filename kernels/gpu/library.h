// Libraries of NVIDIA's that a machine may have, loaded when they are first asked for. No CUDA is needed to compile
// this.
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace duel::kernels {

// The folders that are looked into for a library of NVIDIA's Python package `package` ("cublas", "cudnn"), in this
// order; "" stands for the loader's own search. DUEL_CUDA_LIBRARIES=folder[:folder...] takes the place of all of them.
// Else: the loader; beside the program and in ../lib from there; /usr/local/cuda; the packages of every Python found by
// VIRTUAL_ENV, CONDA_PREFIX, PATH and HOME.
std::vector<std::string> library_folders(const std::string& package);

class Library {
 public:
  // The first of the names that loads, each looked for in all folders. None is no error: why() says it in one line.
  Library(const std::vector<std::string>& names, const std::string& package);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  explicit operator bool() const { return handle_ != nullptr; }
  const std::string& path() const { return path_; }  // of the loaded file
  const std::string& why() const { return why_; }    // it is not there; empty where it is
  // A function of the library. Error: std::runtime_error if it has none of that name.
  template <class F>
  F find(const char* name) const {
    return reinterpret_cast<F>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;
  void* handle_ = nullptr;
  std::string path_, why_;
};

Library& cublas_lt();  // never unloaded: at exit the driver may be gone before
Library& cudnn();
// "9.19.0" of a library that numbers its versions 91900; `function` answers that number.
std::string version_of(const Library& library, const char* function);

}  // namespace duel::kernels
