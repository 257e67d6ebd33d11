// An evaluation: figures about samples, each beside what real images and a naive generator attain.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/pictures/picture.h"
#include "tools/evaluation/classes.h"
#include "tools/evaluation/judge.h"
#include "tools/evaluation/metrics.h"

namespace duel {

// What is evaluated, in words.
struct Subject {
  std::string run, model, summary, paper, data;
  std::int64_t step = 0;
};

struct Figure {
  std::string key;  // in evaluation.json
  std::string name, meaning;
  enum class Better { lower, higher, near_real } better = Better::lower;
  int digits = 3;
  // Of the samples, of as many training images, and of the naive generator; standard errors where they are known, else
  // 0.
  Estimate samples = {}, real = {}, naive = {};
};

// How near samples are to training images in feature space: the median of the distances to the nearest one, and the
// same of held-out images. A ratio far below 1 hints at copies.
struct Copying {
  std::int64_t samples = 0, train = 0;
  double median = 0, held_out_median = 0;
  double ratio() const { return held_out_median > 0 ? median / held_out_median : 0; }
};

struct Evaluation {
  Subject subject;
  std::int64_t count = 0;
  std::uint64_t seed = 0;
  std::string judge;        // "judge", or the file of the features
  double accuracy = 0;      // of the judge; 0 where it tells no classes apart
  std::int64_t tested = 0;  // images that it was tested on
  std::string reference;    // what they are compared with: "held-out images"
  std::vector<Figure> figures;
  std::vector<std::string> class_names;
  std::optional<ClassShares> shares;
  std::vector<CodeAgreement> codes;
  std::optional<OwnError> own;
  std::vector<std::string> left_out;  // figures that could not be had, and why
  Copying copying;
  Picture neighbours;
  std::string class_name(int c) const;  // its number where it has no name; below 0: "no class"
};

// The sets of images that are compared; equally many of each but `train`.
struct Compared {
  ImageSet samples, held_out, real, naive;
  const ImageSet& train;
};
// The figures, the class shares, copying and neighbours.
void measure(Evaluation& evaluation, const Compared& images, const ChainNet& net);

// The table of the terminal, evaluation.json and evaluation.html. Equal evaluations give equal texts.
std::string to_text(const Evaluation& evaluation);
std::string to_json(const Evaluation& evaluation);
std::string to_page(const Evaluation& evaluation, const std::filesystem::path& neighbours);

// A figure's number as it is shown, and its standard error: " ± 0.123", or nothing.
std::string shown(const Figure& figure, const Estimate& value);
std::string shown_error(const Figure& figure, const Estimate& value);

}  // namespace duel
