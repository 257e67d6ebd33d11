// Labelled images, and how they come out of files.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/resize.h"

namespace duel {

// Images that are too many for memory: each is decoded whenever it is asked for, by any thread.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // (H,W,C) of image i. Error: the file is no longer there, is damaged, or is of another size.
  virtual void read(std::int64_t i, std::uint8_t* pixels) const = 0;
  // Of what can be known without decoding: names and sizes of the files.
  virtual std::uint64_t fingerprint() const = 0;
};

struct ImageSet {
  std::string name;
  std::int64_t count = 0, height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;           // (N,H,W,C), 0 is black, 255 is white; with a source, of the first ones
  std::vector<std::int32_t> labels;           // (N), each in [0, classes), or -1: hidden; empty when unlabelled
  std::int64_t classes = 0;                   // 0 when unlabelled; for IDX, which does not say, the largest label + 1
  std::vector<std::string> class_names = {};  // (classes), or empty where the data do not name them
  std::int64_t skipped = 0;                   // broken images left out; what was wrong with the first of them
  std::string first_skipped = {};
  std::shared_ptr<const ImageSource> source = {};  // of all images, where memory holds only the first of them

  std::int64_t image_bytes() const { return height * width * channels; }
  std::int64_t held() const {  // images in memory
    return source ? static_cast<std::int64_t>(pixels.size()) / image_bytes() : count;
  }
};

struct ImageOptions {
  bool test = false;         // a folder's test images in the place of its training images
  std::int64_t size = 0;     // crop to the middle square, resize to size x size (engine/data/resize.h); 0: as they are
  std::int64_t limit = 0;    // the first so many images; 0: all
  Color background = {};     // behind images with alpha
  bool skip_broken = false;  // leave broken PNG and JPEG files out and count them, in the place of an error
  // PNG and JPEG files are decoded anew for every batch; in memory are the first `held`, at most 1 GiB of them. Of the
  // others only the headers are read before: what breaks later is an error when it is read.
  enum class Stream : std::uint8_t { no, yes, automatic } stream = Stream::no;  // automatic: beyond half the memory
  std::int64_t held = 16384;
};

// What a path names:
//   IDX     (LeCun, Cortes and Burges, "The MNIST database", yann.lecun.com/exdb/mnist), plain or gzip. A folder with
//           train-images-idx3-ubyte[.gz] (t10k-* for the test), or one idx3 file; labels from the idx1 file beside it.
//           "train-images.idx3-ubyte" is accepted too; of plain and .gz the plain one is taken.
//   CIFAR   (Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html), the binary version. A folder with data_batch_*.bin
//           (test_batch.bin), or with train.bin (test.bin) of CIFAR-100, which gets its fine labels; or one .bin file.
//   images  PNG and JPEG files in a folder, or in folders of it, one a class and labelled in the order of their names.
//           Of folders train and test (or val, valid, validation) train is taken, or test where it is asked for. One
//           folder alone is no class: its images are unlabelled. They are grey if all are, RGB otherwise.
//           Files of other kinds, and what has a name that starts with a dot, are passed over.
// Order: as in the file; for images that of the names, byte by byte; of class folders the first of each class, then the
// second of each and so on. So a limit keeps the classes balanced.
// Error, in one line that names the file: nothing of these is there; images of different sizes and no options.size; a
// broken image (engine/data/image_file.h); or an IDX or CIFAR file that is truncated, followed by further bytes, no
// valid gzip, or has a wrong magic number, size or label. Memory grows with what a file holds, never with what its
// header declares.
ImageSet load_images(const std::string& path, const ImageOptions& options = {});

// The test images of a folder that has some; else none. Error: as above.
std::optional<ImageSet> load_test_images(const std::string& path, ImageOptions options = {});

// Keeps the first `limit` images (0: all), and crops and resizes them to size x size (0: as they are).
void apply_options(ImageSet& set, const ImageOptions& options);

// Hides all labels but `count`: equally many of each class, which of them is up to the seed. 0: the images are
// unlabelled then. Error: the set has fewer labels, or some class has too few.
void keep_labels(ImageSet& set, std::int64_t count, std::uint64_t seed);

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
