#include "tools/answers.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/ops.h"
#include "engine/pictures/picture.h"

namespace duel {
namespace {

std::vector<std::int32_t> answers_to(Model& model, const ImageSet& set, std::int64_t begin, std::int64_t end) {
  // Always whole batches, the last one filled up with the first image: the model may compute with groups of images.
  const std::int64_t chunk = whole_groups(model, 250), bytes = set.image_bytes();
  const auto image = [&](std::int64_t k) { return set.pixels.begin() + k * bytes; };
  std::vector<std::int32_t> all;
  std::vector<std::uint8_t> pixels;
  for (std::int64_t at = begin; at < end; at += chunk) {
    const std::int64_t n = std::min(chunk, end - at);
    pixels.assign(image(at), image(at + n));
    for (std::int64_t k = n; k < chunk; ++k) pixels.insert(pixels.end(), image(begin), image(begin + 1));
    const Tensor scores = model.classify(from_bytes(pixels, {chunk, set.height, set.width, set.channels}));
    const std::vector<std::int32_t> some = argmax(scores, 1).to_vector<std::int32_t>();
    all.insert(all.end(), some.begin(), some.begin() + n);
  }
  return all;
}

// The label that each answer stands for; -1: none.
std::vector<std::int32_t> names_of(const std::vector<std::int32_t>& answers, std::span<const std::int32_t> labels,
                                   std::int64_t count, std::int64_t classes) {
  std::vector<std::vector<std::int64_t>> votes(static_cast<std::size_t>(count),
                                               std::vector<std::int64_t>(static_cast<std::size_t>(classes)));
  for (std::size_t i = 0; i < answers.size(); ++i)
    ++votes[static_cast<std::size_t>(answers[i])][static_cast<std::size_t>(labels[i])];
  std::vector<std::int32_t> names;
  for (const auto& v : votes) {
    const auto most = std::max_element(v.begin(), v.end());
    names.push_back(*most > 0 ? static_cast<std::int32_t>(most - v.begin()) : -1);
  }
  return names;
}

// Of images begin .. end, with answers named by images name_begin .. name_end of another set.
double wrong(Model& model, const ImageSet& named_by, std::int64_t name_end, const ImageSet& set, std::int64_t begin) {
  require(model.answers() > 0, "the model tells no classes apart");
  const auto check = [](const ImageSet& s) {
    require(!s.labels.empty() && s.held() == s.count, "{}: expected labelled images in memory", s.name);
  };
  check(set);
  if (model.clusters()) check(named_by);
  std::vector<std::int32_t> names;
  if (model.clusters()) {
    names = names_of(answers_to(model, named_by, 0, name_end),
                     std::span(named_by.labels).first(static_cast<std::size_t>(name_end)), model.answers(),
                     named_by.classes);
  } else {
    for (std::int32_t k = 0; k < model.answers(); ++k) names.push_back(k);
  }
  const std::vector<std::int32_t> answers = answers_to(model, set, begin, set.count);
  std::int64_t bad = 0;
  for (std::size_t i = 0; i < answers.size(); ++i)
    bad += names[static_cast<std::size_t>(answers[i])] != set.labels[static_cast<std::size_t>(begin) + i];
  return static_cast<double>(bad) / static_cast<double>(answers.size());
}

}  // namespace

double error_rate(Model& model, const ImageSet& named_by, const ImageSet& images) {
  return wrong(model, named_by, named_by.count, images, 0);
}
double error_rate(Model& model, const ImageSet& images) {
  const std::int64_t half = images.count / 2;
  return wrong(model, images, half, images, model.clusters() ? half : 0);
}

}  // namespace duel
