// Arithmetic on noise (Radford et al. 2016, figure 7): a sum of means of vectors, the images of its operands, and the
// result among neighbours.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/context.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/pictures/picture.h"
#include "engine/tape.h"
#include "tools/commands.h"
#include "tools/expression.h"
#include "tools/loaded_run.h"
#include "tools/sampler.h"
#include "tools/threads.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t neighbours = 9;            // 3 x 3, the result itself in the middle
constexpr std::int64_t gap = 2, sign_width = 28;  // pixels

// A picture that images are pasted into, at the scale and with the gaps of a grid. All measures are its pixels.
class Canvas {
 public:
  Canvas(const ImageSet& images, std::int64_t height, std::int64_t width)
      : images_(images), scale_(grid_scale(images.height, images.width)) {
    picture_ = {height, width, images.channels, {}};
    picture_.pixels.assign(static_cast<std::size_t>(height * width * images.channels), background);
  }

  void paste(std::int64_t image, std::int64_t top, std::int64_t left) {
    const std::int64_t c = images_.channels;
    for (std::int64_t y = 0; y < images_.height * scale_; ++y)
      for (std::int64_t x = 0; x < images_.width * scale_; ++x) {
        const std::int64_t from = ((image * images_.height + y / scale_) * images_.width + x / scale_) * c;
        for (std::int64_t k = 0; k < c; ++k) at(top + y, left + x, k) = pixel(from + k);
      }
  }
  // A '+', '-' or '=' in the middle of a strip of sign_width pixels.
  void sign(char which, std::int64_t left) {
    const std::int64_t y = picture_.height / 2, x = left + sign_width / 2;
    if (which == '=') bar(y - 3, x, 7, 1), bar(y + 3, x, 7, 1);
    if (which != '=') bar(y, x, 7, 1);
    if (which == '+') bar(y, x, 1, 7);
  }
  const Picture& picture() const { return picture_; }

 private:
  static constexpr std::uint8_t background = 32, ink = 220;
  std::uint8_t pixel(std::int64_t i) const { return images_.pixels[static_cast<std::size_t>(i)]; }
  std::uint8_t& at(std::int64_t y, std::int64_t x, std::int64_t k) {
    return picture_.pixels[static_cast<std::size_t>((y * picture_.width + x) * picture_.channels + k)];
  }
  void bar(std::int64_t y, std::int64_t x, std::int64_t half_width, std::int64_t half_height) {
    for (std::int64_t i = std::max<std::int64_t>(0, y - half_height); i < std::min(y + half_height, picture_.height);
         ++i)
      for (std::int64_t j = x - half_width; j < x + half_width; ++j)
        for (std::int64_t k = 0; k < picture_.channels; ++k) at(i, j, k) = ink;
  }

  const ImageSet& images_;
  std::int64_t scale_;
  Picture picture_;
};

Tensor rows(const Tensor& z, const std::vector<std::int64_t>& which) {
  std::vector<Tensor> out;
  for (const std::int64_t i : which) out.push_back(slice(z, 0, i, i + 1));
  return concat(out, 0);
}

// For each term its vectors and, where they are several, their mean; then the result and its neighbours.
struct Layout {
  std::vector<Tensor> parts;
  std::vector<std::int64_t> operands;  // images in each term's column
  Tensor result;
};
Layout evaluate(const Tensor& z, const std::vector<Term>& terms, double noise, std::uint64_t seed) {
  NoGrad off;
  Layout out;
  for (const Term& t : terms) {
    const Tensor operands = rows(z, t.indices), average = mean(operands, {0}, keep_axes);
    out.parts.push_back(operands);
    if (t.indices.size() > 1) out.parts.push_back(average);
    out.operands.push_back(static_cast<std::int64_t>(t.indices.size() + (t.indices.size() > 1 ? 1 : 0)));
    out.result = out.result ? out.result + t.weight * average : t.weight * average;
  }
  set_seed(seed);
  Shape shape = z.shape();
  for (std::int64_t i = 0; i < neighbours; ++i) {
    shape[0] = 1;
    const Tensor jitter = uniform(shape, -noise, noise);
    out.parts.push_back(i == neighbours / 2 || noise == 0 ? out.result : out.result + jitter);
  }
  return out;
}

Picture draw(const ImageSet& images, const std::vector<Term>& terms, const std::vector<std::int64_t>& operands) {
  const int scale = grid_scale(images.height, images.width);
  const std::int64_t down = images.height * scale + gap, across = images.width * scale + gap;
  const auto columns = static_cast<std::int64_t>(terms.size());
  const std::int64_t signs = columns + (terms[0].weight < 0 ? 1 : 0);  // one before each further term, and '='
  const std::int64_t most = std::max<std::int64_t>(3, *std::max_element(operands.begin(), operands.end()));
  Canvas canvas(images, most * down - gap, columns * (across - gap) + signs * sign_width + 3 * across - gap);
  std::int64_t left = 0, image = 0;
  auto sign = [&](char which) {
    canvas.sign(which, left);
    left += sign_width;
  };
  for (std::size_t t = 0; t < terms.size(); ++t) {
    if (t > 0 || terms[0].weight < 0) sign(terms[t].weight < 0 ? '-' : '+');
    // The mean of several stands at the bottom, a single one in the middle.
    for (std::int64_t i = 0; i < operands[t]; ++i)
      canvas.paste(image++,
                   operands[t] == 1      ? (most - 1) * down / 2
                   : i + 1 < operands[t] ? i * down
                                         : (most - 1) * down,
                   left);
    left += across - gap;
  }
  sign('=');
  for (std::int64_t i = 0; i < neighbours; ++i)
    canvas.paste(image++, (most - 3) * down / 2 + i / 3 * down, left + i % 3 * across);
  return canvas.picture();
}

const std::string& needed(const std::map<std::string, std::string>& given, const std::string& name,
                          const std::string& what) {
  const auto it = given.find(name);
  require(it != given.end(), "arithmetic: expected --{}, {}", name, what);
  return it->second;
}

}  // namespace

std::vector<Setting> arithmetic_options() {
  return {{"noise", "the result's neighbours differ from it by U(-noise, noise)", "0.5", 0, 100, false, {}},
          {"seed", "the seed of that noise", "1", 0, 9007199254740992, true, {}},
          threads_option(),
          device_option(),
          drawing_precision_option()};
}

int arithmetic(const std::string& run, const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> numbers = given;
  for (const char* text : {"out", "latents", "expression", "save-latents"}) numbers.erase(text);
  const Settings options(arithmetic_options(), numbers);
  const std::string file = needed(given, "latents", "a file that duel sample --save-latents wrote");
  const std::string text = needed(given, "expression", "such as \"mean(0,3) - mean(1,2) + 5\"");
  const auto it = given.find("out"), latents = given.find("save-latents");
  const fs::path out = it != given.end() ? fs::path(it->second) : fs::path(run) / "arithmetic.png";
  if (latents != given.end()) check_output("save-latents", latents->second, {".safetensors"});

  const LoadedRun loaded = load_run(run, options);
  check_output("out", out, {".png"});
  const Tensor z = load_latents(file, *loaded.model);
  const std::vector<Term> terms = parse_expression(text, z.dim(0));
  const Layout layout =
      evaluate(z, terms, options.number("noise"), static_cast<std::uint64_t>(options.integer("seed")));
  const ImageSet images = draw_images(*loaded.model, loaded.identity.image, concat(layout.parts, 0));
  save_png(out, draw(images, terms, layout.operands));
  fmt::print("{}: {} after {} steps\n", out.string(), text, loaded.at.iteration);
  if (latents != given.end()) {
    save_latents(latents->second, loaded.identity, layout.result);
    fmt::print("{}: the result\n", latents->second);
  }
  return 0;
}

}  // namespace duel
