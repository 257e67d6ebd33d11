#include "tools/run_data.h"

#include <numeric>
#include <utility>

#include "engine/data/dataset.h"
#include "engine/error.h"

namespace duel {
namespace {

using Texts = std::map<std::string, std::string>;

}  // namespace

std::string value_or(const Texts& texts, const std::string& name, const std::string& otherwise) {
  const auto it = texts.find(name);
  return it == texts.end() ? otherwise : it->second;
}

ImageOptions image_options(const Texts& options) {
  const std::string stream = value_or(options, "stream", "auto");
  return {.test = false,
          .size = std::stoll(value_or(options, "size", "0")),
          .limit = std::stoll(value_or(options, "limit", "0")),
          .background = parse_color(value_or(options, "background", "white")),
          .skip_broken = value_or(options, "skip-broken", "no") == "yes",
          .stream = stream == "yes"  ? ImageOptions::Stream::yes
                    : stream == "no" ? ImageOptions::Stream::no
                                     : ImageOptions::Stream::automatic};
}

std::optional<ImageSet> held_out_images(const Texts& options) {
  ImageOptions wanted = image_options(options);
  wanted.limit = 10000;
  wanted.stream = ImageOptions::Stream::no;
  try {
    return load_held_out(options.at("data"), wanted);
  } catch (const Error& e) {
    fmt::print("duel: held-out images cannot be used: {}\n", e.what());
    return {};
  }
}

ImageSet pick_images(const ImageSet& from, std::uint64_t seed, std::int64_t begin, std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(from.held()));
  std::iota(order.begin(), order.end(), 0);
  SplitMix64 random{seed};
  for (std::size_t k = order.size() - 1; k > 0; --k) std::swap(order[k], order[random.below(k + 1)]);
  ImageSet out{.name = from.name,
               .count = count,
               .height = from.height,
               .width = from.width,
               .channels = from.channels,
               .pixels = {},
               .labels = {},
               .classes = from.classes,
               .class_names = from.class_names};
  out.pixels.reserve(static_cast<std::size_t>(count * from.image_bytes()));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t chosen = order[static_cast<std::size_t>((begin + i) % from.held())];
    const auto at = from.pixels.begin() + chosen * from.image_bytes();
    out.pixels.insert(out.pixels.end(), at, at + from.image_bytes());
    if (!from.labels.empty()) out.labels.push_back(from.labels[static_cast<std::size_t>(chosen)]);
  }
  return out;
}

}  // namespace duel
