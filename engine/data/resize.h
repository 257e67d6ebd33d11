// What happens to an image between its file and the data set: alpha onto a background, the middle square, its new size.
#pragma once
#include <cstdint>
#include <string>

#include "engine/pictures/picture.h"

namespace duel {

struct Color {
  std::uint8_t red = 255, green = 255, blue = 255;
  bool operator==(const Color&) const = default;
};
// "white", "black", "grey" (128 of 255) or "#rrggbb". Error: anything else.
Color parse_color(const std::string& text);
std::string to_string(const Color& color);  // "#rrggbb"

// Puts a picture of 2 channels (grey, alpha) or 4 (RGBA) on the background: c = a*c + (1-a)*background, on the stored
// values. It is done before any resizing, so that the colour under transparent pixels never shows. The outcome has 3
// channels, or 1 for grey on grey; pictures of 1 and 3 channels stay as they are.
Picture flatten(Picture picture, const Color& background);

// The square of side min(h,w) in the middle of image (h,w,c) (half a pixel to the upper left where it is not even),
// resampled to out (size,size,c):
//   out[i] = sum_k f((k + 1/2 - (i + 1/2) s) / max(s, 1)) in[k] / sum_k f(...),   s = side / size, for both axes,
//   f the cubic of Keys 1981 ("Cubic convolution interpolation for digital image processing", a = -1/2)
// The filter widens with s, so that nothing aliases. Cubic, because it keeps more detail than a triangle and rings less
// than Lanczos; it is what Pillow calls BICUBIC and what FID is customarily computed with. Sums are in float, outcomes
// rounded and clamped to 0..255. It works on the stored values, as is customary: gamma is not undone.
// size == side copies the pixels.
void crop_and_resize(const std::uint8_t* image, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t size,
                     std::uint8_t* out);
Picture crop_and_resize(const Picture& picture, std::int64_t size);

}  // namespace duel
