// Ternary storage types <-> TernaryMatrix. Layouts: docs/formats/ternary.md.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/tensor/tensor_view.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::quant {

// Repacks a tensor of any type with is_ternary(type). Rows are split among the pool's threads.
// Scales become one per tensor where all agree (a TQ or Q2_0 block of zeros may carry any scale, 0
// included, and is not asked), else one per row where those of each row do (always in IQ*_BN), else
// one per group (TQ: 256, Q2_0: 64 or 128).
// Throws Error(kCorruptFile) naming tensor and row for a code that is no ternary digit, and for a
// scale that is not finite. In `layout`, but with scales per group always four digits per byte.
TernaryMatrix read_ternary(const TensorView& tensor, ThreadPool& pool,
                           TernaryLayout layout = TernaryLayout::kFourPerByte);

// HF packed weights: uint8 (out / 4, in), four row blocks of R = ceil(out / 4) rows in the bit
// pairs of a byte, digit + 1 (transformers' pack_weights). `scales` are multipliers, one or one per
// row: the caller has inverted those of linear_class "bitlinear". `rows` is out, of which R must be
// the quarter.
TernaryMatrix read_hf_packed(const TensorView& packed, std::size_t rows, std::vector<float> scales,
                             ThreadPool& pool, TernaryLayout layout = TernaryLayout::kFourPerByte);

// The bytes of `matrix` as HF packed weights; scales are the caller's.
std::vector<std::byte> write_hf_packed(const TernaryMatrix& matrix);

// Why `matrix` cannot be stored as `type`, in a sentence without a subject ("rows of 3200 columns
// are no whole number of blocks of 256"); nullopt where it can. Writable: TQ1_0, TQ2_0, I2_S,
// IQ2_BN, Q2_0 of both group sizes.
std::optional<std::string> why_not_writable(const TernaryMatrix& matrix, DType type);

struct WrittenTernary {
  std::vector<std::byte> bytes;
  std::size_t rounded_scales = 0;  // Scales that the type could not hold exactly (TQ, Q2_0: f16).
};
// Requires !why_not_writable(matrix, type). A block whose digits are all zero carries the scale
// like any other.
WrittenTernary write_ternary(const TernaryMatrix& matrix, DType type);

}  // namespace tern::quant
