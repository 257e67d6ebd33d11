#include "engine/tensor.h"

#include "engine/bf16_copy.h"
#include "engine/error.h"
#include "engine/launch.h"
#include "engine/tape.h"
#include "kernels/copy.h"

namespace duel {

Shape::Shape(const std::int64_t* dims, std::size_t rank) : rank_(static_cast<int>(rank)) {
  require(rank <= static_cast<std::size_t>(max_rank), "shape: {} axes, but at most {} are supported", rank, max_rank);
  for (std::size_t i = 0; i < rank; ++i) {
    require(dims[i] >= 0, "shape: axis {} has extent {}, expected 0 or more", i, dims[i]);
    dim_[i] = dims[i];
  }
}

std::int64_t Shape::size() const {
  std::int64_t n = 1;
  for (std::int64_t d : *this) n *= d;
  return n;
}

std::string to_string(const Shape& shape) {
  std::string s = "(";
  for (int i = 0; i < shape.rank(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + ")";
}

std::string to_string(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

namespace {
const Node& node_of(const Tensor& x) {
  require(static_cast<bool>(x), "tensor: an empty tensor was used");
  return *x.node();
}
void forbid_in_step(const char* what) {
  require(current_recording() == nullptr, "{}: host values may not be read or written inside a Step, which is replayed",
          what);
}
}  // namespace

const Shape& Tensor::shape() const { return node_of(*this).shape; }
DType Tensor::dtype() const { return node_of(*this).dtype; }
Device Tensor::device() const { return node_of(*this).device; }
std::int64_t Tensor::dim(int axis) const {
  const int r = rank();
  require(axis >= -r && axis < r, "tensor: axis {} of {}", axis, *this);
  return shape()[axis < 0 ? axis + r : axis];
}
std::string Tensor::describe() const { return node_ ? to_string(shape()) + " " + to_string(dtype()) : "none"; }

kernels::View Tensor::view() const {
  kernels::View v;
  v.data = storage_->data;
  v.dtype = dtype();
  v.rank = rank();
  for (int i = 0; i < v.rank; ++i) v.dim[i] = shape()[i];
  return v;
}

namespace {
template <class From, class To>
void convert(const void* from, To* to, std::int64_t n) {
  const auto* p = static_cast<const From*>(from);
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(p[i]);
}
}  // namespace

template <class T>
std::vector<T> Tensor::to_vector() const {
  forbid_in_step("to_vector");
  std::vector<T> out(static_cast<std::size_t>(size()));
  std::vector<std::byte> bytes(out.size() * size_of(dtype()));
  read(*this, bytes.data(), bytes.size());
  kernels::dispatch_type(dtype(), [&](auto t) { convert<decltype(t)>(bytes.data(), out.data(), size()); });
  return out;
}
double Tensor::item() const {
  require(size() == 1, "item: one element expected, found {}", *this);
  return to_vector<double>()[0];
}

Tensor empty(const Shape& shape, DType dtype) {
  auto pool = current_pool();
  const Device device = pool->device();
  const std::size_t bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  return Tensor(std::make_shared<Node>(shape, dtype, device), std::make_shared<Storage>(std::move(pool), bytes));
}
Tensor empty_like(const Tensor& x) { return empty(x.shape(), x.dtype()); }

Tensor view_as(const Tensor& x, const Shape& shape) {
  require(shape.size() == x.size(), "reshape: {} has {} elements but {} has {}", x, x.size(), shape, shape.size());
  return Tensor(std::make_shared<Node>(shape, x.dtype(), x.device()), x.storage());
}

Tensor part_of(const Tensor& block, std::size_t offset, const Shape& shape, DType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  require(offset + bytes <= block.storage()->bytes, "part_of: {} bytes from {} on are not in {}", bytes, offset, block);
  return Tensor(std::make_shared<Node>(shape, dtype, block.device()),
                std::make_shared<Storage>(block.storage(), offset, bytes));
}

Tensor full(const Shape& shape, double value, DType dtype) {
  Tensor y = empty(shape, dtype);
  launch("full", 0, kernels::fill, y.device(), y.view(), value);
  return y;
}
Tensor zeros(const Shape& shape, DType dtype) { return full(shape, 0, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, 1, dtype); }

template <class T>
Tensor from_vector(const Shape& shape, const std::vector<T>& values, DType dtype) {
  require(static_cast<std::int64_t>(values.size()) == shape.size(), "from_vector: {} values for shape {}",
          values.size(), shape);
  forbid_in_step("from_vector");
  Tensor y = empty(shape, dtype);
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  kernels::dispatch_type(
      dtype, [&](auto t) { convert<T>(values.data(), reinterpret_cast<decltype(t)*>(bytes.data()), shape.size()); });
  assign(y, bytes.data(), bytes.size());
  return y;
}

void assign(const Tensor& x, const void* host_values, std::size_t bytes) {
  forbid_in_step("assign");
  require(bytes == static_cast<std::size_t>(x.size()) * size_of(x.dtype()), "assign: {} bytes for {}", bytes, x);
  on_driver([&] { driver(x.device()).copy_in(x.storage()->data, host_values, bytes); });
  refresh_bf16_copy(x);
}
void read(const Tensor& x, void* host_values, std::size_t bytes) {
  forbid_in_step("read");
  require(bytes == static_cast<std::size_t>(x.size()) * size_of(x.dtype()), "read: {} bytes of {}", bytes, x);
  on_driver([&] { driver(x.device()).copy_out(host_values, x.storage()->data, bytes); });
}
void assign(const Tensor& x, const Tensor& source) {
  require(x.shape() == source.shape() && x.dtype() == source.dtype(), "assign: {} from {}", x, source);
  launch("assign", 0, kernels::copy_bytes, x.device(), source.view(), x.view());
  refresh_bf16_copy(x);
}

#define DUEL_INSTANTIATE(T)                          \
  template std::vector<T> Tensor::to_vector() const; \
  template Tensor from_vector(const Shape&, const std::vector<T>&, DType);
DUEL_INSTANTIATE(float)
DUEL_INSTANTIATE(double)
DUEL_INSTANTIATE(std::int32_t)
DUEL_INSTANTIATE(std::int64_t)
DUEL_INSTANTIATE(std::uint8_t)
#undef DUEL_INSTANTIATE

}  // namespace duel
