// Packing and unpacking of rows.
#include "tern/tensor/ternary_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/vector_clones.h"

namespace tern {
namespace {

// Four columns at a time, a byte each in a 32-bit word: digits + 1 never carry from byte to byte.
constexpr std::uint32_t kOnes = 0x01010101u;

std::uint32_t load_codes(const std::int8_t* digits) noexcept {
  std::uint32_t word;
  std::memcpy(&word, digits, 4);
  // Adds 1 to each byte: the carry out of 0xff (-1) is stopped by masking the top bits.
  return ((word & 0x7f7f7f7fu) + kOnes) ^ (word & 0x80808080u);
}

void store_digits(std::uint32_t codes, std::int8_t* digits) noexcept {
  const std::uint32_t word = ((codes | 0x80808080u) - kOnes) ^ 0x80808080u;
  std::memcpy(digits, &word, 4);
}

void pack_four(const std::int8_t* digits, std::size_t blocks, std::uint8_t* out) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, digits += 16, out += kTernaryBlockBytes) {
    const std::uint32_t word = load_codes(digits) | load_codes(digits + 4) << 2 |
                               load_codes(digits + 8) << 4 | load_codes(digits + 12) << 6;
    std::memcpy(out, &word, 4);
  }
}

void unpack_four(const std::uint8_t* in, std::size_t blocks, std::int8_t* digits) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, digits += 16, in += kTernaryBlockBytes) {
    std::uint32_t word;
    std::memcpy(&word, in, 4);
    for (unsigned f = 0; f < 4; ++f) store_digits(word >> (2 * f) & 3 * kOnes, digits + 4 * f);
  }
}

void pack_five(const std::int8_t* digits, std::size_t blocks, std::uint8_t* out) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, digits += 20, out += kTernaryBlockBytes) {
    // At most 2 * (1 + 3 + 9 + 27 + 81) = 242 in each byte.
    const std::uint32_t word = load_codes(digits) + 3 * load_codes(digits + 4) +
                               9 * load_codes(digits + 8) + 27 * load_codes(digits + 12) +
                               81 * load_codes(digits + 16);
    for (unsigned j = 0; j < 4; ++j) out[j] = five_per_byte::kEncode[word >> (8 * j) & 255];
  }
}

void unpack_five(const std::uint8_t* in, std::size_t blocks, std::int8_t* digits) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, digits += 20, in += kTernaryBlockBytes) {
    for (unsigned j = 0; j < 4; ++j) {
      const unsigned fields = five_per_byte::kDecode[in[j]];
      for (unsigned f = 0; f < 5; ++f) {
        digits[4 * f + j] = static_cast<std::int8_t>((fields >> (2 * f) & 3) - 1);
      }
    }
  }
}

// Block `b` of a tile from 16 rows of codes. Four columns of a row at a time.
TERN_VECTOR_CLONES
void pack_block_four(const std::uint8_t* codes, std::size_t stride, std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < kTernaryTileRows; ++i, codes += stride) {
    std::array<std::uint32_t, 4> field;
    std::memcpy(field.data(), codes, sizeof(field));
    const std::uint32_t word = field[0] | field[1] << 2 | field[2] << 4 | field[3] << 6;
    std::memcpy(out + 4 * i, &word, 4);
  }
}

// five_per_byte::encode() for 64 bytes without look-ups, written so that compilers make vectors of
// it: a product with a code of 0, 1 or 2 is two selections.
TERN_VECTOR_CLONES
void pack_block_five(const std::uint8_t* codes, std::size_t stride, std::uint8_t* out) noexcept {
  std::uint8_t c[5][kTernaryBlockBytes];
  for (std::size_t i = 0; i < kTernaryTileRows; ++i, codes += stride) {
    for (std::size_t f = 0; f < 5; ++f) std::memcpy(c[f] + 4 * i, codes + 4 * f, 4);
  }
  const auto times = [](std::uint8_t code, std::uint8_t n) {
    return static_cast<std::uint8_t>((code > 0 ? n : 0) + (code > 1 ? n : 0));
  };
  for (std::size_t j = 0; j < kTernaryBlockBytes; ++j) {
    const auto q = static_cast<std::uint8_t>(c[0][j] + times(c[1][j], 3) + times(c[2][j], 9));
    const std::uint8_t c3 = c[3][j], c4 = c[4][j];
    const std::uint8_t slot = times(c3, 21);  // five_per_byte::kFirstSlot
    const std::uint8_t escaped = c3 > 1 ? 5 : 6;
    const auto ordinary = static_cast<std::uint8_t>(27 - escaped);
    const auto plain = static_cast<std::uint8_t>(times(c4, 64) + slot + q);
    const auto escape = static_cast<std::uint8_t>(192 + slot + times(c4, escaped) + q - ordinary);
    out[j] = q < ordinary ? plain : escape;
  }
}

// A byte of nothing but weight 0.
std::uint8_t zero_byte(TernaryLayout layout) noexcept {
  return layout == TernaryLayout::kFourPerByte ? 0x55 : five_per_byte::kEncode[121];
}

}  // namespace

TernaryMatrix::TernaryMatrix(std::size_t rows, std::size_t cols, ScaleKind kind, std::size_t group,
                             std::vector<float> scales, TernaryLayout layout)
    : rows_(rows),
      cols_(cols),
      blocks_((cols + ternary_block_cols(layout) - 1) / ternary_block_cols(layout)),
      layout_(layout) {
  set_scales(kind, group, std::move(scales));
  packed_ = AlignedBuffer(tiles() * tile_bytes(), Pages::kShared);
  if (rows % kTernaryTileRows != 0) {
    const std::size_t last = (tiles() - 1) * tile_bytes();
    std::memset(packed_.data() + last, zero_byte(layout), tile_bytes());
  }
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
  std::uint8_t* out = packed_.as<std::uint8_t>().data() + r / kTernaryTileRows * tile_bytes() +
                      4 * (r % kTernaryTileRows);
  const std::size_t width = ternary_block_cols(layout_);
  const std::size_t whole = cols_ / width;
  const auto pack = layout_ == TernaryLayout::kFourPerByte ? pack_four : pack_five;
  pack(digits.data(), whole, out);
  if (whole == blocks_) return;
  std::array<std::int8_t, 20> last{};  // Padded with weight 0.
  std::copy(digits.begin() + static_cast<std::ptrdiff_t>(whole * width),
            digits.begin() + static_cast<std::ptrdiff_t>(cols_), last.begin());
  pack(last.data(), 1, out + whole * kTernaryBlockBytes);
}

void TernaryMatrix::set_tile(std::size_t t, const std::uint8_t* codes,
                             std::size_t stride) noexcept {
  std::uint8_t* out = packed_.as<std::uint8_t>().data() + t * tile_bytes();
  const std::size_t width = ternary_block_cols(layout_);
  const auto pack = layout_ == TernaryLayout::kFourPerByte ? pack_block_four : pack_block_five;
  for (std::size_t b = 0; b < blocks_; ++b) {
    pack(codes + b * width, stride, out + b * kTernaryBlockBytes);
  }
}

void TernaryMatrix::get_digits(std::size_t r, std::size_t first,
                               std::span<std::int8_t> digits) const noexcept {
  const std::size_t width = ternary_block_cols(layout_);
  const auto unpack = layout_ == TernaryLayout::kFourPerByte ? unpack_four : unpack_five;
  const std::uint8_t* in = row(r) + first / width * kTernaryBlockBytes;
  std::int8_t* out = digits.data();
  std::size_t left = digits.size();
  std::size_t skip = first % width;
  while (left > 0) {
    const std::size_t whole = skip == 0 ? left / width : 0;
    if (whole > 0) {
      unpack(in, whole, out);
      in += whole * kTernaryBlockBytes;
      out += whole * width;
      left -= whole * width;
      continue;
    }
    std::array<std::int8_t, 20> block;  // One that is wanted in part.
    unpack(in, 1, block.data());
    const std::size_t count = std::min(left, width - skip);
    std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(skip), count, out);
    in += kTernaryBlockBytes;
    out += count;
    left -= count;
    skip = 0;
  }
}

TernaryMatrix with_layout(const TernaryMatrix& matrix, TernaryLayout layout, ThreadPool& pool) {
  TernaryMatrix out(matrix.rows(), matrix.cols(), matrix.scale_kind(), matrix.group(),
                    {matrix.scales().begin(), matrix.scales().end()}, layout);
  pool.parallel_for(matrix.rows(), kTernaryTileRows, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int8_t> digits(matrix.cols());
    for (std::size_t r = begin; r < end; ++r) {
      matrix.get_row(r, digits);
      out.set_row(r, digits);
    }
  });
  return out;
}

}  // namespace tern
