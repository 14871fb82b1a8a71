// Checked rows of ternary tensors. Internal to tern/quant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/quant/ternary_layouts.h"
#include "tern/tensor/tensor_view.h"

namespace tern::quant {

// The tensor's bytes and shape, once they have been found to agree. Throws Error(kBadArgument) for
// a type that is not ternary and Error(kCorruptFile) where the bytes do not fit the shape.
TernarySource checked_source(const TensorView& tensor);

// Throws Error(kCorruptFile) naming tensor, row and column for a code 3.
void check_codes(std::span<const std::uint8_t> codes, const TensorView& tensor, std::size_t row);

// Whether a code stands for another weight than 0.
bool any_weight(std::span<const std::uint8_t> codes) noexcept;

// digits[i] = codes[i] - 1, checked.
void codes_to_digits(std::span<const std::uint8_t> codes, std::span<std::int8_t> digits,
                     const TensorView& tensor, std::size_t row);

// A stored scale. Throws Error(kCorruptFile) naming tensor and row where it is not finite.
float checked_scale(const TernaryCodec& codec, const TernarySource& source,
                    const TensorView& tensor, std::size_t row, std::size_t group);

}  // namespace tern::quant
