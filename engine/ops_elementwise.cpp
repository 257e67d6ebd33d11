// Elementwise ops: the broadcasting map kernel and one gradient rule each.
#include <numbers>

#include "engine/error.h"
#include "engine/launch.h"
#include "engine/ops.h"
#include "engine/tape.h"
#include "kernels/elementwise.h"

namespace duel {
namespace {

using kernels::Map;

void check_float(const Op& op, const Tensor& x) {
  require(is_float(x.dtype()), "[{}] expects numbers with fractions, found {}", op.name, x);
}

Shape broadcast_shape(const Op& op, std::initializer_list<const Tensor*> operands) {
  int rank = 0;
  for (const Tensor* x : operands) rank = std::max(rank, x->rank());
  std::vector<std::int64_t> dims(static_cast<std::size_t>(rank), 1);
  for (const Tensor* x : operands)
    for (int k = 0; k < x->rank(); ++k) {
      std::int64_t& d = dims[static_cast<std::size_t>(rank - x->rank() + k)];
      const std::int64_t mine = x->shape()[k];
      require(d == mine || d == 1 || mine == 1, "[{}] cannot broadcast: {} with {}", op.name, **operands.begin(), *x);
      if (d == 1) d = mine;
    }
  return Shape(dims);
}

// The operand's view with axes of extent 1 in front, as the kernel wants it.
kernels::View padded(const Tensor& x, int rank) {
  kernels::View v = x.view(), out = v;
  out.rank = rank;
  for (int k = 0; k < rank; ++k) out.dim[k] = k < rank - v.rank ? 1 : v.dim[k - (rank - v.rank)];
  return out;
}

Tensor run_map(const Op& op, Map f, const Shape& shape, double p, double q, const Tensor& a, const Tensor& b = {},
               const Tensor& c = {}) {
  check_float(op, a);
  for (const Tensor* other : {&b, &c})
    require(!*other || other->dtype() == a.dtype(), "[{}] types differ: {} and {}", op.name, a, *other);
  Tensor y = empty(shape, a.dtype());
  const int rank = shape.rank();
  launch(op.name, static_cast<double>(shape.size()), kernels::map, y.device(), f, p, q, padded(a, rank),
         b ? padded(b, rank) : kernels::View{}, c ? padded(c, rank) : kernels::View{}, y.view());
  return y;
}
Tensor map1(const Op& op, Map f, const Tensor& x, double p = 0, double q = 0) {
  return run_map(op, f, x.shape(), p, q, x);
}
Tensor map2(const Op& op, Map f, const Tensor& a, const Tensor& b, double p = 0) {
  return run_map(op, f, broadcast_shape(op, {&a, &b}), p, 0, a, b);
}

const Op add_op{"add", "y = a + b"}, sub_op{"sub", "y = a - b"}, mul_op{"mul", "y = a * b"}, div_op{"div", "y = a / b"};
const Op minimum_op{"minimum", "y = min(a, b)"}, maximum_op{"maximum", "y = max(a, b)"};
const Op less_op{"less", "y = a < b"}, greater_op{"greater", "y = a > b"}, equal_op{"equal", "y = a == b"};
const Op where_op{"where", "y = mask != 0 ? a : b"}, lerp_op{"lerp", "y = a + t (b - a)"};
const Op affine_op{"affine", "y = scale x + shift"}, exp_op{"exp", "y = exp(x)"}, log_op{"log", "y = ln(x)"};
const Op sqrt_op{"sqrt", "y = sqrt(x)"}, square_op{"square", "y = x^2"}, abs_op{"abs", "y = |x|"},
    sign_op{"sign", "y = sign(x)"};
const Op sin_op{"sin", "y = sin(x)"}, cos_op{"cos", "y = cos(x)"}, erf_op{"erf", "y = erf(x)"};
const Op reciprocal_op{"reciprocal", "y = 1 / x"}, inverse_or_zero_op{"inverse_or_zero", "y = x != 0 ? 1 / x : 0"};
const Op clamp_op{"clamp", "y = min(max(x, low), high)"}, inside_op{"inside", "y = low <= x <= high"};
const Op leaky_relu_op{"leaky_relu", "y = x > 0 ? x : slope x"}, elu_op{"elu", "y = x > 0 ? x : exp(x) - 1"};
const Op tanh_op{"tanh", "y = tanh(x)"}, sigmoid_op{"sigmoid", "y = 1 / (1 + exp(-x))"},
    softplus_op{"softplus", "y = ln(1 + exp(x))"};
const Op bias_leaky_relu_op{"bias_leaky_relu", "y = leaky_relu(x + bias)"},
    bias_tanh_op{"bias_tanh", "y = tanh(x + bias)"};
const Op leaky_relu_grad_op{"leaky_relu_grad", "dx = dy (y > 0 ? 1 : slope)"};
const Op tanh_grad_op{"tanh_grad", "dx = dy (1 - y^2)"}, sigmoid_grad_op{"sigmoid_grad", "dx = dy y (1 - y)"};

Tensor maybe(bool wanted, const std::function<Tensor()>& f) { return wanted ? f() : Tensor(); }

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return record(add_op, map2(add_op, Map::add, a, b), {a, b}, [sa = a.shape(), sb = b.shape()](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(c.dy, sa); }),
                 maybe(c.needs(1), [&] { return sum_to(c.dy, sb); })};
  });
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return record(sub_op, map2(sub_op, Map::sub, a, b), {a, b}, [sa = a.shape(), sb = b.shape()](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(c.dy, sa); }),
                 maybe(c.needs(1), [&] { return -sum_to(c.dy, sb); })};
  });
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return record(mul_op, map2(mul_op, Map::mul, a, b), {a, b}, [a, b](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(mul(c.dy, b), a.shape()); }),
                 maybe(c.needs(1), [&] { return sum_to(mul(c.dy, a), b.shape()); })};
  });
}
Tensor div(const Tensor& a, const Tensor& b) {
  return record(div_op, map2(div_op, Map::div, a, b), {a, b}, [a, b](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(div(c.dy, b), a.shape()); }),
                 maybe(c.needs(1), [&] { return -sum_to(div(mul(c.dy, div(a, b)), b), b.shape()); })};
  });
}

namespace {
// The side that was taken gets the gradient; which side that is counts as a constant.
Tensor extreme(const Op& op, Map f, const Tensor& a, const Tensor& b, bool largest) {
  return record(op, map2(op, f, a, b), {a, b}, [a, b, largest](const Call& c) {
    Tensor second = largest ? less(a, b) : less(b, a);
    return Grads{maybe(c.needs(0), [&] { return sum_to(mul(c.dy, 1.0 - second), a.shape()); }),
                 maybe(c.needs(1), [&] { return sum_to(mul(c.dy, second), b.shape()); })};
  });
}
Tensor relation(const Op& op, Map f, const Tensor& a, const Tensor& b) {
  return record(op, map2(op, f, a, b), {}, nullptr);
}
}  // namespace

Tensor minimum(const Tensor& a, const Tensor& b) { return extreme(minimum_op, Map::minimum, a, b, false); }
Tensor maximum(const Tensor& a, const Tensor& b) { return extreme(maximum_op, Map::maximum, a, b, true); }
Tensor less(const Tensor& a, const Tensor& b) { return relation(less_op, Map::less, a, b); }
Tensor greater(const Tensor& a, const Tensor& b) { return relation(greater_op, Map::greater, a, b); }
Tensor equal(const Tensor& a, const Tensor& b) { return relation(equal_op, Map::equal, a, b); }

Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast_shape(where_op, {&mask, &a, &b});
  Tensor y = run_map(where_op, Map::where, shape, 0, 0, mask, a, b);
  return record(where_op, y, {a, b}, [mask, sa = a.shape(), sb = b.shape()](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(mul(c.dy, mask), sa); }),
                 maybe(c.needs(1), [&] { return sum_to(mul(c.dy, 1.0 - mask), sb); })};
  });
}
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& t) {
  const Shape shape = broadcast_shape(lerp_op, {&a, &b, &t});
  Tensor y = run_map(lerp_op, Map::lerp, shape, 0, 0, a, b, t);
  return record(lerp_op, y, {a, b, t}, [a, b, t](const Call& c) {
    return Grads{maybe(c.needs(0), [&] { return sum_to(mul(c.dy, 1.0 - t), a.shape()); }),
                 maybe(c.needs(1), [&] { return sum_to(mul(c.dy, t), b.shape()); }),
                 maybe(c.needs(2), [&] { return sum_to(mul(c.dy, sub(b, a)), t.shape()); })};
  });
}

Tensor affine(const Tensor& x, double scale, double shift) {
  return record(affine_op, map1(affine_op, Map::affine, x, scale, shift), {x},
                [scale](const Call& c) { return Grads{affine(c.dy, scale, 0)}; });
}
Tensor exp(const Tensor& x) {
  return record(
      exp_op, map1(exp_op, Map::exp, x), {x}, [](const Call& c) { return Grads{mul(c.dy, c.y)}; }, Saves::output);
}
Tensor log(const Tensor& x) {
  return record(log_op, map1(log_op, Map::log, x), {x}, [x](const Call& c) { return Grads{div(c.dy, x)}; });
}
Tensor sqrt(const Tensor& x) {
  return record(
      sqrt_op, map1(sqrt_op, Map::sqrt, x), {x}, [](const Call& c) { return Grads{div(affine(c.dy, 0.5, 0), c.y)}; },
      Saves::output);
}
Tensor square(const Tensor& x) {
  return record(square_op, map1(square_op, Map::square, x), {x},
                [x](const Call& c) { return Grads{mul(affine(c.dy, 2, 0), x)}; });
}
Tensor abs(const Tensor& x) {
  return record(abs_op, map1(abs_op, Map::abs, x), {x}, [x](const Call& c) { return Grads{mul(c.dy, sign(x))}; });
}
Tensor sign(const Tensor& x) { return record(sign_op, map1(sign_op, Map::sign, x), {}, nullptr); }
Tensor sin(const Tensor& x) {
  return record(sin_op, map1(sin_op, Map::sin, x), {x}, [x](const Call& c) { return Grads{mul(c.dy, cos(x))}; });
}
Tensor cos(const Tensor& x) {
  return record(cos_op, map1(cos_op, Map::cos, x), {x}, [x](const Call& c) { return Grads{-mul(c.dy, sin(x))}; });
}
Tensor erf(const Tensor& x) {
  return record(erf_op, map1(erf_op, Map::erf, x), {x}, [x](const Call& c) {
    return Grads{mul(c.dy, affine(exp(-square(x)), 2 * std::numbers::inv_sqrtpi, 0))};
  });
}
Tensor reciprocal(const Tensor& x) {
  return record(
      reciprocal_op, map1(reciprocal_op, Map::reciprocal, x), {x},
      [](const Call& c) { return Grads{-mul(c.dy, square(c.y))}; }, Saves::output);
}
Tensor inverse_or_zero(const Tensor& x) {
  return record(
      inverse_or_zero_op, map1(inverse_or_zero_op, Map::inverse_or_zero, x), {x},
      [](const Call& c) { return Grads{-mul(c.dy, square(c.y))}; }, Saves::output);
}
Tensor clamp(const Tensor& x, double low, double high) {
  require(low <= high, "[clamp] low {} is above high {}", low, high);
  return record(clamp_op, map1(clamp_op, Map::clamp, x, low, high), {x}, [x, low, high](const Call& c) {
    Tensor inside = record(inside_op, map1(inside_op, Map::inside, x, low, high), {}, nullptr);
    return Grads{mul(c.dy, inside)};
  });
}

Tensor relu(const Tensor& x) { return leaky_relu(x, 0); }
Tensor leaky_relu(const Tensor& x, double slope) {
  require(slope >= 0 && slope <= 1, "[leaky_relu] slope {} is outside [0, 1]", slope);
  return record(
      leaky_relu_op, map1(leaky_relu_op, Map::leaky_relu, x, slope), {x},
      [slope](const Call& c) { return Grads{leaky_relu_grad(c.dy, c.y, slope)}; }, Saves::output);
}
// Linear in dy, and which side y lies on is a constant: there is no gradient towards y, not even a dense zero.
Tensor leaky_relu_grad(const Tensor& dy, const Tensor& y, double slope) {
  return record(leaky_relu_grad_op, map2(leaky_relu_grad_op, Map::leaky_relu_grad, dy, y, slope), {dy},
                [y = detach(y), slope](const Call& c) { return Grads{leaky_relu_grad(c.dy, y, slope)}; });
}
Tensor prelu(const Tensor& x, const Tensor& slope) { return relu(x) - mul(relu(-x), slope); }
Tensor elu(const Tensor& x) {
  return record(
      elu_op, map1(elu_op, Map::elu, x), {x}, [](const Call& c) { return Grads{mul(c.dy, clamp(c.y, -1, 0) + 1.0)}; },
      Saves::output);
}

Tensor tanh(const Tensor& x) {
  return record(
      tanh_op, map1(tanh_op, Map::tanh, x), {x}, [](const Call& c) { return Grads{tanh_grad(c.dy, c.y)}; },
      Saves::output);
}
Tensor tanh_grad(const Tensor& dy, const Tensor& y) {
  return record(tanh_grad_op, map2(tanh_grad_op, Map::tanh_grad, dy, y), {dy, y},
                composed({dy, y}, [](const std::vector<Tensor>& in) { return mul(in[0], 1.0 - square(in[1])); }));
}
Tensor sigmoid(const Tensor& x) {
  return record(
      sigmoid_op, map1(sigmoid_op, Map::sigmoid, x), {x}, [](const Call& c) { return Grads{sigmoid_grad(c.dy, c.y)}; },
      Saves::output);
}
Tensor sigmoid_grad(const Tensor& dy, const Tensor& y) {
  return record(sigmoid_grad_op, map2(sigmoid_grad_op, Map::sigmoid_grad, dy, y), {dy, y},
                composed({dy, y}, [](const std::vector<Tensor>& in) { return mul(in[0], mul(in[1], 1.0 - in[1])); }));
}
Tensor softplus(const Tensor& x) {
  return record(softplus_op, map1(softplus_op, Map::softplus, x), {x},
                [x](const Call& c) { return Grads{mul(c.dy, sigmoid(x))}; });
}
Tensor silu(const Tensor& x) { return mul(x, sigmoid(x)); }
Tensor gelu(const Tensor& x) { return mul(x, affine(erf(affine(x, std::numbers::sqrt2 / 2, 0)), 0.5, 0.5)); }

namespace {
Grads bias_gradients(const Call& c, const Tensor& dx, const Shape& bias) {
  return {c.needs(0) ? dx : Tensor(), c.needs(1) ? sum_to(dx, bias) : Tensor()};
}
void check_bias(const Op& op, const Tensor& x, const Tensor& bias) {
  require(bias.rank() == 1 && bias.size() == x.shape().last(), "[{}] bias {} does not fit the channels of x {}",
          op.name, bias, x);
}
}  // namespace

Tensor bias_leaky_relu(const Tensor& x, const Tensor& bias, double slope) {
  check_bias(bias_leaky_relu_op, x, bias);
  return record(
      bias_leaky_relu_op, map2(bias_leaky_relu_op, Map::bias_leaky_relu, x, bias, slope), {x, bias},
      [slope, sb = bias.shape()](const Call& c) {
        return bias_gradients(c, slope == 1 ? c.dy : leaky_relu_grad(c.dy, c.y, slope), sb);
      },
      slope == 1 ? Saves::nothing : Saves::output);
}
Tensor bias_tanh(const Tensor& x, const Tensor& bias) {
  check_bias(bias_tanh_op, x, bias);
  return record(
      bias_tanh_op, map2(bias_tanh_op, Map::bias_tanh, x, bias), {x, bias},
      [sb = bias.shape()](const Call& c) { return bias_gradients(c, tanh_grad(c.dy, c.y), sb); }, Saves::output);
}

Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
Tensor operator+(const Tensor& a, double b) { return affine(a, 1, b); }
Tensor operator+(double a, const Tensor& b) { return affine(b, 1, a); }
Tensor operator-(const Tensor& a, double b) { return affine(a, 1, -b); }
Tensor operator-(double a, const Tensor& b) { return affine(b, -1, a); }
Tensor operator*(const Tensor& a, double b) { return affine(a, b, 0); }
Tensor operator*(double a, const Tensor& b) { return affine(b, a, 0); }
Tensor operator/(const Tensor& a, double b) { return affine(a, 1 / b, 0); }
Tensor operator-(const Tensor& a) { return affine(a, -1, 0); }

}  // namespace duel
