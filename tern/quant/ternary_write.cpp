// TernaryMatrix -> the storage types that tern writes.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "tern/quant/ternary_codec.h"
#include "tern/quant/ternary_layouts.h"
#include "tern/tensor/half.h"

namespace tern::quant {
namespace {

// How far a scale may move when it is rounded to f16: further only happens near 0, where f16 has
// few digits left.
constexpr float kWorstRounding = 0.01f;

bool holds_f16_scales(DType type) {
  return type == DType::kTQ1_0 || type == DType::kTQ2_0 || type == DType::kQ2_0G64 ||
         type == DType::kQ2_0G128;
}

const char* scales_text(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::kTensor:
      return "one per tensor";
    case ScaleKind::kRow:
      return "one per row";
    case ScaleKind::kGroup:
      return "one per group";
  }
  return "";
}

std::string number_text(float value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", static_cast<double>(value));
  return text;
}

void get_codes(const TernaryMatrix& matrix, std::size_t row, std::vector<std::int8_t>& digits,
               std::vector<std::uint8_t>& codes) {
  matrix.get_row(row, digits);
  for (std::size_t c = 0; c < codes.size(); ++c) {
    codes[c] = static_cast<std::uint8_t>(digits[c] + 1);
  }
}

}  // namespace

std::optional<std::string> why_not_writable(const TernaryMatrix& matrix, DType type) {
  const std::string name(dtype_name(type));
  if (!is_ternary(type) || codec_of(type).write_row == nullptr) {
    return name +
           " is no type that ternary weights are written in (TQ1_0, TQ2_0, I2_S, IQ2_BN, "
           "Q2_0)";
  }
  const std::uint64_t block = dtype_block(type);
  if (matrix.cols() % block != 0) {
    return "rows of " + std::to_string(matrix.cols()) +
           " columns are no whole number of blocks of " + std::to_string(block);
  }
  if (!dtype_bytes(type, matrix.rows(), matrix.cols())) return "the matrix is too large";
  const ScaleKind kind = matrix.scale_kind();
  if (type == DType::kI2S && kind != ScaleKind::kTensor) {
    return std::string("scales are ") + scales_text(kind) + ", and I2_S holds one per tensor";
  }
  if (type == DType::kIQ2_BN && kind == ScaleKind::kGroup) {
    return "scales are one per group, and IQ2_BN holds one per row";
  }
  if (!holds_f16_scales(type)) return std::nullopt;
  if (matrix.group() % block != 0) {
    return "scales are one per group of " + std::to_string(matrix.group()) + " columns, and " +
           name + " holds one per block of " + std::to_string(block);
  }
  for (const float scale : matrix.scales()) {
    const float stored = f16_to_float(float_to_f16(scale));
    if (!(std::fabs(stored - scale) <= kWorstRounding * std::fabs(scale))) {
      return "scale " + number_text(scale) + " is outside the range of f16, which " + name +
             " stores";
    }
  }
  return std::nullopt;
}

WrittenTernary write_ternary(const TernaryMatrix& matrix, DType type) {
  const TernaryCodec& codec = codec_of(type);
  const std::size_t rows = matrix.rows();
  const std::size_t cols = matrix.cols();
  WrittenTernary written;
  written.bytes.resize(static_cast<std::size_t>(dtype_bytes(type, rows, cols).value()));
  if (holds_f16_scales(type)) {
    for (const float scale : matrix.scales()) {
      if (f16_to_float(float_to_f16(scale)) != scale) ++written.rounded_scales;
    }
  }
  auto* out = reinterpret_cast<std::uint8_t*>(written.bytes.data());
  const std::size_t tail = type == DType::kI2S ? 32 : 0;
  const std::size_t row_bytes = rows == 0 ? 0 : (written.bytes.size() - tail) / rows;
  const std::size_t scale_cols = codec.scales == ScaleKind::kGroup ? codec.group : cols;
  std::vector<std::int8_t> digits(cols);
  std::vector<std::uint8_t> codes(cols);
  std::vector<float> scales(scale_cols == 0 ? 1 : (cols + scale_cols - 1) / scale_cols);
  for (std::size_t r = 0; r < rows; ++r) {
    get_codes(matrix, r, digits, codes);
    for (std::size_t g = 0; g < scales.size(); ++g) scales[g] = matrix.scale(r, g * scale_cols);
    codec.write_row(codes.data(), cols, scales, out + r * row_bytes);
  }
  if (type == DType::kI2S) {
    const float scale = matrix.scales()[0];
    std::memcpy(out + rows * row_bytes, &scale, sizeof(scale));
  }
  return written;
}

std::vector<std::byte> write_hf_packed(const TernaryMatrix& matrix) {
  const std::size_t quarter = (matrix.rows() + 3) / 4;
  std::vector<std::byte> bytes(quarter * matrix.cols());
  std::vector<std::int8_t> digits(matrix.cols());
  std::vector<std::uint8_t> codes(matrix.cols());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    get_codes(matrix, r, digits, codes);
    std::byte* out = bytes.data() + r % quarter * matrix.cols();
    const std::size_t shift = 2 * (r / quarter);
    for (std::size_t c = 0; c < codes.size(); ++c) {
      out[c] |= static_cast<std::byte>(codes[c] << shift);
    }
  }
  return bytes;
}

}  // namespace tern::quant
