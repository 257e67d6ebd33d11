#include <algorithm>
#include <cstring>
#include <new>

#include "engine/data/image_codecs.h"
#include "engine/error.h"

namespace duel {

PngDecoder::~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

void PngDecoder::on_error(png_structp png, png_const_charp text) {
  auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::snprintf(self->message_, sizeof self->message_, "%s", text);
  png_longjmp(png, 1);
}

void PngDecoder::on_read(png_structp png, png_bytep to, std::size_t size) {
  std::span<const std::byte>& left = static_cast<PngDecoder*>(png_get_io_ptr(png))->left_;
  if (left.size() < size) png_error(png, "the file ends early");
  std::memcpy(to, left.data(), size);
  left = left.subspan(size);
}

void PngDecoder::fail_damaged() const { fail("{}: the PNG is damaged: {}", name_, message_); }

// libpng refuses these sizes, too, but does not say which they are.
void PngDecoder::check_first_chunk() const {
  constexpr std::size_t signature = 8, length_and_type = 8;
  const std::byte* header = bytes_.data() + signature + length_and_type;
  if (bytes_.size() < signature + length_and_type + 8 || std::memcmp(header - 4, "IHDR", 4) != 0) return;
  auto word = [&](std::size_t at) {
    std::int64_t v = 0;
    for (std::size_t i = 0; i < 4; ++i) v = v << 8 | std::to_integer<std::int64_t>(header[at + i]);
    return v;
  };
  const std::int64_t width = word(0), height = word(4);
  require(std::min(width, height) >= 1 && std::max(width, height) <= largest_image_side,
          "{}: the PNG declares {}x{} pixels (height x width), expected sides of 1 to {}", name_, height, width,
          largest_image_side);
}

bool PngDecoder::read_header() {
  if (setjmp(png_jmpbuf(png_))) return false;
  const auto most = static_cast<png_uint_32>(largest_image_side);
  png_set_user_limits(png_, most, most);
  png_set_chunk_malloc_max(png_, 1 << 20);
  png_set_chunk_cache_max(png_, 16);
  // Of the chunks beside the image, only tRNS is of use: no profile or text is unpacked.
  png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_AS_DEFAULT, reinterpret_cast<png_const_bytep>("tRNS"), 1);
  png_set_read_fn(png_, this, on_read);
  png_read_info(png_, info_);
  return true;
}

ImageHeader PngDecoder::open() {
  check_first_chunk();
  png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
  if (png_) info_ = png_create_info_struct(png_);
  if (!info_) throw std::bad_alloc();
  if (!read_header()) fail_damaged();
  const int color = png_get_color_type(png_, info_);
  const bool alpha = (color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
  header_ = {png_get_image_height(png_, info_), png_get_image_width(png_, info_),
             ((color & PNG_COLOR_MASK_COLOR) ? 3 : 1) + (alpha ? 1 : 0)};
  const auto bits = static_cast<std::uint64_t>(png_get_bit_depth(png_, info_)) * png_get_channels(png_, info_);
  constexpr std::uint64_t deflate_ratio = 1032;
  check_limits(header_, bytes_.size() * deflate_ratio * 8 / std::max<std::uint64_t>(bits, 1), bytes_.size(), name_);
  return header_;
}

bool PngDecoder::start() {
  if (setjmp(png_jmpbuf(png_))) return false;
  png_set_palette_to_rgb(png_);
  png_set_expand_gray_1_2_4_to_8(png_);
  png_set_tRNS_to_alpha(png_);
  png_set_scale_16(png_);
  passes_ = png_set_interlace_handling(png_);
  png_read_update_info(png_, info_);
  return true;
}

bool PngDecoder::read_rows(std::uint8_t* to, std::size_t stride, png_uint_32 height) {
  if (setjmp(png_jmpbuf(png_))) return false;
  for (int pass = 0; pass < passes_; ++pass)
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(png_, to + y * stride, nullptr);
  png_read_end(png_, nullptr);
  return true;
}

Picture PngDecoder::decode() {
  if (!start()) fail_damaged();
  const auto stride = static_cast<std::size_t>(header_.width * header_.channels);
  require(png_get_rowbytes(png_, info_) == stride, "{}: the PNG has rows of {} bytes, expected {}", name_,
          png_get_rowbytes(png_, info_), stride);
  Picture out{header_.height, header_.width, header_.channels, {}};
  out.pixels.resize(static_cast<std::size_t>(header_.height) * stride);
  if (!read_rows(out.pixels.data(), stride, static_cast<png_uint_32>(header_.height))) fail_damaged();
  return out;
}

}  // namespace duel
