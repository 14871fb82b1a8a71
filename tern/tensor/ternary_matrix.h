// The one in-memory form of every ternary matrix, whatever file it came from.
//
// Rows lie in tiles of 16, and a tile is a run of blocks of 64 bytes: 16 rows by 4 columns by as
// many fields as a byte has (ternary_code.h). With F fields (4 or 5), byte 4 i + j of block b of a
// tile holds, of its row i, columns 4 F b + 4 f + j for f = 0 .. F - 1:
//
//     block:  row 0    row 1          row 15        one 32-bit lane per row
//            [j0..j3] [j0..j3]  ...  [j0..j3]
//     byte j of row i, field f  =  column 4 F b + 4 f + j of that row
//
// So one 512-bit register holds a block, field f of it meets the same four activations in every
// lane, each lane sums its own row, and no sum ever crosses lanes. A tile is read front to back.
// Rows are padded to whole tiles and columns to whole blocks, with weight 0 (code 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/tensor/ternary_code.h"

namespace tern {

inline constexpr std::size_t kTernaryTileRows = 16;    // Rows per tile.
inline constexpr std::size_t kTernaryBlockBytes = 64;  // Bytes per block.
inline constexpr std::size_t kTernaryField = 64;       // Scale groups are multiples of this.

// Columns per block.
constexpr std::size_t ternary_block_cols(TernaryLayout layout) noexcept {
  return 4 * ternary_fields(layout);
}

enum class ScaleKind { kTensor, kRow, kGroup };

// Weight (r, c) is digit(r, c) * scale(r, c), digits -1, 0, +1. Const after construction and then
// shared by threads.
class TernaryMatrix {
 public:
  TernaryMatrix() = default;
  // Rows hold nothing until they are set; padding is 0. `scales` holds 1 (kTensor), rows (kRow) or
  // rows * ceil(cols / group) (kGroup, row-major) finite values; `group` is a multiple of
  // kTernaryField, 0 unless kGroup. Throws Error(kCorruptFile) where counts disagree or a scale is
  // not finite.
  TernaryMatrix(std::size_t rows, std::size_t cols, ScaleKind kind, std::size_t group,
                std::vector<float> scales, TernaryLayout layout = TernaryLayout::kFourPerByte);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  TernaryLayout layout() const noexcept { return layout_; }
  std::size_t tiles() const noexcept { return (rows_ + kTernaryTileRows - 1) / kTernaryTileRows; }
  std::size_t blocks() const noexcept { return blocks_; }  // Per tile.
  std::size_t padded_cols() const noexcept { return blocks_ * ternary_block_cols(layout_); }
  std::size_t tile_bytes() const noexcept { return blocks_ * kTernaryBlockBytes; }
  // In memory, padding and scales included.
  std::size_t bytes() const noexcept { return packed_.size() + scales_.size() * sizeof(float); }

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

  const std::uint8_t* tile(std::size_t t) const noexcept {
    return packed_.as<std::uint8_t>().data() + t * tile_bytes();
  }
  int digit(std::size_t r, std::size_t c) const noexcept {
    const std::size_t width = ternary_block_cols(layout_);
    const std::uint8_t byte = row(r)[c / width * kTernaryBlockBytes + c % 4];
    return static_cast<int>(ternary_code(layout_, byte, c % width / 4)) - 1;
  }

  // Sets a whole row from `cols` digits in {-1, 0, +1} (the caller has checked them). Rows may be
  // set from several threads at once, each its own; fastest where a thread has whole tiles.
  void set_row(std::size_t r, std::span<const std::int8_t> digits) noexcept;
  // Sets a whole tile from codes (digit + 1), row i of it at codes + i * stride: 16 rows of
  // padded_cols() codes, those past rows() and cols() being 1. For readers of large files.
  void set_tile(std::size_t t, const std::uint8_t* codes, std::size_t stride) noexcept;
  // The opposite of set_row(): digits of columns [first, first + digits.size()) of a row.
  void get_digits(std::size_t r, std::size_t first, std::span<std::int8_t> digits) const noexcept;
  void get_row(std::size_t r, std::span<std::int8_t> digits) const noexcept {
    get_digits(r, 0, digits.first(cols_));
  }
  // For readers that find scales row by row.
  std::span<float> mutable_scales() noexcept { return scales_; }
  // Puts other scales in the place of those there, checked as the constructor checks them: for
  // readers that know only after the last row whether all scales agree.
  void set_scales(ScaleKind kind, std::size_t group, std::vector<float> scales);

 private:
  // The row's first bytes of block 0; the same 4 bytes of every block are the row's.
  const std::uint8_t* row(std::size_t r) const noexcept {
    return tile(r / kTernaryTileRows) + 4 * (r % kTernaryTileRows);
  }

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t blocks_ = 0;
  TernaryLayout layout_ = TernaryLayout::kFourPerByte;
  ScaleKind kind_ = ScaleKind::kTensor;
  std::size_t group_ = 0;
  std::vector<float> scales_;
  AlignedBuffer packed_;
};

// The same matrix in `layout`. Rows are split among threads.
TernaryMatrix with_layout(const TernaryMatrix& matrix, TernaryLayout layout, ThreadPool& pool);

}  // namespace tern
