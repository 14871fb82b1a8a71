// The dtypes of safetensors that tern reads and writes. Internal to tern/formats.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/tensor/dtype.h"

namespace tern::formats {

// The limit of the reference implementation.
inline constexpr std::uint64_t kSafetensorsHeaderLimit = 100'000'000;

// Those of tern's types that the format has, under the same names.
inline constexpr std::array kSafetensorsTypes{DType::kF64, DType::kF32, DType::kF16, DType::kBF16,
                                              DType::kI64, DType::kI32, DType::kI16, DType::kI8,
                                              DType::kU8,  DType::kBool};

inline std::optional<DType> dtype_of_safetensors(std::string_view name) noexcept {
  for (const DType type : kSafetensorsTypes) {
    if (dtype_name(type) == name) return type;
  }
  return std::nullopt;
}

inline std::string safetensors_dtype_list() {
  std::string list;
  for (const DType type : kSafetensorsTypes) {
    list += (list.empty() ? "" : ", ") + std::string(dtype_name(type));
  }
  return list;
}

}  // namespace tern::formats
