#include "models/model.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/error.h"

namespace duel {
namespace {

std::string join(const std::vector<std::string>& words) {
  std::string s;
  for (const std::string& w : words) s += (s.empty() ? "" : ", ") + w;
  return s;
}

bool parse_number(const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

void check(const Setting& s, const std::string& value) {
  if (!s.choices.empty()) {
    require(std::find(s.choices.begin(), s.choices.end(), value) != s.choices.end(),
            "--{}: found '{}', expected one of: {}", s.name, value, join(s.choices));
    return;
  }
  double v = 0;
  const bool fits = parse_number(value, v) && v >= s.low && v <= s.high && (!s.whole || v == std::floor(v));
  require(fits, "--{}: found '{}', expected {} from {} to {}", s.name, value, s.whole ? "a whole number" : "a number",
          s.low, s.high);
}

}  // namespace

Settings::Settings(const std::vector<Setting>& known, const std::map<std::string, std::string>& given) {
  std::vector<std::string> names;
  for (const Setting& s : known) {
    auto it = given.find(s.name);
    const std::string& value = it == given.end() ? s.standard : it->second;
    check(s, value);
    values_[s.name] = value;
    names.push_back(s.name);
  }
  for (const auto& [name, value] : given)
    require(values_.count(name) > 0, "setting '{}' is unknown, expected one of: {}", name, join(names));
}

const std::string& Settings::word(const std::string& name) const {
  auto it = values_.find(name);
  require(it != values_.end(), "setting '{}' is not one of this model's", name);
  return it->second;
}
double Settings::number(const std::string& name) const {
  double v = 0;
  require(parse_number(word(name), v), "setting '{}' is '{}', expected a number", name, word(name));
  return v;
}
std::int64_t Settings::integer(const std::string& name) const { return static_cast<std::int64_t>(number(name)); }

Tensor Model::classify(const Tensor& images) { fail("[classify] {}: the model tells no classes apart", images); }

void check_batch(const Model& model, std::int64_t images) {
  const std::int64_t divisor = model.batch_divisor();
  require(images % divisor == 0, "--batch: found {}, expected a multiple of {}: --pac times --minibatch-stddev", images,
          divisor);
}
std::int64_t whole_groups(const Model& model, std::int64_t images) {
  const std::int64_t divisor = model.batch_divisor();
  return (images + divisor - 1) / divisor * divisor;
}
DataShape data_shape(const ModelInfo& model, const ImageSet& images) {
  require(model.labels != Labels::needed || images.classes > 0, "{}: {} has no labels, expected labelled images",
          model.name, images.name);
  return {images.height, images.width, images.channels, model.labels == Labels::unused ? 0 : images.classes};
}

const std::vector<ModelInfo>& models() {
  static const std::vector<ModelInfo> list{gan_model(),   dcgan_model(),   lsgan_model(), hinge_model(),
                                           wgan_model(),  wgan_gp_model(), r3gan_model(), cgan_model(),
                                           acgan_model(), infogan_model(), sgan_model(),  catgan_model()};
  return list;
}
const ModelInfo& find_model(const std::string& name) {
  std::vector<std::string> names;
  for (const ModelInfo& m : models()) {
    if (m.name == name) return m;
    names.push_back(m.name);
  }
  fail("model '{}' is unknown, expected one of: {}", name, join(names));
}

}  // namespace duel
