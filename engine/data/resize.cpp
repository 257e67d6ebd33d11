#include "engine/data/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace duel {
namespace {

float cubic(double x) {
  x = std::abs(x);
  if (x < 1) return static_cast<float>((1.5 * x - 2.5) * x * x + 1);
  if (x < 2) return static_cast<float>(((-0.5 * x + 2.5) * x - 4) * x + 2);
  return 0;
}

// Output i is the sum of weights[k] * in[first + k].
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> make_taps(std::int64_t side, std::int64_t size) {
  const double step = static_cast<double>(side) / static_cast<double>(size), stretch = std::max(step, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    Taps& t = taps[static_cast<std::size_t>(i)];
    const double center = (static_cast<double>(i) + 0.5) * step;
    const auto first = static_cast<std::int64_t>(std::floor(center - 2 * stretch + 0.5));
    const auto end = static_cast<std::int64_t>(std::floor(center + 2 * stretch + 0.5));
    t.first = std::max<std::int64_t>(first, 0);
    float sum = 0;
    for (std::int64_t k = t.first; k < std::min(end, side); ++k) {
      t.weights.push_back(cubic((static_cast<double>(k) + 0.5 - center) / stretch));
      sum += t.weights.back();
    }
    for (float& w : t.weights) w /= sum;
  }
  return taps;
}

std::uint8_t to_byte(float v) { return static_cast<std::uint8_t>(std::clamp(v, 0.0f, 255.0f) + 0.5f); }

std::uint8_t mix(int value, int background, int alpha) {
  return static_cast<std::uint8_t>((value * alpha + background * (255 - alpha) + 127) / 255);
}

}  // namespace

Color parse_color(const std::string& text) {
  if (text == "white") return {255, 255, 255};
  if (text == "black") return {0, 0, 0};
  if (text == "grey") return {128, 128, 128};
  const bool is_hex =
      text.size() == 7 && text[0] == '#' && text.find_first_not_of("0123456789abcdefABCDEF", 1) == std::string::npos;
  require(is_hex, "--background: found '{}', expected white, black, grey or #rrggbb", text);
  const unsigned long v = std::stoul(text.substr(1), nullptr, 16);
  return {static_cast<std::uint8_t>(v >> 16), static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)};
}

std::string to_string(const Color& color) {
  return fmt::format("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue);
}

Picture flatten(Picture picture, const Color& background) {
  const std::int64_t from = picture.channels;
  if (from == 1 || from == 3) return picture;
  require(from == 2 || from == 4, "[flatten] the picture has {} channels, expected 1 to 4", from);
  const std::array<std::uint8_t, 3> behind{background.red, background.green, background.blue};
  const bool grey = from == 2 && behind[0] == behind[1] && behind[1] == behind[2];
  const std::size_t to = grey ? 1 : 3;
  const auto pixels = static_cast<std::size_t>(picture.height * picture.width);
  Picture out{picture.height, picture.width, static_cast<std::int64_t>(to), std::vector<std::uint8_t>(pixels * to)};
  const std::uint8_t* in = picture.pixels.data();
  for (std::size_t i = 0; i < pixels; ++i, in += from)
    for (std::size_t c = 0; c < to; ++c) out.pixels[i * to + c] = mix(in[from == 2 ? 0 : c], behind[c], in[from - 1]);
  return out;
}

void crop_and_resize(const std::uint8_t* image, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t size,
                     std::uint8_t* out) {
  const std::int64_t side = std::min(h, w), stride = w * c;
  const std::uint8_t* in = image + (h - side) / 2 * stride + (w - side) / 2 * c;
  if (side == size) {
    for (std::int64_t y = 0; y < size; ++y) std::memcpy(out + y * size * c, in + y * stride, std::size_t(size * c));
    return;
  }
  const std::vector<Taps> taps = make_taps(side, size);
  // One row of the outcome at a time: down the columns first, then along the row. The memory is that of a row.
  const std::int64_t n = side * c;
  std::vector<float> row(static_cast<std::size_t>(n));
  for (const Taps& vertical : taps) {
    std::fill(row.begin(), row.end(), 0.0f);
    float* to = row.data();
    for (std::size_t k = 0; k < vertical.weights.size(); ++k) {
      const std::uint8_t* from = in + (vertical.first + static_cast<std::int64_t>(k)) * stride;
      const float weight = vertical.weights[k];
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) to[i] += weight * static_cast<float>(from[i]);
    }
    for (const Taps& horizontal : taps)
      for (std::int64_t channel = 0; channel < c; ++channel) {
        const float* from = to + horizontal.first * c + channel;
        float sum = 0;
        for (std::size_t k = 0; k < horizontal.weights.size(); ++k, from += c) sum += horizontal.weights[k] * *from;
        *out++ = to_byte(sum);
      }
  }
}

Picture crop_and_resize(const Picture& picture, std::int64_t size) {
  const std::int64_t c = picture.channels;
  require(size >= 1 && picture.height >= 1 && picture.width >= 1 && c >= 1 &&
              picture.pixels.size() == static_cast<std::size_t>(picture.height * picture.width * c),
          "[crop_and_resize] {} bytes of ({},{},{}) to size {}, expected no axis below 1 and bytes for all pixels",
          picture.pixels.size(), picture.height, picture.width, c, size);
  Picture out{size, size, c, std::vector<std::uint8_t>(static_cast<std::size_t>(size * size * c))};
  crop_and_resize(picture.pixels.data(), picture.height, picture.width, c, size, out.pixels.data());
  return out;
}

}  // namespace duel
