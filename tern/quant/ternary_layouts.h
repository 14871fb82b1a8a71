// How each ternary storage type lays out its codes and scales. Internal to tern/quant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/tensor/dtype.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::quant {

// A tensor whose size has been checked against its type and shape.
struct TernarySource {
  const std::uint8_t* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
};

// A code is weight + 1 (0, 1, 2); two-bit types can also hold 3, which is no weight.
struct TernaryCodec {
  DType type;
  ScaleKind scales;   // As the type stores them.
  std::size_t group;  // Columns per scale; 0 unless kGroup.
  // Writes the codes of one row; `codes` holds cols values.
  void (*read_codes)(const TernarySource& source, std::size_t row, std::uint8_t* codes);
  // The scale of one group of a row (group 0 unless kGroup).
  float (*read_scale)(const TernarySource& source, std::size_t row, std::size_t group);
  // Writes one row, given its codes and one scale per group of columns (TQ, Q2_0) or one (IQ2_BN);
  // null where tern does not write the type. I2_S keeps its one scale behind the last row.
  void (*write_row)(const std::uint8_t* codes, std::size_t cols, std::span<const float> scales,
                    std::uint8_t* out);
};

// Requires is_ternary(type).
const TernaryCodec& codec_of(DType type) noexcept;

// The digits of five codes in one byte and back, most significant first: byte = ceil(256 v / 243).
std::uint8_t pack_five(const std::uint8_t* codes) noexcept;
inline std::uint8_t digit_of_five(unsigned byte, unsigned power_of_three) noexcept {
  return static_cast<std::uint8_t>((((byte * power_of_three) & 0xff) * 3) >> 8);
}

}  // namespace tern::quant
