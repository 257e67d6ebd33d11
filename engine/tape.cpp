#include "engine/tape.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "engine/error.h"
#include "engine/ops.h"

namespace duel {
namespace {

thread_local bool tape_on = true;
std::atomic<std::uint64_t> next_id{1};

std::vector<const Op*>& op_list() {
  static std::vector<const Op*> list;
  return list;
}

// What grad() knows of a node that y depends on.
struct Entry {
  std::shared_ptr<Node> node;
  bool is_x = false;
  bool below = false;  // some input lies on a path to an x
  Tensor dy;           // sum of the contributions that arrived so far
  bool on_path() const { return is_x || below; }
};
using Entries = std::unordered_map<const Node*, Entry>;

// Everything y depends on that is not older than the oldest x: nothing older can lead to an x.
std::vector<Entry*> collect(const Tensor& y, const std::vector<Tensor>& xs, Entries& entries) {
  std::uint64_t oldest = y.node()->id;
  for (const Tensor& x : xs) oldest = std::min(oldest, x.node()->id);
  std::vector<std::shared_ptr<Node>> todo{y.node()};
  while (!todo.empty()) {
    std::shared_ptr<Node> node = std::move(todo.back());
    todo.pop_back();
    auto [it, is_new] = entries.try_emplace(node.get());
    if (!is_new) continue;
    require(!node->released,
            "grad: the graph through op {} was given back by an earlier grad(); pass keep_graph to that one, "
            "or detach() what needs no gradient",
            node->op ? node->op->name : "?");
    for (const auto& input : node->inputs)
      if (input->id >= oldest) todo.push_back(input);
    it->second.node = std::move(node);
  }
  for (const Tensor& x : xs)
    if (auto it = entries.find(x.node().get()); it != entries.end()) it->second.is_x = true;
  std::vector<Entry*> order;
  order.reserve(entries.size());
  for (auto& [key, entry] : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->node->id < b->node->id; });
  for (Entry* e : order)
    for (const auto& input : e->node->inputs)
      if (auto it = entries.find(input.get()); it != entries.end() && it->second.on_path()) e->below = true;
  return order;
}

Grads call_rule(const Entry& e, const std::vector<bool>& need) {
  const Node& node = *e.node;
  Tensor y = node.output ? Tensor(e.node, node.output) : Tensor();
  Grads d = node.rule(Call{e.dy, y, need});
  require(d.size() == node.inputs.size(), "grad: the rule of {} answered {} gradients for {} inputs", node.op->name,
          d.size(), node.inputs.size());
  return d;
}

void propagate(Entry& e, Entries& entries, bool keep) {
  Node& node = *e.node;
  std::vector<bool> need;
  for (const auto& input : node.inputs) {
    auto it = entries.find(input.get());
    need.push_back(it != entries.end() && it->second.on_path());
  }
  Grads d = call_rule(e, need);
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (!need[i] || !d[i]) continue;
    require(d[i].shape() == node.inputs[i]->shape, "grad: the rule of {} gave input {} a gradient {} instead of {}",
            node.op->name, i, d[i].shape(), node.inputs[i]->shape);
    Tensor& sum = entries.at(node.inputs[i].get()).dy;
    sum = sum ? add(sum, d[i]) : d[i];
  }
  if (keep) return;
  node.inputs.clear();
  node.rule = nullptr;
  node.output.reset();
  node.released = true;
}

}  // namespace

Op::Op(const char* op_name, const char* op_formula) : name(op_name), formula(op_formula) { op_list().push_back(this); }
const std::vector<const Op*>& all_ops() { return op_list(); }

Node::Node(const Shape& s, DType t, Device d) : shape(s), dtype(t), device(d), id(next_id++) {}

Node::~Node() {
  rule = nullptr;
  std::vector<std::shared_ptr<Node>> dying = std::move(inputs);
  while (!dying.empty()) {
    std::shared_ptr<Node> node = std::move(dying.back());
    dying.pop_back();
    if (node.use_count() > 1) continue;
    for (auto& input : node->inputs) dying.push_back(std::move(input));
    node->inputs.clear();
  }
}

ResultHook& result_hook() {
  thread_local ResultHook hook;
  return hook;
}

Tensor record(const Op& op, Tensor y, const std::vector<Tensor>& inputs, Rule rule, Saves saves) {
  Node& node = *y.node();
  node.op = &op;
  if (const ResultHook& hook = result_hook()) hook(op, y, inputs);
  if (!tape_on) return y;
  node.inputs.reserve(inputs.size());
  for (const Tensor& x : inputs) node.inputs.push_back(x.node());
  node.rule = std::move(rule);
  if (saves == Saves::output) node.output = y.storage();
  return y;
}

std::vector<Tensor> grad(const Tensor& y, const std::vector<Tensor>& xs, Graph graph, Tensor dy) {
  require(static_cast<bool>(y), "grad: y is empty");
  for (const Tensor& x : xs) require(static_cast<bool>(x), "grad: one of the xs is empty");
  if (!dy) {
    require(y.size() == 1, "grad: y has shape {}: pass dy, or reduce y to one number", y.shape());
    dy = ones(y.shape(), y.dtype());
  }
  require(dy.shape() == y.shape() && dy.dtype() == y.dtype(), "grad: dy is {} but y is {}", dy, y);
  const bool keep = graph == keep_graph;
  TapeScope scope(keep && taping());

  Entries entries;
  std::vector<Entry*> order = collect(y, xs, entries);
  entries.at(y.node().get()).dy = std::move(dy);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Entry& e = **it;
    if (e.below && e.dy) propagate(e, entries, keep);
    if (!e.is_x) e = Entry{};  // gives its memory back now, not at the end
  }
  std::vector<Tensor> out;
  for (const Tensor& x : xs) {
    auto it = entries.find(x.node().get());
    out.push_back(it == entries.end() ? Tensor() : it->second.dy);
  }
  return out;
}

namespace {
const Op alias_op{"alias", "y = x, as a new result"};
}

Tensor detach(const Tensor& x) { return view_as(x, x.shape()); }
Tensor alias(const Tensor& x) {
  return record(alias_op, detach(x), {x}, [](const Call& c) { return Grads{c.dy}; });
}

Rule composed(std::vector<Tensor> inputs, Definition f) {
  return [inputs = std::move(inputs), f = std::move(f)](const Call& c) {
    const bool outer = taping();
    std::vector<Tensor> z, wanted;
    TapeScope on(true);
    for (const Tensor& x : inputs) z.push_back(outer ? alias(x) : detach(x));
    for (std::size_t i = 0; i < z.size(); ++i)
      if (c.needs(i)) wanted.push_back(z[i]);
    Tensor y = f(z);
    std::vector<Tensor> d;
    {
      TapeScope as_outside(outer);
      d = grad(y, wanted, outer ? keep_graph : free_graph, c.dy);
    }
    Grads out(z.size());
    for (std::size_t i = 0, k = 0; i < z.size(); ++i)
      if (c.needs(i)) out[i] = d[k++];
    return out;
  };
}

bool taping() { return tape_on; }
TapeScope::TapeScope(bool on) : before_(tape_on) { tape_on = on; }
TapeScope::~TapeScope() { tape_on = before_; }

}  // namespace duel
