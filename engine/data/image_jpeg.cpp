#include "engine/data/image_codecs.h"
// After jpeglib.h: some messages depend on its configuration.
#include <jerror.h>

#include <algorithm>

#include "engine/error.h"

namespace duel {
namespace {

// A warning after which some pixels are made up. The others (an odd version, bytes between segments) lose nothing.
bool loses_pixels(int code) {
  switch (code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_PROGRESSION:
      return true;
    default:
      return false;
  }
}

// The orientation in an Exif segment: a TIFF file of either byte order behind six bytes of name. What does not fit
// says 1.
int exif_orientation(std::span<const std::uint8_t> segment) {
  constexpr std::uint8_t name[] = {'E', 'x', 'i', 'f', 0, 0};
  if (segment.size() < 14 || !std::equal(std::begin(name), std::end(name), segment.begin())) return 1;
  const auto tiff = segment.subspan(6);
  const bool little = tiff[0] == 'I';
  auto word = [&](std::size_t at, std::size_t bytes) {
    std::size_t v = 0;
    for (std::size_t i = 0; i < bytes; ++i) v = v << 8 | tiff[at + (little ? bytes - 1 - i : i)];
    return v;
  };
  constexpr std::size_t entry_bytes = 12, orientation_tag = 0x0112;
  const std::size_t table = word(4, 4);
  if (table > tiff.size() - 2) return 1;
  std::size_t at = table + 2;
  for (std::size_t n = word(table, 2); n > 0 && at + entry_bytes <= tiff.size(); --n, at += entry_bytes) {
    if (word(at, 2) != orientation_tag) continue;
    const std::size_t v = word(at + 8, 2);
    return v >= 1 && v <= 8 ? static_cast<int>(v) : 1;
  }
  return 1;
}

}  // namespace

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&codec_); }

void JpegDecoder::on_error(j_common_ptr codec) {
  auto* self = static_cast<JpegDecoder*>(codec->client_data);
  codec->err->format_message(codec, self->message_);
  std::longjmp(self->jump_, 1);
}

void JpegDecoder::on_message(j_common_ptr codec, int level) {
  if (level < 0 && loses_pixels(codec->err->msg_code)) on_error(codec);
}

// A small progressive file may ask for the whole image to be gone through again and again.
void JpegDecoder::on_progress(j_common_ptr codec) {
  constexpr int most_scans = 500;
  auto* self = static_cast<JpegDecoder*>(codec->client_data);
  if (self->codec_.input_scan_number <= most_scans) return;
  std::snprintf(self->message_, sizeof self->message_, "more than %d scans", most_scans);
  std::longjmp(self->jump_, 1);
}

void JpegDecoder::fail_damaged() const { fail("{}: the JPEG is damaged: {}", name_, message_); }

bool JpegDecoder::read_header() {
  codec_.err = jpeg_std_error(&errors_);
  codec_.client_data = this;
  errors_.error_exit = on_error;
  errors_.emit_message = on_message;
  progress_.progress_monitor = on_progress;
  if (setjmp(jump_)) return false;
  jpeg_create_decompress(&codec_);
  codec_.progress = &progress_;
  codec_.mem->max_memory_to_use = 512l << 20;  // a progressive image is kept whole, in 16-bit coefficients
  jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(bytes_.data()),
               static_cast<unsigned long>(bytes_.size()));
  jpeg_save_markers(&codec_, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&codec_, TRUE);
  return true;
}

int JpegDecoder::orientation() const {
  for (const auto* m = codec_.marker_list; m; m = m->next)
    if (const int found = exif_orientation({m->data, m->data_length}); found != 1) return found;
  return 1;
}

bool JpegDecoder::choose_scale(unsigned denominator) {
  if (setjmp(jump_)) return false;
  codec_.scale_num = 1;
  codec_.scale_denom = denominator;
  jpeg_calc_output_dimensions(&codec_);
  return true;
}

ImageHeader JpegDecoder::open(std::int64_t at_least) {
  if (!read_header()) fail_damaged();
  const J_COLOR_SPACE space = codec_.jpeg_color_space;
  require(space != JCS_CMYK && space != JCS_YCCK, "{}: the JPEG is CMYK, expected grey, YCbCr or RGB", name_);
  require(space == JCS_GRAYSCALE || space == JCS_YCbCr || space == JCS_RGB,
          "{}: the JPEG has {} channels of an unknown kind, expected grey, YCbCr or RGB", name_, codec_.num_components);
  const std::int64_t channels = space == JCS_GRAYSCALE ? 1 : 3;
  codec_.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  const std::int64_t shorter = std::min(codec_.image_height, codec_.image_width);
  std::int64_t scale = 1;
  auto bytes = [&] { return std::int64_t{codec_.image_height} * codec_.image_width * channels / (scale * scale); };
  while (at_least > 0 && scale < 8 && bytes() > largest_image_bytes && shorter / (2 * scale) >= at_least) scale *= 2;
  if (!choose_scale(static_cast<unsigned>(scale))) fail_damaged();
  header_ = {codec_.output_height, codec_.output_width, channels};
  constexpr std::uint64_t pixels_a_byte = 64 * 8;
  check_limits({codec_.image_height, codec_.image_width, 0}, bytes_.size() * pixels_a_byte, bytes_.size(), name_);
  check_limits(header_, bytes_.size() * pixels_a_byte, bytes_.size(), name_);
  return header_;
}

bool JpegDecoder::read_rows(std::uint8_t* to, std::size_t stride) {
  if (setjmp(jump_)) return false;
  jpeg_start_decompress(&codec_);
  while (codec_.output_scanline < codec_.output_height) {
    JSAMPROW row = to + codec_.output_scanline * stride;
    jpeg_read_scanlines(&codec_, &row, 1);
  }
  jpeg_finish_decompress(&codec_);
  return true;
}

Picture JpegDecoder::decode() {
  const auto stride = static_cast<std::size_t>(header_.width * header_.channels);
  Picture out{header_.height, header_.width, header_.channels, {}};
  out.pixels.resize(static_cast<std::size_t>(header_.height) * stride);
  if (!read_rows(out.pixels.data(), stride)) fail_damaged();
  return out;
}

}  // namespace duel
