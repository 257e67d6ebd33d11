// The judge: a small classifier of a run's real images, whose features and answers the samples are measured with.
#pragma once
#include <cstdint>
#include <string>

#include "engine/chain_net.h"
#include "engine/data/images.h"

namespace duel {

struct Judge {
  ChainNet net;
  std::string name;     // "judge", or the file of the features
  double accuracy = 0;  // on held-out images; 0 where it tells no classes apart
};

// The judge of these labelled images, out of the cache ($XDG_CACHE_HOME/duel or ~/.cache/duel) or trained: three
// convolutions of 3x3 with batch norm and pooling between them, and 128 features before the scores; Adam, the learning
// rate falling to 0 along a cosine. Images of more than 40 pixels a side are averaged down first. `flip`: the images
// are mirrored at random. `digest` names the data in the cache. Error: the images have no labels, or fewer than 4
// pixels a side.
Judge find_judge(const ImageSet& train, const ImageSet& held_out, bool flip, std::uint64_t seed,
                 const std::string& digest);

// The net of a file (engine/net_file.h) in its place. Its classes, where it has some, are those of the images.
Judge load_features(const std::string& file, const ImageSet& held_out);

}  // namespace duel
