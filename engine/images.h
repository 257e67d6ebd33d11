// Labelled images in memory, and how they come out of files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace duel {

struct ImageSet {
  std::string name;
  std::int64_t count = 0, height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;  // (N,H,W,C), 0 is black, 255 is white
  std::vector<std::int32_t> labels;  // (N), each in [0, classes); empty when unlabelled
  std::int64_t classes = 0;          // the largest label + 1; 0 when unlabelled
};

// Reads IDX files (LeCun, Cortes and Burges, "The MNIST database", yann.lecun.com/exdb/mnist), plain or gzip.
//   a folder: train-images-idx3-ubyte[.gz], and train-labels-idx1-ubyte[.gz] where there is one. `test` asks for
//             t10k-* instead. "train-images.idx3-ubyte" is accepted too; of plain and .gz the plain one is taken.
//   a file:   one idx3 file; its labels are looked for beside it if it is called *images-idx3-ubyte[.gz].
// Error: nothing of these is there; or a file has a wrong magic number, is zero sized, truncated, followed by further
// bytes or no valid gzip; or labels and images differ in number. Memory grows with what a file holds, never with what
// its header declares.
ImageSet load_images(const std::string& path, bool test = false);

// SplitMix64 (Steele, Lea and Flood 2014): the generator behind the data sets. Any 64-bit state is a good seed.
struct SplitMix64 {
  std::uint64_t state = 0;

  // The stream `index` of a seed: independent of the streams beside it.
  static SplitMix64 stream(std::uint64_t seed, std::uint64_t index) {
    SplitMix64 outer{seed};
    return {outer.next() ^ SplitMix64{index}.next()};
  }
  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, n), n >= 1. The bias is below n / 2^64.
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }
  // In [low, high).
  float uniform(float low, float high) { return low + (high - low) * (static_cast<float>(next() >> 40) * 0x1p-24f); }
};

}  // namespace duel
