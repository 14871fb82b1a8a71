// One row per tensor type id.
#include "tern/formats/gguf_types.h"

#include <array>

namespace tern::formats {
namespace {

struct Row {
  std::uint32_t id;
  DType type;
};

constexpr std::array kRows{
    Row{0, DType::kF32},
    Row{1, DType::kF16},
    Row{2, DType::kQ4_0},
    Row{8, DType::kQ8_0},
    Row{14, DType::kQ6_K},
    Row{24, DType::kI8},
    Row{25, DType::kI16},
    Row{26, DType::kI32},
    Row{27, DType::kI64},
    Row{28, DType::kF64},
    Row{30, DType::kBF16},
    Row{34, DType::kTQ1_0},
    Row{35, DType::kTQ2_0},
    Row{134, DType::kIQ1_BN},
    Row{135, DType::kIQ2_BN},
    Row{335, DType::kIQ2_BN_R4},
    Row{kGgufPQ2_0, DType::kQ2_0G128},
    Row{kGgufPTQ1_0, DType::kPTQ1_0},
};

}  // namespace

std::optional<std::size_t> gguf_value_size(std::uint32_t type) noexcept {
  constexpr std::array<std::size_t, 13> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  if (type >= kSizes.size()) return std::nullopt;
  return kSizes[type];
}

std::optional<DType> dtype_of_gguf_id(std::uint32_t id) noexcept {
  for (const Row& row : kRows) {
    if (row.id == id) return row.type;
  }
  return std::nullopt;
}

std::string why_unknown_gguf_id(std::uint32_t id) {
  if (id == 38 || id == 39) {
    return "has type " + std::to_string(id) + " (" + (id == 38 ? "TL1" : "TL2") +
           " of bitnet.cpp), which is tiled for one build's kernels; convert the original model "
           "with I2_S instead";
  }
  return "has type " + std::to_string(id) +
         ", which tern does not read; expected F32, F16, BF16, F64, Q8_0, Q6_K, Q4_0, an integer "
         "type, TQ1_0, TQ2_0, I2_S, Q2_0, PTQ1_0, IQ1_BN, IQ2_BN or IQ2_BN_R4";
}

std::optional<std::uint32_t> gguf_id_of_dtype(DType type) noexcept {
  switch (type) {
    case DType::kI2S:
    case DType::kI2SArm:
    case DType::kI2S1x4:
      return kGgufI2S;
    case DType::kQ2_0G64:
    case DType::kQ2_0G128:
      return kGgufQ2_0OrTL2;
    default:
      break;
  }
  for (const Row& row : kRows) {
    if (row.type == type) return row.id;
  }
  return std::nullopt;
}

std::string quote_name(std::string_view name) {
  constexpr std::size_t kLongest = 80;
  std::string text = "'";
  for (const char c : name.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte >= 0x7f ? '?' : c;
  }
  return text + (name.size() > kLongest ? "...'" : "'");
}

}  // namespace tern::formats
