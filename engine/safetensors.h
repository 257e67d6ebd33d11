// Named arrays in one file, in the safetensors format (https://huggingface.co/docs/safetensors): the length of the
// header (8 bytes, little-endian), the header (JSON: for each name its dtype, shape and [begin, end) in the data), the
// data (little-endian, row-major, without gaps).
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace duel {

// A tensor of a file, with its own memory. shape () is a scalar; an axis may have length 0.
struct StoredTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;  // size_of(dtype) * product(shape) bytes, row-major
};

struct TensorFile {
  std::map<std::string, StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
};

// A tensor to write, in memory that somebody else owns.
struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;  // size_of(dtype) * product(shape) bytes, row-major
};

// Reads a file that may be damaged or hostile: nothing is allocated before the file's size has confirmed it. Dtypes F32
// F64 I32 I64 U8, rank up to max_rank. Error: the file, the tensor and field, what was found and what was expected.
TensorFile read_safetensors(const std::filesystem::path& path);

// Writes the tensors in the order of their names, whatever the order given: equal content gives equal bytes. The header
// is padded with spaces so that the data starts at a multiple of 8. Atomic (engine/files.h). Error: names twice or
// reserved, text that is not UTF-8, sizes that disagree, and those of write_file_atomically.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorEntry> entries,
                       const std::map<std::string, std::string>& metadata = {});
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace duel
