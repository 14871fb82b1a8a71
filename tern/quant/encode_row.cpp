// Rows of floats -> plain and block-quantised storage.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "tern/base/error.h"
#include "tern/quant/float_codec.h"
#include "tern/tensor/half.h"

namespace tern::quant {
namespace {

void store_16(std::byte* out, std::uint16_t bits) { std::memcpy(out, &bits, sizeof(bits)); }

// The nearest whole number, ties to even, of |value| < 2^22, without a call.
float nearest(float value) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it leaves no bit for a fraction.
  return (value + kShift) - kShift;
}

// 1 / d, or 0 for a d so small that its reciprocal overflows (f16 stores it as 0 anyway).
float reciprocal(float d) {
  const float inverse = d == 0 ? 0.0f : 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// As GGML's reference quantiser: d = max|x| / 127, halves rounded away from zero.
void q8_0(const float* x, std::byte* out) {
  float largest = 0;
  for (std::size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0f;
  const float inverse = reciprocal(d);
  store_16(out, float_to_f16(d));
  for (std::size_t i = 0; i < 32; ++i) {
    out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(x[i] * inverse)));
  }
}

// As GGML's reference quantiser: the value of largest magnitude becomes -8.
void q4_0(const float* x, std::byte* out) {
  float extreme = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  const float d = extreme / -8.0f;
  const float inverse = reciprocal(d);
  store_16(out, float_to_f16(d));
  const auto code = [&](float value) {
    return std::min(15u, static_cast<unsigned>(value * inverse + 8.5f));
  };
  for (std::size_t j = 0; j < 16; ++j) {
    out[2 + j] = static_cast<std::byte>(code(x[j]) | (code(x[j + 16]) << 4));
  }
}

constexpr std::size_t kSub = 16;  // Weights per sub-block of Q6_K.

float q6_level(float value, float inverse) {
  return std::clamp(nearest(value * inverse), -32.0f, 31.0f);
}

// The scale s and levels q in -32..31 with the smallest sum of (x - s q)^2 among those tried:
// levels come from steps around the one that puts the largest magnitude at -32, and each set of
// levels gets the scale that least squares gives it.
float q6_sub_scale(const float* x) {
  float extreme = 0;
  for (std::size_t i = 0; i < kSub; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (reciprocal(extreme) == 0) return 0;
  float best_scale = 0;
  float best_gain = -1;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = (-32.0f + 0.1f * static_cast<float>(step)) / extreme;
    float xq = 0;
    float qq = 0;
    for (std::size_t i = 0; i < kSub; ++i) {
      const float q = q6_level(x[i], inverse);
      xq += x[i] * q;
      qq += q * q;
    }
    // With s = xq / qq the squared error is sum x^2 - xq^2 / qq.
    const float gain = qq > 0 ? xq / qq * xq : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = qq > 0 ? xq / qq : 0;
    }
  }
  return best_scale;
}

void q6_k(const float* x, std::byte* out) {
  std::array<float, 16> scales;
  float extreme = 0;
  for (std::size_t b = 0; b < 16; ++b) {
    scales[b] = q6_sub_scale(x + kSub * b);
    if (std::fabs(scales[b]) > std::fabs(extreme)) extreme = scales[b];
  }
  const std::uint16_t d_bits = float_to_f16(extreme / -128.0f);
  const float d = f16_to_float(d_bits);
  const float inverse_d = reciprocal(d);
  std::memset(out, 0, 192);
  store_16(out + 208, d_bits);
  for (std::size_t b = 0; b < 16; ++b) {
    const float sc = std::clamp(nearest(scales[b] * inverse_d), -128.0f, 127.0f);
    out[192 + b] = static_cast<std::byte>(static_cast<std::int8_t>(sc));
    const float inverse = reciprocal(d * sc);
    for (std::size_t i = 0; i < kSub; ++i) {
      const auto u = static_cast<unsigned>(q6_level(x[kSub * b + i], inverse) + 32.0f);
      // Where weight 128 h + 32 k + l lies: tern/tensor/dense_row.h.
      const std::size_t h = b / 8;
      const std::size_t k = b % 8 / 2;
      const std::size_t l = b % 2 * kSub + i;
      out[64 * h + 32 * (k & 1) + l] |= static_cast<std::byte>((u & 15) << (4 * (k >> 1)));
      out[128 + 32 * h + l] |= static_cast<std::byte>((u >> 4) << (2 * k));
    }
  }
}

void check_range(DType type, std::span<const float> in, float limit) {
  for (const float value : in) {
    if (!(std::fabs(value) <= limit)) {
      throw Error(ErrorCode::kBadArgument, "value " + std::to_string(value) + " found, which " +
                                               std::string(dtype_name(type)) +
                                               " cannot hold (at most " + std::to_string(limit) +
                                               ")");
    }
  }
}

}  // namespace

void encode_row(DType type, std::span<const float> in, std::span<std::byte> out) {
  const auto bytes = dtype_bytes(type, 1, in.size());
  if (!bytes || *bytes != out.size()) {
    throw Error(ErrorCode::kBadArgument, "a row of " + std::to_string(in.size()) + " values in " +
                                             std::to_string(out.size()) +
                                             " bytes found, which is no row of " +
                                             std::string(dtype_name(type)));
  }
  // The largest magnitude whose block scale still is a finite f16.
  constexpr float kF16Max = 65504.0f;
  switch (type) {
    case DType::kF32:
      std::memcpy(out.data(), in.data(), out.size());
      return;
    case DType::kF16:
      for (std::size_t i = 0; i < in.size(); ++i) store_16(&out[2 * i], float_to_f16(in[i]));
      return;
    case DType::kBF16:
      for (std::size_t i = 0; i < in.size(); ++i) store_16(&out[2 * i], float_to_bf16(in[i]));
      return;
    case DType::kQ8_0:
      check_range(type, in, 127.0f * kF16Max);
      for (std::size_t b = 0; b < in.size() / 32; ++b) q8_0(&in[32 * b], &out[34 * b]);
      return;
    case DType::kQ4_0:
      check_range(type, in, 8.0f * kF16Max);
      for (std::size_t b = 0; b < in.size() / 32; ++b) q4_0(&in[32 * b], &out[18 * b]);
      return;
    case DType::kQ6_K:
      check_range(type, in, 31.0f * 127.0f * kF16Max);
      for (std::size_t b = 0; b < in.size() / 256; ++b) q6_k(&in[256 * b], &out[210 * b]);
      return;
    default:
      throw Error(ErrorCode::kBadArgument,
                  std::string(dtype_name(type)) + " is no type that rows of floats are written in");
  }
}

}  // namespace tern::quant
