// Floats -> ternary weights and block-quantised rows.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/tensor/tensor_view.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::quant {

// One row of a dense or ternary tensor as floats (ternary: digit * scale). `out` holds cols().
// For tools and checks; the engine reads rows through kernels. Throws as read_ternary does.
void tensor_row_to_float(const TensorView& tensor, std::size_t row, std::span<float> out);

// A float matrix whose every value is -s, 0 or +s for one s > 0 (or all zeros, s = 1), as ternary
// with scale s; nullopt for any other. Bit patterns decide; -0 counts as 0. Stops at the first
// value that does not fit, so it is cheap on latent weights.
std::optional<TernaryMatrix> exact_ternary(const TensorView& tensor, ThreadPool& pool);

// What full-precision weights become in every forward pass of training, and so on load.
enum class LatentKind {
  kTernary,  // b1.58.
  kBinary,   // b1.
};
struct LatentQuantization {
  LatentKind kind = LatentKind::kTernary;
  ScaleKind scales = ScaleKind::kTensor;  // What the means are taken over.
  std::size_t group = 0;                  // Columns, for kGroup: a multiple of kTernaryField.
};

// Quantises latent weights. Over the matrix, each row, or each `group` consecutive columns of a row
// (the last group may be shorter), all in float32: s = mean|W|, clamped below at 1e-5, is the
// scale.
//   b1.58: digit = clamp(round_half_even(W * (1 / s)), -1, 1).
//   b1:    digit = sign(W - mean(W)), 0 where equal.
// Means are summed in float64: a group's or row's columns in order, then the rows in order, so that
// they depend on nothing else. Throws Error(kCorruptFile) naming tensor and row for a value that is
// not finite.
TernaryMatrix quantize_latent(const TensorView& tensor, const LatentQuantization& how,
                              ThreadPool& pool);

// b1.58 with one scale: what every released model was trained with.
TernaryMatrix absmean_quantize(const TensorView& tensor, ThreadPool& pool);

// Encodes one row of `in.size()` floats as F32, F16, BF16, Q8_0, Q6_K or Q4_0 into `out`, which
// holds dtype_bytes(type, 1, in.size()). F16 and BF16 round to nearest even; Q8_0 and Q4_0 give the
// bytes of GGML's reference quantiser; Q6_K searches its scales by least squares. Throws
// Error(kBadArgument) for another type or size and, in the block types, for a value that is not
// finite or too large for them.
void encode_row(DType type, std::span<const float> in, std::span<std::byte> out);

}  // namespace tern::quant
