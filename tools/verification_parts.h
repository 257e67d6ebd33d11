// What tools/verification.cpp keeps of a reference, and how it measures.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "engine/tape.h"
#include "tools/verification.h"

namespace duel {

using Values = std::vector<double>;

inline double largest(const Values& values) {
  double m = 0;
  for (double v : values) m = std::max(m, std::abs(v));
  return m;
}
// Infinite where something is not a number.
inline double error(const Values& mine, const Values& reference, double floor) {
  double worst = 0;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const double d = std::abs(mine[i] - reference[i]);
    if (!(d <= worst)) worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  return worst / std::max({largest(reference), floor, std::numeric_limits<double>::min()});
}

inline void overwrite(const Tensor& x, const Values& values) { assign(x, from_vector(x.shape(), values, x.dtype())); }

struct Result {
  const Op* op;
  Shape shape;
  Values values;
  double floor;  // of the error
};
inline constexpr double part_of_floor = 1e-3;

inline double floor_of(const std::vector<Tensor>& inputs) {
  double least = std::numeric_limits<double>::infinity();
  for (const Tensor& x : inputs) least = std::min(least, largest(x.to_vector<double>()));
  return inputs.empty() ? 0 : part_of_floor * least;
}
struct Named {
  std::string name;
  Values values;
};
// What the reference keeps of its iteration, in the order in which it arose.
struct Iteration {
  std::vector<Result> results;
  std::vector<std::vector<Named>> updates;  // one list of gradients for each call of an optimizer
  std::vector<std::string> metric_names;
  Values metrics;
  std::vector<Named> before, after;  // the state
};

// The worst errors by name, in the order of their first arrival.
class Table {
 public:
  Table(std::vector<VerifiedRow>& rows, std::size_t devices) : rows_(rows), devices_(devices) {}
  VerifiedRow& row(const std::string& name) {
    const auto [it, is_new] = index_.try_emplace(name, rows_.size());
    if (is_new) rows_.push_back({name, 0, 0, Values(devices_, 0)});
    return rows_[it->second];
  }
  void note(const std::string& name, std::size_t device, double e) {
    double& worst = row(name).errors[device];
    worst = std::max(worst, e);
  }

 private:
  std::vector<VerifiedRow>& rows_;
  std::size_t devices_;
  std::map<std::string, std::size_t> index_;
};

// Devices that do not compute the same things, so that there is nothing to compare.
class Disagreement : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
template <class... Args>
void agree(bool condition, fmt::format_string<Args...> text, Args&&... args) {
  if (!condition) throw Disagreement(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace duel
