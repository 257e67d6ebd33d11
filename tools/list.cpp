#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/products.h"
#include "engine/tape.h"
#include "tools/commands.h"

namespace duel {

int list_models() {
  std::size_t name = 0, paper = 0;
  for (const ModelInfo& m : models()) {
    name = std::max(name, m.name.size());
    paper = std::max(paper, m.paper.size());
  }
  for (const ModelInfo& m : models()) fmt::print("{:<{}}  {:<{}}  {}\n", m.name, name, m.paper, paper, m.summary);
  return 0;
}

int list_data() {
  fmt::print(
      "glyphs    60000 built-in handwritten-style digits, 28x28 grey, 10 classes\n"
      "FOLDER    of PNG and JPEG files, grey, RGB or with alpha (--background); folders in it are classes, in the "
      "order\n"
      "          of their names; of folders train and test, train is taken. --size crops and resizes, --skip-broken\n"
      "          leaves damaged files out, --limit keeps the first ones, of classes in turn, --flip mirrors at random\n"
      "FOLDER    train-images-idx3-ubyte[.gz] in it (MNIST, Fashion-MNIST), labels from train-labels-idx1-ubyte[.gz]\n"
      "FOLDER    data_batch_*.bin in it (CIFAR-10, binary version), or train.bin (CIFAR-100, fine labels)\n"
      "FILE      one idx3 file of images, plain or gzip, labels from the idx1 file beside it; or one .bin file of "
      "CIFAR\n");
  return 0;
}

int list_devices() {
  for (const std::string& word : device_words()) {
    if (word == "auto") continue;
    try {
      fmt::print("{}\n", choose_device(word).what);
    } catch (const Error& e) {
      fmt::print("{} (not here: {})\n", word, e.what());
    }
  }
  for (const std::string& line : product_libraries()) fmt::print("{}\n", line);
  fmt::print("auto is {}\n", choose_device("auto").what);
  return 0;
}

int list_ops() {
  std::vector<const Op*> ops = all_ops();
  std::sort(ops.begin(), ops.end(), [](const Op* a, const Op* b) { return std::string_view(a->name) < b->name; });
  std::size_t width = 0;
  for (const Op* op : ops) width = std::max(width, std::string_view(op->name).size());
  for (const Op* op : ops) fmt::print("{:<{}}  {}\n", op->name, width, op->formula);
  return 0;
}

}  // namespace duel
