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

// b1.58's weight quantisation: s = mean|W| over the whole matrix, clamped below at 1e-5; digit =
// clamp(round_half_even(W / s), -1, 1), as W * (1 / s) in float32, as the reference computes it
// (METHOD: 1/clamp(mean)). The mean is summed in float64, row by row in order, so that it depends
// on nothing else. Throws Error(kCorruptFile) naming tensor and row for a value that is not finite.
TernaryMatrix absmean_quantize(const TensorView& tensor, ThreadPool& pool);

// Encodes one row of `in.size()` floats as F32, F16, BF16, Q8_0, Q6_K or Q4_0 into `out`, which
// holds dtype_bytes(type, 1, in.size()). F16 and BF16 round to nearest even; Q8_0 and Q4_0 give the
// bytes of GGML's reference quantiser; Q6_K searches its scales by least squares. Throws
// Error(kBadArgument) for another type or size and, in the block types, for a value that is not
// finite or too large for them.
void encode_row(DType type, std::span<const float> in, std::span<std::byte> out);

}  // namespace tern::quant
