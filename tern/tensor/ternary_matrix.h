// The one in-memory form of every ternary matrix, whatever file it came from.
//
// Layout k2Bit: a block is 256 weights in 64 bytes. Byte j of a block holds weights j, j + 64,
// j + 128 and j + 192 in bits 0-1, 2-3, 4-5 and 6-7 (its "fields"), each stored as w + 1, so that
// {-1, 0, +1} becomes {0, 1, 2}. Rows are padded to whole blocks with weight 0 (code 1). 64 columns
// in a row share a field, so scales per group of 64 n columns fall on field boundaries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/base/aligned_buffer.h"

namespace tern {

inline constexpr std::size_t kTernaryBlock = 256;      // Weights per block.
inline constexpr std::size_t kTernaryBlockBytes = 64;  // Bytes per block.
inline constexpr std::size_t kTernaryField = 64;       // Consecutive weights in one field.

enum class TernaryLayout { k2Bit };
enum class ScaleKind { kTensor, kRow, kGroup };

// Weight (r, c) is digit(r, c) * scale(r, c), digits -1, 0, +1. Const after construction and then
// shared by threads.
class TernaryMatrix {
 public:
  TernaryMatrix() = default;
  // All weights 0. `scales` holds 1 (kTensor), rows (kRow) or rows * ceil(cols / group) (kGroup,
  // row-major) finite values; `group` is a multiple of kTernaryField, 0 unless kGroup. Throws
  // Error(kCorruptFile) where counts disagree or a scale is not finite.
  TernaryMatrix(std::size_t rows, std::size_t cols, ScaleKind kind, std::size_t group,
                std::vector<float> scales);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t blocks() const noexcept { return blocks_; }  // Per row.
  std::size_t padded_cols() const noexcept { return blocks_ * kTernaryBlock; }
  std::size_t row_bytes() const noexcept { return blocks_ * kTernaryBlockBytes; }
  std::size_t bytes() const noexcept { return packed_.size() + scales_.size() * sizeof(float); }
  TernaryLayout layout() const noexcept { return TernaryLayout::k2Bit; }

  ScaleKind scale_kind() const noexcept { return kind_; }
  std::size_t group() const noexcept { return group_; }  // Columns per scale; 0 unless kGroup.
  std::size_t groups_per_row() const noexcept {
    return kind_ == ScaleKind::kGroup ? (cols_ + group_ - 1) / group_ : 1;
  }
  std::span<const float> scales() const noexcept { return scales_; }
  float scale(std::size_t r, std::size_t c) const noexcept {
    switch (kind_) {
      case ScaleKind::kTensor:
        return scales_[0];
      case ScaleKind::kRow:
        return scales_[r];
      case ScaleKind::kGroup:
        return scales_[r * groups_per_row() + c / group_];
    }
    return 0;
  }

  const std::uint8_t* row(std::size_t r) const noexcept {
    return packed_.as<std::uint8_t>().data() + r * row_bytes();
  }
  int digit(std::size_t r, std::size_t c) const noexcept {
    const std::size_t in_block = c % kTernaryBlock;
    const std::uint8_t byte =
        row(r)[c / kTernaryBlock * kTernaryBlockBytes + in_block % kTernaryField];
    return ((byte >> (2 * (in_block / kTernaryField))) & 3) - 1;
  }

  // Sets a whole row from `cols` digits in {-1, 0, +1} (the caller has checked them). Rows may be
  // set from several threads at once, each its own.
  void set_row(std::size_t r, std::span<const std::int8_t> digits) noexcept;
  // The opposite: `digits` has room for `cols` values.
  void get_row(std::size_t r, std::span<std::int8_t> digits) const noexcept;
  // For readers that find scales row by row.
  std::span<float> mutable_scales() noexcept { return scales_; }
  // Puts other scales in the place of those there, checked as the constructor checks them: for
  // readers that know only after the last row whether all scales agree.
  void set_scales(ScaleKind kind, std::size_t group, std::vector<float> scales);

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t blocks_ = 0;
  ScaleKind kind_ = ScaleKind::kTensor;
  std::size_t group_ = 0;
  std::vector<float> scales_;
  AlignedBuffer packed_;
};

}  // namespace tern
