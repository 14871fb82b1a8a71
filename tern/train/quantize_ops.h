// The quantisers of a BitLinear as plain loops over rows, with the integers that the engine has.
//
// Both give values and scales apart: what is multiplied is values * scales. Values of an int8 row
// or a ternary matrix are whole numbers of at most 8 bits, so that bfloat16 holds them exactly and
// a product accumulated in float32 is an exact integer up to 2^24.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "tern/tensor/ternary_matrix.h"
#include "tern/train/weight_kind.h"

namespace tern::train {

// Weights of which kind, and how many share a scale.
struct WeightFormat {
  WeightKind kind = WeightKind::kTernary;
  ScaleKind scale = ScaleKind::kTensor;
  std::int64_t group = 0;  // Columns that share a scale, where `scale` is kGroup.
};

struct Scaled {
  torch::Tensor values;  // (rows, cols), of the type asked for.
  // float32; undefined where the values are already scaled: (rows, 1) for activations; for weights
  // () or (rows), undefined for groups.
  torch::Tensor scales;
};

// Rows of `x` (rows, cols; float32, contiguous) to int8 levels: scale = max(max|x|, 1e-5) / 127,
// level = clamp(round_half_even(x * (127 / max)), -128, 127). `type`: kFloat32 or kBFloat16.
// With 0 <= lambda < 1 the values are x + lambda * (level * scale - x), unscaled.
Scaled quantize_activations(const torch::Tensor& x, double lambda, torch::Dtype type);

// `w` (rows, cols; float32, contiguous) to digits and scales, as quant/weight_digits.h defines
// them. kFullPrecision returns `w` as it is. Groups in bfloat16 have scales rounded to it. With
// lambda < 1 the values are w + lambda * (digit * s - w).
Scaled quantize_weights(const torch::Tensor& w, const WeightFormat& format, double lambda,
                        torch::Dtype type);

// `m` (rows, cols) as `type`, times the scale of its row and of its column. `rows`: (rows, 1) or
// undefined; `cols`: () for all, (cols), or undefined. One pass where libtorch's operators take
// four.
torch::Tensor scaled(const torch::Tensor& m, const torch::Tensor& rows, const torch::Tensor& cols,
                     torch::Dtype type);

// Digits (rows, cols) int8, and their scales: 1, one per row, or one per group of columns, row by
// row. Not for kFullPrecision.
struct QuantizedWeights {
  torch::Tensor digits;
  std::vector<float> scales;
};
QuantizedWeights quantized_weights(const torch::Tensor& w, const WeightFormat& format);

}  // namespace tern::train
