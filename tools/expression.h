// Sums over saved latent vectors: "mean(0,3,7) - mean(1,2) + 0.5*8".
//
//   sum   = ["-"] term { ("+" | "-") term }
//   term  = [number "*"] (index | "mean" "(" index { "," index } ")")
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace duel {

// weight * mean of the vectors
struct Term {
  double weight = 1;
  std::vector<std::int64_t> indices;
};

// Indices are in 0 .. count-1. Error: what was found, where (the first character is 1), and what was expected.
std::vector<Term> parse_expression(const std::string& text, std::int64_t count);

}  // namespace duel
