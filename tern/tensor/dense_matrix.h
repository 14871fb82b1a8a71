// A matrix of full-precision or block-quantised numbers: embeddings, heads, baselines.
#pragma once

#include <cstddef>
#include <span>

#include "tern/base/aligned_buffer.h"
#include "tern/tensor/dtype.h"

namespace tern {

// Rows in the storage type of the file (F32, F16, BF16, Q8_0, Q6_K or Q4_0), usually a view into
// the mapped file, which must outlive it; `owned` holds the bytes where they had to be made.
// Const after construction and then shared by threads.
struct DenseMatrix {
  DType type = DType::kF32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::span<const std::byte> bytes;  // rows * row_bytes(), row-major; not necessarily aligned.
  AlignedBuffer owned;

  std::size_t row_bytes() const noexcept { return rows == 0 ? 0 : bytes.size() / rows; }
  const std::byte* row(std::size_t r) const noexcept { return bytes.data() + r * row_bytes(); }
};

}  // namespace tern
