// One row per storage type.
#include "tern/tensor/dtype.h"

#include <array>
#include <cctype>

namespace tern {
namespace {

struct Row {
  DType type;
  std::string_view name;
  std::uint32_t block;        // Weights per block.
  std::uint32_t block_bytes;  // Bytes per block.
  std::uint32_t row_bytes;    // Bytes in front of each row (a scale).
  std::uint32_t tail_bytes;   // Bytes after the whole tensor (a scale and padding).
  std::uint32_t row_multiple;
  bool ternary;
};

constexpr std::array kRows{
    Row{DType::kF64, "F64", 1, 8, 0, 0, 1, false},
    Row{DType::kF32, "F32", 1, 4, 0, 0, 1, false},
    Row{DType::kF16, "F16", 1, 2, 0, 0, 1, false},
    Row{DType::kBF16, "BF16", 1, 2, 0, 0, 1, false},
    Row{DType::kI64, "I64", 1, 8, 0, 0, 1, false},
    Row{DType::kI32, "I32", 1, 4, 0, 0, 1, false},
    Row{DType::kI16, "I16", 1, 2, 0, 0, 1, false},
    Row{DType::kI8, "I8", 1, 1, 0, 0, 1, false},
    Row{DType::kU8, "U8", 1, 1, 0, 0, 1, false},
    Row{DType::kBool, "BOOL", 1, 1, 0, 0, 1, false},
    Row{DType::kQ8_0, "Q8_0", 32, 34, 0, 0, 1, false},
    Row{DType::kQ6_K, "Q6_K", 256, 210, 0, 0, 1, false},
    Row{DType::kQ4_0, "Q4_0", 32, 18, 0, 0, 1, false},
    Row{DType::kTQ1_0, "TQ1_0", 256, 54, 0, 0, 1, true},
    Row{DType::kTQ2_0, "TQ2_0", 256, 66, 0, 0, 1, true},
    Row{DType::kI2S, "I2_S", 128, 32, 0, 32, 1, true},
    Row{DType::kI2SArm, "I2_S(arm)", 64, 16, 0, 32, 1, true},
    Row{DType::kI2S1x4, "I2_S(1x4)", 4, 1, 0, 32, 4, true},
    Row{DType::kQ2_0G64, "Q2_0(64)", 64, 18, 0, 0, 1, true},
    Row{DType::kQ2_0G128, "Q2_0(128)", 128, 34, 0, 0, 1, true},
    Row{DType::kPTQ1_0, "PTQ1_0", 128, 28, 0, 0, 1, true},
    Row{DType::kIQ1_BN, "IQ1_BN", 64, 13, 2, 0, 1, true},
    Row{DType::kIQ2_BN, "IQ2_BN", 64, 16, 4, 0, 1, true},
    Row{DType::kIQ2_BN_R4, "IQ2_BN_R4", 64, 16, 4, 0, 4, true},
};

const Row& row_of(DType type) noexcept {
  for (const Row& row : kRows) {
    if (row.type == type) return row;
  }
  return kRows[0];
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

}  // namespace

std::string_view dtype_name(DType type) noexcept { return row_of(type).name; }

std::optional<DType> dtype_by_name(std::string_view name) noexcept {
  for (const Row& row : kRows) {
    if (row.name.size() != name.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < name.size(); ++i) same &= lower(row.name[i]) == lower(name[i]);
    if (same) return row.type;
  }
  return std::nullopt;
}

bool is_ternary(DType type) noexcept { return row_of(type).ternary; }

std::uint64_t dtype_block(DType type) noexcept { return row_of(type).block; }

std::optional<std::uint64_t> dtype_bytes(DType type, std::uint64_t rows,
                                         std::uint64_t cols) noexcept {
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 63;
  const Row& row = row_of(type);
  if (cols % row.block != 0 || rows % row.row_multiple != 0) return std::nullopt;
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(cols / row.block, std::uint64_t{row.block_bytes}, &bytes) ||
      __builtin_add_overflow(bytes, std::uint64_t{row.row_bytes}, &bytes) ||
      __builtin_mul_overflow(bytes, rows, &bytes) ||
      __builtin_add_overflow(bytes, std::uint64_t{row.tail_bytes}, &bytes) || bytes >= kLimit) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace tern
