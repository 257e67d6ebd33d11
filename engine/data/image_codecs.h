// The two decoders behind engine/data/image_file.h. Each checks what the header declares in its constructor's stead
// (open), so that decode may allocate.
//
// Both libraries report an error by a longjmp. It may only leave frames without destructors: the functions that call
// setjmp hold none, allocate nothing and answer false, and their callers throw.
#pragma once
#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
// After cstdio, which it needs.
#include <jpeglib.h>

#include "engine/data/image_file.h"

namespace duel {

// Error: a side or the bytes of pixels beyond the limits. `capacity`: the most pixels a file of that length can hold.
void check_limits(const ImageHeader& header, std::uint64_t capacity, std::size_t file_bytes, const std::string& name);

class PngDecoder {
 public:
  PngDecoder(std::span<const std::byte> bytes, const std::string& name) : left_(bytes), bytes_(bytes), name_(name) {}
  ~PngDecoder();
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  ImageHeader open();
  Picture decode();

 private:
  static void on_error(png_structp png, png_const_charp text);
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep to, std::size_t size);
  void check_first_chunk() const;
  bool read_header();
  bool start();
  bool read_rows(std::uint8_t* to, std::size_t stride, png_uint_32 height);
  [[noreturn]] void fail_damaged() const;

  std::span<const std::byte> left_, bytes_;
  const std::string& name_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  ImageHeader header_;
  int passes_ = 1;
  char message_[128] = "not enough memory";
};

class JpegDecoder {
 public:
  JpegDecoder(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  ImageHeader open(std::int64_t at_least);
  // Between open and decode: how the pixels are to be turned. Exif 2.3, tag 0x0112, 1 to 8; 1 (not at all) where there
  // is no such tag.
  int orientation() const;
  Picture decode();

 private:
  static void on_error(j_common_ptr codec);
  static void on_message(j_common_ptr codec, int level);
  static void on_progress(j_common_ptr codec);
  bool read_header();
  bool choose_scale(unsigned denominator);
  bool read_rows(std::uint8_t* to, std::size_t stride);
  [[noreturn]] void fail_damaged() const;

  std::span<const std::byte> bytes_;
  const std::string& name_;
  jpeg_decompress_struct codec_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_;
  ImageHeader header_;
  char message_[JMSG_LENGTH_MAX] = "";
};

}  // namespace duel
