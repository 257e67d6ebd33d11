// The images of a run, as the options in its config.json name them.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "engine/data/images.h"

namespace duel {

// Of named texts the one of this name.
std::string value_or(const std::map<std::string, std::string>& texts, const std::string& name,
                     const std::string& otherwise);
ImageOptions image_options(const std::map<std::string, std::string>& options);
// What samples are compared with, at most 10000 images. Test images that cannot be read are none, with a line that says
// so: no training needs them.
std::optional<ImageSet> held_out_images(const std::map<std::string, std::string>& options);

// `count` images, with their labels, from place `begin` on in a random order of the seed alone; after the last one the
// first one follows. Of a set with a source those in memory.
ImageSet pick_images(const ImageSet& from, std::uint64_t seed, std::int64_t begin, std::int64_t count);

}  // namespace duel
