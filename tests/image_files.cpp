#include "tests/image_files.h"

#include <doctest/doctest.h>
#include <png.h>
#include <stdlib.h>  // mkdtemp
#include <zlib.h>

#include <cstdio>
#include <fstream>
// After cstdio, which it needs.
#include <jpeglib.h>

namespace duel::test {
namespace {

namespace fs = std::filesystem;

void append(png_structp png, png_bytep bytes, std::size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), size);
}

// Rows packed as PNG has them: the first sample in the highest bits, 16 bits with the high byte first.
std::vector<std::vector<png_byte>> pack(const PngSource& s) {
  const std::size_t in_row = s.samples.size() / static_cast<std::size_t>(s.height);
  std::vector<std::vector<png_byte>> rows;
  for (std::size_t at = 0; at < s.samples.size(); at += in_row) {
    std::vector<png_byte> row((in_row * static_cast<std::size_t>(s.bits) + 7) / 8);
    for (std::size_t bit = 0, i = 0; i < in_row; ++i)
      for (int b = s.bits - 1; b >= 0; --b, ++bit)
        if (s.samples[at + i] >> b & 1) row[bit / 8] = static_cast<png_byte>(row[bit / 8] | 0x80 >> bit % 8);
    rows.push_back(row);
  }
  return rows;
}

void set_transparency(png_structp png, png_infop info, const PngSource& s) {
  if (s.transparency.empty()) return;
  const std::vector<png_byte> alphas(s.transparency.begin(), s.transparency.end());
  png_color_16 key{};
  key.gray = key.red = static_cast<png_uint_16>(s.transparency[0]);
  if (s.transparency.size() == 3) key.green = static_cast<png_uint_16>(s.transparency[1]);
  if (s.transparency.size() == 3) key.blue = static_cast<png_uint_16>(s.transparency[2]);
  if (s.color == PNG_COLOR_TYPE_PALETTE)
    png_set_tRNS(png, info, alphas.data(), static_cast<int>(alphas.size()), nullptr);
  else
    png_set_tRNS(png, info, nullptr, 1, &key);
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "duel_test_images_XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path = name;
}
TempFolder::~TempFolder() { fs::remove_all(path); }
void TempFolder::write(const std::string& file, const std::string& bytes) const {
  fs::create_directories((path / file).parent_path());
  fs::remove(path / file);  // ext4 waits for the disk where a file is cut to nothing and written anew
  std::ofstream(path / file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string encode_png(const PngSource& s) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::string out;
  png_set_write_fn(png, &out, append, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(s.width), static_cast<png_uint_32>(s.height), s.bits, s.color,
               s.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette;
  for (std::size_t i = 0; i + 2 < s.palette.size(); i += 3)
    palette.push_back({static_cast<png_byte>(s.palette[i]), static_cast<png_byte>(s.palette[i + 1]),
                       static_cast<png_byte>(s.palette[i + 2])});
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  set_transparency(png, info, s);
  auto rows = pack(s);
  std::vector<png_bytep> pointers;
  for (auto& row : rows) pointers.push_back(row.data());
  png_write_info(png, info);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::string encode_png(const Picture& p) {
  return encode_png({.height = static_cast<int>(p.height),
                     .width = static_cast<int>(p.width),
                     .color = p.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                     .samples = {p.pixels.begin(), p.pixels.end()}});
}

std::string with_checksums(std::string png) {
  auto* bytes = reinterpret_cast<unsigned char*>(png.data());
  for (std::size_t at = 8; at + 12 <= png.size();) {
    const std::size_t length = std::size_t{bytes[at]} << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    if (length > png.size() - at - 12) break;
    const auto sum = crc32(0, bytes + at + 4, static_cast<uInt>(length + 4));
    at += 8 + length;
    for (int shift = 24; shift >= 0; shift -= 8) bytes[at++] = static_cast<unsigned char>(sum >> shift);
  }
  return png;
}

std::string encode_jpeg(const Picture& p, const JpegOptions& options) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &bytes, &size);
  codec.image_width = static_cast<JDIMENSION>(p.width * options.repeat);
  codec.image_height = static_cast<JDIMENSION>(p.height * options.repeat);
  codec.input_components = static_cast<int>(p.channels);
  codec.in_color_space = options.cmyk ? JCS_CMYK : p.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&codec);
  codec.restart_in_rows = options.restart;
  jpeg_start_compress(&codec, TRUE);
  while (codec.next_scanline < codec.image_height) {
    std::vector<JSAMPLE> row;
    const std::ptrdiff_t length = p.width * p.channels;
    const auto begin = p.pixels.begin() + codec.next_scanline % p.height * length;
    for (int i = 0; i < options.repeat; ++i) row.insert(row.end(), begin, begin + length);
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&codec, &pointer, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return out;
}

}  // namespace duel::test
