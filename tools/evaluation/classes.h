// What the judge's classes say of samples.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"
#include "tools/evaluation/features.h"

namespace duel {

// A class is covered if its part of the samples is at least a tenth of its part of the real images. The divergence is
//   KL(p || q) = sum over classes c of p_c log(p_c / q_c), p of the samples and q of the real images, in nats,
// half an image being added to each class of both, so that it is finite.
struct ClassShares {
  std::vector<double> samples, real;  // (classes)
  std::int64_t covered = 0;
  double divergence = 0;
};
ClassShares class_shares(const std::vector<std::int32_t>& answers, const std::vector<std::int32_t>& labels,
                         std::int64_t classes);

// Pairs each row of gain (n,m) with another column, n <= m or not, such that the sum of the pairs' gains is largest
// (Kuhn 1955, in the form with potentials and shortest paths of Jonker and Volgenant 1987). Answers the column of each
// row; -1: none is left.
std::vector<int> best_assignment(const std::vector<std::vector<double>>& gain);

// Samples that were asked for by a category of the noise (Model::codes), as many for each of its values, and which
// class the judge sees in them. The code "class" asks for that very class; for others the values are paired with
// classes one to one as fits best, and those without a pair count as wrong.
struct CodeAgreement {
  std::string name;
  bool is_class = false;
  std::int64_t each = 0;  // samples for a value
  double accuracy = 0;
  std::vector<int> meant = {};        // the class of each value; -1: none
  std::vector<double> by_value = {};  // part of its samples that are of that class
};
std::vector<CodeAgreement> code_agreements(Model& model, const DataShape& image, const ChainNet& judge,
                                           std::uint64_t seed, std::int64_t count);

// The model's own answers (Model::classify) on held-out images. Clusters are named by the commonest label among those
// of at most 10000 training images, and the part of held-out images that then are misnamed is the error.
struct OwnError {
  bool clusters = false;
  std::int64_t answers = 0, named_by = 0, tested = 0;
  double error = 0;
};
std::optional<OwnError> own_error(Model& model, const ImageSet& train, const ImageSet& held_out);

}  // namespace duel
