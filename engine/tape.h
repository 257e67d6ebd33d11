// The tape: how ops are recorded and how gradients of any order come out of it.
//
// Every op computes its result and calls record() with a gradient rule. A rule is handed dL/dy and answers dL/dx for
// each input, and it may call nothing but public ops. So a gradient is itself a result on the tape, and grad() of a
// grad() needs no further code (reverse-mode differentiation; Griewank and Walther 2008, ch. 3 and 5).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/tensor.h"

namespace duel {

// An op's name and formula. One object at namespace scope for each op; all_ops() lists them.
struct Op {
  Op(const char* op_name, const char* op_formula);
  const char* name;
  const char* formula;
};
const std::vector<const Op*>& all_ops();

using Grads = std::vector<Tensor>;  // one for each input; an empty Tensor is the symbolic zero

// What a rule is told.
struct Call {
  Tensor dy;                      // dL/dy, same shape as y
  Tensor y;                       // the op's own result, if it was recorded with Saves::output. Rules must take y from
                                  // here: capturing it would tie a knot of references that is never freed
  const std::vector<bool>& need;  // which inputs lie on a path to what is differentiated
  bool needs(std::size_t input) const { return need[input]; }
};
using Rule = std::function<Grads(const Call&)>;
enum class Saves { nothing, output };

struct Node {
  Node(const Shape& s, DType t, Device d);
  ~Node();  // frees a long chain without recursion
  Shape shape;
  DType dtype;
  Device device;
  std::uint64_t id;  // grows with time, so every input is older than its result
  const Op* op = nullptr;
  std::vector<std::shared_ptr<Node>> inputs;
  Rule rule;
  std::shared_ptr<Storage> output;  // set with Saves::output
  bool released = false;            // its rule was used up by a grad() without keep_graph
};

// Puts y on the tape as op(inputs). Outside the tape (NoGrad, first-order gradients) only y is returned.
// A rule keeps alive what it captures; inputs are kept as nodes only, so memory that no rule needs is freed at once.
Tensor record(const Op& op, Tensor y, const std::vector<Tensor>& inputs, Rule rule, Saves saves = Saves::nothing);

// Called with every result of this thread when set, on the tape or not: to compare devices. It may overwrite y's
// memory.
using ResultHook = std::function<void(const Op& op, const Tensor& y, const std::vector<Tensor>& inputs)>;
ResultHook& result_hook();

enum Graph { free_graph, keep_graph };

// dL/dxs for L = <dy, y>; dy may be left out where y has one element (then it is 1).
//   keep_graph: the result may be differentiated again, and the graph used again.
//   free_graph: the graph's memory is given back on the way; a second grad() through it is an error.
// Only rules on a path from y to some x are called, and they compute only what lies on such a path.
// An x that y does not depend on gets an empty Tensor.
std::vector<Tensor> grad(const Tensor& y, const std::vector<Tensor>& xs, Graph graph = free_graph, Tensor dy = {});

// The same values, off the tape.
Tensor detach(const Tensor& x);
// The same values as a new result of the op "alias".
Tensor alias(const Tensor& x);

// The rule of a fused op whose plain definition is f: traces f again on aliases of the inputs and differentiates that.
// Without the aliases the trace would meet the inputs' own history (for batch norm's second order that is wrong by
// a factor of order one).
using Definition = std::function<Tensor(const std::vector<Tensor>&)>;
Rule composed(std::vector<Tensor> inputs, Definition f);

bool taping();
// Switches the tape off (or on) for a scope.
class TapeScope {
 public:
  explicit TapeScope(bool on);
  ~TapeScope();
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  bool before_;
};
struct NoGrad : TapeScope {
  NoGrad() : TapeScope(false) {}
};

}  // namespace duel
