// A named tensor in somebody else's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tern/tensor/dtype.h"

namespace tern {

// `bytes` holds exactly dtype_bytes(type, rows(), cols()) bytes, little-endian, and lives as long
// as the file (or buffer) it was taken from. Not necessarily aligned.
struct TensorView {
  std::string name;
  DType type = DType::kF32;
  std::vector<std::uint64_t> shape;  // Outermost first: a matrix is {rows, cols}. Empty: a scalar.
  std::span<const std::byte> bytes;

  std::uint64_t cols() const noexcept { return shape.empty() ? 1 : shape.back(); }
  // All but the last dimension, multiplied. The readers have checked that this cannot overflow.
  std::uint64_t rows() const noexcept {
    std::uint64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
  std::uint64_t elements() const noexcept { return rows() * cols(); }
};

// "2560x6912", outermost first, for messages.
std::string shape_text(const std::vector<std::uint64_t>& shape);

}  // namespace tern
