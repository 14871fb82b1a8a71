// Packing and unpacking of rows.
#include "tern/tensor/ternary_matrix.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "tern/base/error.h"

namespace tern {

TernaryMatrix::TernaryMatrix(std::size_t rows, std::size_t cols, ScaleKind kind, std::size_t group,
                             std::vector<float> scales)
    : rows_(rows), cols_(cols), blocks_((cols + kTernaryBlock - 1) / kTernaryBlock) {
  set_scales(kind, group, std::move(scales));
  packed_ = AlignedBuffer(rows_ * row_bytes());
  std::memset(packed_.data(), 0x55, packed_.size());  // Code 1 everywhere: weight 0.
}

void TernaryMatrix::set_scales(ScaleKind kind, std::size_t group, std::vector<float> scales) {
  if ((kind == ScaleKind::kGroup) != (group != 0) || group % kTernaryField != 0) {
    throw Error(ErrorCode::kCorruptFile, "a scale group of " + std::to_string(group) +
                                             " columns, expected a multiple of 64");
  }
  const std::size_t expected = kind == ScaleKind::kTensor ? 1
                               : kind == ScaleKind::kRow  ? rows_
                                                          : rows_ * ((cols_ + group - 1) / group);
  if (scales.size() != expected) {
    throw Error(ErrorCode::kCorruptFile, std::to_string(scales.size()) +
                                             " weight scales found, expected " +
                                             std::to_string(expected));
  }
  for (const float scale : scales) {
    if (!std::isfinite(scale)) {
      throw Error(ErrorCode::kCorruptFile,
                  "weight scale " + std::to_string(scale) + " found, expected a finite number");
    }
  }
  kind_ = kind;
  group_ = group;
  scales_ = std::move(scales);
}

void TernaryMatrix::set_row(std::size_t r, std::span<const std::int8_t> digits) noexcept {
  std::uint8_t* out = packed_.as<std::uint8_t>().data() + r * row_bytes();
  for (std::size_t b = 0; b < blocks_; ++b, out += kTernaryBlockBytes) {
    const std::size_t first = b * kTernaryBlock;
    if (first + kTernaryBlock <= cols_) {
      const std::int8_t* d = digits.data() + first;
      for (std::size_t j = 0; j < kTernaryField; ++j) {
        out[j] = static_cast<std::uint8_t>((d[j] + 1) | ((d[j + 64] + 1) << 2) |
                                           ((d[j + 128] + 1) << 4) | ((d[j + 192] + 1) << 6));
      }
    } else {
      std::memset(out, 0x55, kTernaryBlockBytes);
      for (std::size_t c = first; c < cols_; ++c) {
        const std::size_t field = (c - first) / kTernaryField;
        const std::size_t j = (c - first) % kTernaryField;
        // The code there is 1, so adding the digit makes it digit + 1, without a carry.
        out[j] = static_cast<std::uint8_t>(out[j] + digits[c] * (1 << (2 * field)));
      }
    }
  }
}

void TernaryMatrix::get_row(std::size_t r, std::span<std::int8_t> digits) const noexcept {
  const std::uint8_t* in = row(r);
  for (std::size_t c = 0; c < cols_; ++c) {
    const std::size_t in_block = c % kTernaryBlock;
    const std::uint8_t byte = in[c / kTernaryBlock * kTernaryBlockBytes + in_block % kTernaryField];
    digits[c] = static_cast<std::int8_t>(((byte >> (2 * (in_block / kTernaryField))) & 3) - 1);
  }
}

}  // namespace tern
