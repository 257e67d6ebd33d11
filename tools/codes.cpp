#include "tools/codes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/error.h"
#include "tools/sampler.h"

namespace duel {
namespace {

std::string names_of(const std::vector<Model::Code>& codes) {
  std::vector<std::string> names;
  for (const Model::Code& c : codes) names.push_back(c.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Model::Code& find_code(const std::vector<Model::Code>& codes, const std::string& option,
                             const std::string& name) {
  require(!codes.empty(), "--{}: the model has no codes and no classes to ask for, leave it out", option);
  const auto it = std::find_if(codes.begin(), codes.end(), [&](const Model::Code& c) { return c.name == name; });
  require(it != codes.end(), "--{}: the model has no '{}', expected one of: {}", option, name, names_of(codes));
  return *it;
}

double parse_value(const Model::Code& code, const std::string& option, const std::string& text) {
  double v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  const bool number = error == std::errc() && end == text.data() + text.size() && std::isfinite(v);
  if (code.category) {
    require(number && v == std::floor(v) && v >= 0 && v < static_cast<double>(code.count),
            "--{}: {} is '{}', expected a whole number from 0 to {}", option, code.name, text, code.count - 1);
  } else {
    const double more = (code.high - code.low) / 2;
    require(number && v >= code.low - more && v <= code.high + more,
            "--{}: {} is '{}', expected a number from {} to {}", option, code.name, text, code.low - more,
            code.high + more);
  }
  return v;
}

const Model::Code* first_category(const std::vector<Model::Code>& codes) {
  const auto it = std::find_if(codes.begin(), codes.end(), [](const Model::Code& c) { return c.category; });
  return it == codes.end() ? nullptr : &*it;
}

}  // namespace

std::vector<CodeValue> parse_codes(const Model& model, const std::string& option, const std::string& text) {
  const std::vector<Model::Code> codes = model.codes();
  std::vector<CodeValue> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t equals = part.find('=');
    require(equals != part.npos, "--{}: found '{}', expected NAME=VALUE", option, part);
    const Model::Code& code = find_code(codes, option, part.substr(0, equals));
    for (const CodeValue& before : out)
      require(before.code.name != code.name, "--{}: {} is given twice", option, code.name);
    out.push_back({code, parse_value(code, option, part.substr(equals + 1))});
    begin = end + 1;
  }
  return out;
}

Tensor with_values(const Tensor& z, const Model::Code& code, const std::function<double(std::int64_t)>& value) {
  std::vector<float> all = z.to_vector<float>();
  const std::int64_t n = z.dim(0), columns = z.size() / std::max<std::int64_t>(n, 1);
  for (std::int64_t i = 0; i < n; ++i) {
    float* at = all.data() + i * columns + code.first;
    if (!code.category) {
      *at = static_cast<float>(value(i));
      continue;
    }
    std::fill_n(at, code.count, 0.0f);
    at[static_cast<std::int64_t>(value(i))] = 1;
  }
  return from_vector(z.shape(), all, z.dtype());
}

Tensor with_code(const Tensor& z, const CodeValue& v) {
  return with_values(z, v.code, [&](std::int64_t) { return v.value; });
}
Tensor with_categories_in_turn(const Model& model, const Tensor& z) {
  const std::vector<Model::Code> codes = model.codes();
  const Model::Code* code = first_category(codes);
  return code ? with_values(z, *code, [&](std::int64_t i) { return i % code->count; }) : z;
}

GridForm grid_form(const Model& model) {
  const std::vector<Model::Code> codes = model.codes();
  const Model::Code* code = first_category(codes);
  constexpr std::int64_t most_columns = 20;
  if (!code || code->count > most_columns) return {};
  return {8 * code->count, code->count};
}

Picture sweep_codes(Model& model, const DataShape& image, std::uint64_t seed, std::int64_t rows, std::int64_t steps) {
  const std::vector<Model::Code> codes = model.codes();
  require(!codes.empty(), "the model has no codes to sweep");
  std::vector<Picture> pictures;
  const int scale = grid_scale(image.height, image.width);
  for (const Model::Code& code : codes) {
    const std::int64_t columns = code.category ? std::min(code.count, steps) : steps;
    // Each row's noise as often as there are columns, with the categories that the code itself does not set in turn.
    const Tensor z = with_categories_in_turn(model, draw_noise(model, seed, rows));
    std::vector<std::int32_t> row_of;
    for (std::int64_t i = 0; i < rows * columns; ++i) row_of.push_back(static_cast<std::int32_t>(i / columns));
    const Tensor repeated = gather(z, from_vector<std::int32_t>({rows * columns}, row_of, DType::i32));
    const Tensor swept = with_values(repeated, code, [&](std::int64_t i) {
      const std::int64_t k = i % columns;
      if (code.category) return static_cast<double>(k);
      const double t = static_cast<double>(k) / static_cast<double>(columns - 1);
      return (code.low + code.high) / 2 + (2 * t - 1) * (code.high - code.low);
    });
    const ImageSet x = draw_images(model, image, swept);
    pictures.push_back(tile(x.pixels, x.count, x.height, x.width, x.channels, columns, 2, scale));
  }
  return stack(pictures, 8 * scale);
}

}  // namespace duel
