// Small PNG and JPEG files made in memory, and a folder to put files in.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/pictures/picture.h"

namespace duel::test {

// Removed at its end.
struct TempFolder {
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& file) const { return (path / file).string(); }
  // Makes the folders on the way.
  void write(const std::string& file, const std::string& bytes) const;
  std::filesystem::path path;
};

// As in the PNG standard: color 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA. `samples`: one number each, of
// `bits` bits; `palette` RGB triples; `transparency` the tRNS chunk: alphas of the palette, or one sample a channel.
struct PngSource {
  int height = 0, width = 0, color = 0, bits = 8;
  std::vector<int> samples = {};
  std::vector<int> palette = {}, transparency = {};
  bool interlaced = false;
};
std::string encode_png(const PngSource& source);
std::string encode_png(const Picture& picture);  // grey or RGB
// Right checksums for all chunks that are whole.
std::string with_checksums(std::string png);

struct JpegOptions {
  int quality = 90;
  bool progressive = false, cmyk = false;
  int restart = 0;  // rows between restart markers
  int repeat = 1;   // the picture so many times beside and below itself
};
// Channels 1, 3, or 4 for CMYK.
std::string encode_jpeg(const Picture& picture, const JpegOptions& options = {});

}  // namespace duel::test
