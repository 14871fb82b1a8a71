// One reader per layout, and one row per type (docs/formats/ternary.md draws them).
#include "tern/quant/ternary_layouts.h"

#include <array>
#include <cassert>
#include <cstring>

#include "tern/base/vector_clones.h"
#include "tern/tensor/half.h"

namespace tern::quant {
namespace {

constexpr std::array<unsigned, 5> kPowers{1, 3, 9, 27, 81};

float load_f16(const std::uint8_t* p) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return f16_to_float(bits);
}

float load_f32(const std::uint8_t* p) noexcept {
  float value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

void store_f16(std::uint8_t* p, float value) noexcept {
  const std::uint16_t bits = float_to_f16(value);
  std::memcpy(p, &bits, sizeof(bits));
}

std::uint8_t two_bits(std::uint8_t byte, unsigned shift) noexcept {
  return static_cast<std::uint8_t>((byte >> shift) & 3);
}

// `runs` runs of 4 * width codes in `width` bytes: byte j of a run holds codes j, j + width, ... in
// fields from the lowest bits up, or from the highest down.
template <std::size_t width>
void read_fields(const std::uint8_t* in, std::size_t runs, bool highest_first,
                 std::uint8_t* codes) noexcept {
  for (std::size_t r = 0; r < runs; ++r, in += width) {
    for (unsigned field = 0; field < 4; ++field, codes += width) {
      const unsigned shift = highest_first ? 6 - 2 * field : 2 * field;
      for (std::size_t j = 0; j < width; ++j) codes[j] = two_bits(in[j], shift);
    }
  }
}

void write_fields(const std::uint8_t* codes, std::size_t runs, std::size_t width,
                  bool highest_first, std::uint8_t* out) noexcept {
  for (std::size_t r = 0; r < runs; ++r, out += width, codes += 4 * width) {
    for (std::size_t j = 0; j < width; ++j) {
      unsigned byte = 0;
      for (unsigned field = 0; field < 4; ++field) {
        byte |= static_cast<unsigned>(codes[field * width + j])
                << (highest_first ? 6 - 2 * field : 2 * field);
      }
      out[j] = static_cast<std::uint8_t>(byte);
    }
  }
}

// TQ2_0: per 256 weights two runs of 32 bytes, then the f16 scale.
TERN_VECTOR_CLONES
void tq2_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  const std::uint8_t* block = s.data + row * (s.cols / 256) * 66;
  for (std::size_t b = 0; b < s.cols / 256; ++b, block += 66, codes += 256) {
    read_fields<32>(block, 2, false, codes);
  }
}

float tq2_scale(const TernarySource& s, std::size_t row, std::size_t group) {
  return load_f16(s.data + (row * (s.cols / 256) + group) * 66 + 64);
}

void tq2_write(const std::uint8_t* codes, std::size_t cols, std::span<const float> scales,
               std::uint8_t* out) {
  for (std::size_t b = 0; b < cols / 256; ++b, out += 66, codes += 256) {
    write_fields(codes, 2, 32, false, out);
    store_f16(out + 64, scales[b]);
  }
}

// TQ1_0: per 256 weights 32 bytes of five digits, 16 of five, 4 of four, then the f16 scale.
// PTQ1_0: half of everything.
struct Base3Part {
  std::size_t bytes;
  unsigned digits;
};
template <std::size_t kGroup>
constexpr std::array<Base3Part, 3> kBase3Parts{
    {{kGroup / 8, 5}, {kGroup / 16, 5}, {kGroup / 64, 4}}};
template <std::size_t kGroup>
constexpr std::size_t kBase3Bytes = kGroup / 8 + kGroup / 16 + kGroup / 64 + 2;

template <std::size_t kGroup>
void base3_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  const std::uint8_t* in = s.data + row * (s.cols / kGroup) * kBase3Bytes<kGroup>;
  for (std::size_t b = 0; b < s.cols / kGroup; ++b, in += 2) {
    for (const Base3Part& part : kBase3Parts<kGroup>) {
      for (unsigned n = 0; n < part.digits; ++n, codes += part.bytes) {
        for (std::size_t j = 0; j < part.bytes; ++j) codes[j] = digit_of_five(in[j], kPowers[n]);
      }
      in += part.bytes;
    }
  }
}

template <std::size_t kGroup>
float base3_scale(const TernarySource& s, std::size_t row, std::size_t group) {
  return load_f16(s.data + (row * (s.cols / kGroup) + group + 1) * kBase3Bytes<kGroup> - 2);
}

void tq1_write(const std::uint8_t* codes, std::size_t cols, std::span<const float> scales,
               std::uint8_t* out) {
  for (std::size_t b = 0; b < cols / 256; ++b, out += 2) {
    for (const Base3Part& part : kBase3Parts<256>) {
      for (std::size_t j = 0; j < part.bytes; ++j) {
        std::array<std::uint8_t, 5> five{};  // The fifth of four is 0, as GGML writes it.
        for (unsigned n = 0; n < part.digits; ++n) five[n] = codes[n * part.bytes + j];
        out[j] = pack_five(five.data());
      }
      codes += part.bytes * part.digits;
      out += part.bytes;
    }
    store_f16(out, scales[b]);
  }
}

// I2_S: codes of the whole tensor, then one f32.
float i2s_scale(const TernarySource& s, std::size_t /*row*/, std::size_t /*group*/) {
  return load_f32(s.data + s.rows * (s.cols / 4));
}

void i2s_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  read_fields<32>(s.data + row * (s.cols / 4), s.cols / 128, true, codes);
}

void i2s_arm_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  read_fields<16>(s.data + row * (s.cols / 4), s.cols / 64, true, codes);
}

// A byte holds one column of four rows, the first row in the top bits.
void i2s_1x4_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  const std::uint8_t* in = s.data + row / 4 * s.cols;
  const auto shift = static_cast<unsigned>(6 - 2 * (row % 4));
  for (std::size_t c = 0; c < s.cols; ++c) codes[c] = two_bits(in[c], shift);
}

void i2s_write(const std::uint8_t* codes, std::size_t cols, std::span<const float> /*scales*/,
               std::uint8_t* out) {
  write_fields(codes, cols / 128, 32, true, out);
}

// Q2_0: per group the f16 scale, then four weights a byte, the first in the lowest bits.
template <std::size_t kGroup>
void q2_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  constexpr std::size_t kBytes = 2 + kGroup / 4;
  const std::uint8_t* block = s.data + row * (s.cols / kGroup) * kBytes;
  for (std::size_t b = 0; b < s.cols / kGroup; ++b, block += kBytes, codes += kGroup) {
    read_fields<1>(block + 2, kGroup / 4, false, codes);
  }
}

template <std::size_t kGroup>
float q2_scale(const TernarySource& s, std::size_t row, std::size_t group) {
  return load_f16(s.data + (row * (s.cols / kGroup) + group) * (2 + kGroup / 4));
}

template <std::size_t kGroup>
void q2_write(const std::uint8_t* codes, std::size_t cols, std::span<const float> scales,
              std::uint8_t* out) {
  for (std::size_t b = 0; b < cols / kGroup; ++b, out += 2 + kGroup / 4, codes += kGroup) {
    store_f16(out, scales[b]);
    write_fields(codes, kGroup / 4, 1, false, out + 2);
  }
}

// IQ2_BN: per row the f32 scale, then 64 weights in 16 bytes.
void iq2_bn_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  read_fields<16>(s.data + row * (4 + s.cols / 4) + 4, s.cols / 64, false, codes);
}

float iq2_bn_scale(const TernarySource& s, std::size_t row, std::size_t /*group*/) {
  return load_f32(s.data + row * (4 + s.cols / 4));
}

void iq2_bn_write(const std::uint8_t* codes, std::size_t cols, std::span<const float> scales,
                  std::uint8_t* out) {
  std::memcpy(out, scales.data(), sizeof(float));
  write_fields(codes, cols / 64, 16, false, out + 4);
}

// IQ2_BN_R4: per four rows four f32 scales, then 64 columns of all four in 64 bytes: byte
// 16 g + 4 r + l holds columns 16 g + 4 f + l of row r in field f.
void iq2_bn_r4_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  const std::uint8_t* block = s.data + row / 4 * (16 + s.cols) + 16;
  for (std::size_t b = 0; b < s.cols / 64; ++b, block += 64) {
    for (std::size_t g = 0; g < 4; ++g, codes += 16) {
      read_fields<4>(block + 16 * g + 4 * (row % 4), 1, false, codes);
    }
  }
}

float iq2_bn_r4_scale(const TernarySource& s, std::size_t row, std::size_t /*group*/) {
  return load_f32(s.data + row / 4 * (16 + s.cols) + 4 * (row % 4));
}

// IQ1_BN: per row the f16 scale, then 64 weights in 13 bytes: three bytes of five digits for the
// first 15 of each 16, and the sixteenths together in the last byte; least significant first.
void iq1_bn_codes(const TernarySource& s, std::size_t row, std::uint8_t* codes) {
  const std::uint8_t* block = s.data + row * (2 + s.cols / 64 * 13) + 2;
  for (std::size_t b = 0; b < s.cols / 64; ++b, block += 13) {
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t k = 0; k < 3; ++k) {
        for (std::size_t j = 0; j < 5; ++j) {
          *codes++ = digit_of_five(block[3 * i + k], kPowers[4 - j]);
        }
      }
      *codes++ = digit_of_five(block[12], kPowers[4 - i]);
    }
  }
}

float iq1_bn_scale(const TernarySource& s, std::size_t row, std::size_t /*group*/) {
  return load_f16(s.data + row * (2 + s.cols / 64 * 13));
}

using enum ScaleKind;
constexpr std::array kCodecs{
    TernaryCodec{DType::kTQ1_0, kGroup, 256, base3_codes<256>, base3_scale<256>, tq1_write},
    TernaryCodec{DType::kTQ2_0, kGroup, 256, tq2_codes, tq2_scale, tq2_write},
    TernaryCodec{DType::kI2S, kTensor, 0, i2s_codes, i2s_scale, i2s_write},
    TernaryCodec{DType::kI2SArm, kTensor, 0, i2s_arm_codes, i2s_scale, nullptr},
    TernaryCodec{DType::kI2S1x4, kTensor, 0, i2s_1x4_codes, i2s_scale, nullptr},
    TernaryCodec{DType::kQ2_0G64, kGroup, 64, q2_codes<64>, q2_scale<64>, q2_write<64>},
    TernaryCodec{DType::kQ2_0G128, kGroup, 128, q2_codes<128>, q2_scale<128>, q2_write<128>},
    TernaryCodec{DType::kPTQ1_0, kGroup, 128, base3_codes<128>, base3_scale<128>, nullptr},
    TernaryCodec{DType::kIQ1_BN, kRow, 0, iq1_bn_codes, iq1_bn_scale, nullptr},
    TernaryCodec{DType::kIQ2_BN, kRow, 0, iq2_bn_codes, iq2_bn_scale, iq2_bn_write},
    TernaryCodec{DType::kIQ2_BN_R4, kRow, 0, iq2_bn_r4_codes, iq2_bn_r4_scale, nullptr},
};

}  // namespace

const TernaryCodec& codec_of(DType type) noexcept {
  for (const TernaryCodec& codec : kCodecs) {
    if (codec.type == type) return codec;
  }
  assert(false && "not a ternary type");
  return kCodecs[0];
}

std::uint8_t pack_five(const std::uint8_t* codes) noexcept {
  unsigned v = 0;
  for (std::size_t n = 0; n < 5; ++n) v = 3 * v + codes[n];
  return static_cast<std::uint8_t>((256 * v + 242) / 243);
}

}  // namespace tern::quant
