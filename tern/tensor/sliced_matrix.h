// A Q6_K matrix cut into planes, so that a first look at every row reads only its high bits.
//
// A code of Q6_K is q = 4 high + low in 0..63 and a weight is w = (d sc) (q - 32), with sc for each
// 16 columns and d for each 256 (dense_row.h); the same numbers come out, bit for bit. A row is a
// record and a low row. In a block of 256 columns, dword l of vector j (l 0..15, j 0..3) holds the
// columns 16 l + 4 j ... + 3: one 32-bit lane of a dot product meets one scale only. In a record:
//
//   norms   two floats: |w - w^| and |w| + |w - w^|, rounded up (lengths; w^ has 1.5 for low)
//   d       f16 a block
//   scales  16 int8 a block, then zeros to a multiple of 64 bytes
//   high    128 bytes a block: byte i of the first 64 has vector 0 in its low four bits, vector 1
//           in its high four; the second 64 bytes the same for vectors 2 and 3
//
// and a low row is 64 bytes a block: vector j of byte i in bits 2 j, 2 j + 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/tensor/dense_matrix.h"

namespace tern {

inline constexpr std::size_t kSlicedBlock = 256;      // Columns of a block,
inline constexpr std::size_t kSlicedHighBytes = 128;  // its bytes in a record
inline constexpr std::size_t kSlicedLowBytes = 64;    // and in a low row,
inline constexpr std::size_t kSlicedGroups = 16;      // and its scales.

// Where things stand in the record of a row of `blocks` blocks, the norms being first.
constexpr std::size_t sliced_d_at() { return 8; }
constexpr std::size_t sliced_scales_at(std::size_t blocks) { return sliced_d_at() + 2 * blocks; }
constexpr std::size_t sliced_high_at(std::size_t blocks) {
  return (sliced_scales_at(blocks) + kSlicedGroups * blocks + 63) / 64 * 64;
}
constexpr std::size_t sliced_record_bytes(std::size_t blocks) {
  return sliced_high_at(blocks) + kSlicedHighBytes * blocks;
}

// Const after construction and then shared by threads.
class SlicedMatrix {
 public:
  SlicedMatrix() = default;
  // Requires w.type == kQ6_K. Copies; `w` is not needed afterwards. `drop_file_pages`, for views
  // of a mapped file only, gives back the file's pages on the way (drop_pages()), so that there are
  // never two copies in memory.
  SlicedMatrix(const DenseMatrix& w, ThreadPool& pool, bool drop_file_pages = false);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return blocks_ * kSlicedBlock; }
  std::size_t blocks() const noexcept { return blocks_; }
  std::size_t record_bytes() const noexcept { return sliced_record_bytes(blocks_); }
  std::size_t low_bytes() const noexcept { return blocks_ * kSlicedLowBytes; }
  std::size_t bytes() const noexcept { return records_.size() + lows_.size(); }
  const std::uint8_t* record(std::size_t r) const noexcept {
    return reinterpret_cast<const std::uint8_t*>(records_.data()) + r * record_bytes();
  }
  const std::uint8_t* low(std::size_t r) const noexcept {
    return reinterpret_cast<const std::uint8_t*>(lows_.data()) + r * low_bytes();
  }
  // The largest |w| + |w - w^| of all rows.
  float largest_norm() const noexcept { return largest_norm_; }

  // A matrix of some rows of this one.
  SlicedMatrix pick(std::span<const std::size_t> rows) const;

 private:
  SlicedMatrix(std::size_t rows, std::size_t blocks);

  std::size_t rows_ = 0, blocks_ = 0;
  AlignedBuffer records_, lows_;
  float largest_norm_ = 0;
};

// `count` blocks of a row from block `first` on as floats: the definition that every faster reader
// must equal.
void sliced_row_to_float(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
                         std::size_t first, std::size_t count, float* out) noexcept;

}  // namespace tern
