#include "tools/evaluation/classes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tools/answers.h"
#include "tools/codes.h"
#include "tools/run_data.h"
#include "tools/sampler.h"

namespace duel {
namespace {

using Counts = std::vector<std::vector<double>>;

std::vector<double> counts(const std::vector<std::int32_t>& answers, std::int64_t classes) {
  std::vector<double> n(static_cast<std::size_t>(classes));
  for (const std::int32_t a : answers)
    if (a >= 0 && a < classes) ++n[static_cast<std::size_t>(a)];
  return n;
}

std::vector<double> shares(std::vector<double> n, double added) {
  for (double& v : n) v += added;
  const double total = std::accumulate(n.begin(), n.end(), 0.0);
  for (double& v : n) v /= total;
  return n;
}

}  // namespace

ClassShares class_shares(const std::vector<std::int32_t>& answers, const std::vector<std::int32_t>& labels,
                         std::int64_t classes) {
  const std::vector<double> found = counts(answers, classes), there = counts(labels, classes);
  ClassShares out{shares(found, 0), shares(there, 0)};
  const std::vector<double> p = shares(found, 0.5), q = shares(there, 0.5);
  for (std::size_t c = 0; c < p.size(); ++c) {
    out.covered += there[c] > 0 && out.samples[c] >= out.real[c] / 10;
    out.divergence += p[c] * std::log(p[c] / q[c]);
  }
  return out;
}

std::vector<int> best_assignment(const Counts& gain) {
  // Rows and columns are counted from 1; column 0 stands for the row that is being placed. Rows and columns without a
  // counterpart cost nothing.
  const std::size_t rows = gain.size(), columns = rows ? gain[0].size() : 0, n = std::max(rows, columns);
  const auto cost = [&](std::size_t i, std::size_t j) { return i <= rows && j <= columns ? -gain[i - 1][j - 1] : 0.0; };
  std::vector<double> u(n + 1), v(n + 1);
  std::vector<std::size_t> row_of(n + 1), before(n + 1);
  for (std::size_t i = 1; i <= n; ++i) {
    std::vector<double> slack(n + 1, std::numeric_limits<double>::infinity());
    std::vector<char> used(n + 1);
    std::size_t column = 0;
    for (row_of[0] = i; row_of[column] != 0;) {
      used[column] = 1;
      double least = std::numeric_limits<double>::infinity();
      std::size_t next = 0;
      for (std::size_t j = 1; j <= n; ++j) {
        if (used[j]) continue;
        const double reduced = cost(row_of[column], j) - u[row_of[column]] - v[j];
        if (reduced < slack[j]) slack[j] = reduced, before[j] = column;
        if (slack[j] < least) least = slack[j], next = j;
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (used[j])
          u[row_of[j]] += least, v[j] -= least;
        else
          slack[j] -= least;
      }
      column = next;
    }
    for (; column != 0; column = before[column]) row_of[column] = row_of[before[column]];
  }
  std::vector<int> out(rows, -1);
  for (std::size_t j = 1; j <= columns; ++j)
    if (row_of[j] <= rows) out[row_of[j] - 1] = static_cast<int>(j) - 1;
  return out;
}

std::vector<CodeAgreement> code_agreements(Model& model, const DataShape& image, const ChainNet& judge,
                                           std::uint64_t seed, std::int64_t count) {
  std::vector<CodeAgreement> out;
  for (const Model::Code& code : model.codes()) {
    if (!code.category) continue;
    CodeAgreement a{.name = code.name, .is_class = code.name == "class"};
    a.each = std::max<std::int64_t>(1, count / code.count);
    const ImageSet samples = draw_images(model, image,
                                         with_values(draw_noise(model, seed, a.each * code.count), code,
                                                     [&](std::int64_t row) { return row / a.each; }));
    const std::vector<std::int32_t> answers = see(judge, samples).answers;
    Counts seen;
    for (std::int64_t value = 0; value < code.count; ++value)
      seen.push_back(
          counts({answers.begin() + value * a.each, answers.begin() + (value + 1) * a.each}, judge.classes()));
    if (a.is_class) {
      a.meant.resize(seen.size());
      std::iota(a.meant.begin(), a.meant.end(), 0);
    } else {
      a.meant = best_assignment(seen);
    }
    for (std::size_t value = 0; value < seen.size(); ++value) {
      const int c = a.meant[value];
      const double right = c < 0 || c >= judge.classes() ? 0 : seen[value][static_cast<std::size_t>(c)];
      a.by_value.push_back(right / static_cast<double>(a.each));
      a.accuracy += a.by_value.back() / static_cast<double>(seen.size());
    }
    out.push_back(a);
  }
  return out;
}

std::optional<OwnError> own_error(Model& model, const ImageSet& train, const ImageSet& held_out) {
  if (model.answers() == 0 || held_out.labels.empty()) return {};
  ImageSet some;
  if (model.clusters()) some = pick_images(train, 0, 0, std::min<std::int64_t>(10000, train.held()));
  return OwnError{model.clusters(), model.answers(), some.count, held_out.count, error_rate(model, some, held_out)};
}

}  // namespace duel
