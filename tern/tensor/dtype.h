// The storage types of tensors and how many bytes a tensor of each takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tern {

enum class DType : std::uint8_t {
  // Plain numbers.
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
  // Blocks of quantised numbers, as GGUF stores them.
  kQ8_0,
  kQ6_K,
  kQ4_0,
  // Ternary (docs/formats/ternary.md).
  kTQ1_0,
  kTQ2_0,
  kI2S,     // The x86 layout.
  kI2SArm,  // The same type id, written by an ARM build.
  kI2S1x4,  // The same type id, four rows interleaved.
  kQ2_0G64,
  kQ2_0G128,
  kPTQ1_0,  // TQ1_0's code in groups of 128.
  kIQ1_BN,
  kIQ2_BN,
  kIQ2_BN_R4,
};

// "TQ2_0", "F16", ... as users and the formats spell it.
std::string_view dtype_name(DType type) noexcept;
std::optional<DType> dtype_by_name(std::string_view name) noexcept;  // Letter case is ignored.

bool is_ternary(DType type) noexcept;  // Holds weights of -s, 0, +s only, by its layout.

// Weights per block: a row must be a whole number of them. 1 for plain numbers.
std::uint64_t dtype_block(DType type) noexcept;

// Bytes of a tensor of `rows` rows of `cols` numbers, tails and per-tensor scales included (I2_S:
// cols * rows / 4 + 32). Nullopt where the shape does not fit the type (a row that is no whole
// number of blocks, rows that are no multiple of 4 in IQ2_BN_R4) or the size overflows 63 bits.
std::optional<std::uint64_t> dtype_bytes(DType type, std::uint64_t rows,
                                         std::uint64_t cols) noexcept;

}  // namespace tern
