// Columns of a model's noise that mean something (Model::codes): setting them, and showing what each does.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/data/images.h"
#include "engine/pictures/picture.h"
#include "models/model.h"

namespace duel {

struct CodeValue {
  Model::Code code;
  double value;  // of a category: which one, from 0
};

// "c1=3,c2=0.5". A number may lie up to half of its range outside of it. Error: a code that the model has not, a value
// that is none of it, a code twice.
std::vector<CodeValue> parse_codes(const Model& model, const std::string& option, const std::string& text);

// The noise with the code set in row i to value(i); of a category: which one.
Tensor with_values(const Tensor& z, const Model::Code& code, const std::function<double(std::int64_t)>& value);
// To one value in all rows.
Tensor with_code(const Tensor& z, const CodeValue& value);
// Rows take the categories of the model's first category code in turn; of a model without one they stay as they are.
Tensor with_categories_in_turn(const Model& model, const Tensor& z);

// How samples of the model are best laid out: categories side by side.
struct GridForm {
  std::int64_t images = 64, columns = 8;
};
GridForm grid_form(const Model& model);

// A picture for each code, one below the other: a row keeps all else, its columns go through the categories (at most
// `steps`), or through the numbers from half the range below to half the range above. Error: the model has no codes.
Picture sweep_codes(Model& model, const DataShape& image, std::uint64_t seed, std::int64_t rows = 5,
                    std::int64_t steps = 10);

}  // namespace duel
