// What the weights of a linear layer are in the forward pass: the one word that a baseline differs
// by.
#pragma once

#include <string_view>

namespace tern::train {

enum class WeightKind {
  kTernary,        // "b1.58": absmean, {-1, 0, +1}.
  kBinary,         // "b1": sign(W - mean).
  kFullPrecision,  // "fp": plain linear layers, activations not quantised.
};

std::string_view name(WeightKind kind) noexcept;  // "b1.58"

}  // namespace tern::train
