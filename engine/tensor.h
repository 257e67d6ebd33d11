// Tensor: a handle to dense memory and to its place on the tape.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "engine/memory.h"
#include "kernels/view.h"

namespace duel {

// Extents of the axes, outermost first; the last axis varies fastest. Rank 0 is a scalar.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(dims.begin(), dims.size()) {}
  explicit Shape(const std::vector<std::int64_t>& dims) : Shape(dims.data(), dims.size()) {}
  Shape(const std::int64_t* dims, std::size_t rank);

  int rank() const { return rank_; }
  std::int64_t size() const;
  std::int64_t operator[](int axis) const { return dim_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return dim_[static_cast<std::size_t>(axis)]; }
  const std::int64_t* begin() const { return dim_.data(); }
  const std::int64_t* end() const { return dim_.data() + rank_; }
  std::int64_t last() const { return rank_ ? dim_[static_cast<std::size_t>(rank_ - 1)] : 1; }
  bool operator==(const Shape&) const = default;

 private:
  int rank_ = 0;
  std::array<std::int64_t, max_rank> dim_{};
};

std::string to_string(const Shape& shape);  // "(16,32,32,3)"
std::string to_string(DType type);          // "f32"
inline bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::bf16; }

struct Node;

// Handles are cheap to copy and share memory. An empty handle (no memory) means "none": the symbolic zero gradient.
class Tensor {
 public:
  Tensor() = default;
  explicit operator bool() const { return node_ != nullptr; }

  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  std::int64_t size() const { return shape().size(); }
  std::int64_t dim(int axis) const;  // negative axes count from the end
  DType dtype() const;
  Device device() const;
  kernels::View view() const;    // for launch() only
  std::string describe() const;  // "(16,32,32,3) f32", or "none"

  // Copies to the host. Errors: while a Step records (nothing may be read inside a step).
  template <class T>
  std::vector<T> to_vector() const;
  double item() const;  // the value of a tensor with one element

  const std::shared_ptr<Node>& node() const { return node_; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  Tensor(std::shared_ptr<Node> node, std::shared_ptr<Storage> storage)
      : node_(std::move(node)), storage_(std::move(storage)) {}

 private:
  std::shared_ptr<Node> node_;
  std::shared_ptr<Storage> storage_;
};

// New memory, uninitialised, from the current pool.
Tensor empty(const Shape& shape, DType dtype = default_float());
Tensor empty_like(const Tensor& x);
// The same memory under another shape; not on the tape (the op is reshape).
Tensor view_as(const Tensor& x, const Shape& shape);
// The memory of `block` from `offset` bytes on, as a tensor of its own. Error: it ends before.
Tensor part_of(const Tensor& block, std::size_t offset, const Shape& shape, DType dtype);

Tensor full(const Shape& shape, double value, DType dtype = default_float());
Tensor zeros(const Shape& shape, DType dtype = default_float());
Tensor ones(const Shape& shape, DType dtype = default_float());
// From host values, converted to dtype. Errors: the number of values differs from the shape's; while a Step records.
template <class T>
Tensor from_vector(const Shape& shape, const std::vector<T>& values, DType dtype = default_float());

// Overwrites x's memory in place (a leaf: parameters, state, staging buffers). Errors as for from_vector.
void assign(const Tensor& x, const void* host_values, std::size_t bytes);
void assign(const Tensor& x, const Tensor& source);  // recorded; same shape and type
// The bytes of x, when everything before has been computed. Errors as for from_vector.
void read(const Tensor& x, void* host_values, std::size_t bytes);

}  // namespace duel

// Messages take tensors, shapes and types as they are; the text is made only when a message is.
template <>
struct fmt::formatter<duel::Tensor> : fmt::formatter<std::string> {
  auto format(const duel::Tensor& x, fmt::format_context& c) const {
    return formatter<std::string>::format(x.describe(), c);
  }
};
template <>
struct fmt::formatter<duel::Shape> : fmt::formatter<std::string> {
  auto format(const duel::Shape& s, fmt::format_context& c) const {
    return formatter<std::string>::format(to_string(s), c);
  }
};
template <>
struct fmt::formatter<duel::DType> : fmt::formatter<std::string> {
  auto format(duel::DType t, fmt::format_context& c) const { return formatter<std::string>::format(to_string(t), c); }
};
