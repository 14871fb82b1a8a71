// The numbers that GGUF gives to value and tensor types. Internal to tern/formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/formats/gguf.h"
#include "tern/tensor/dtype.h"

namespace tern::formats {

inline constexpr std::uint32_t kGgufI2S = 36;
inline constexpr std::uint32_t kGgufQ2_0OrTL2 = 42;
// PrismML's private numbers; older ik_llama.cpp files give them to IQ2_TN and IQ1_TN.
inline constexpr std::uint32_t kGgufPQ2_0 = 142;
inline constexpr std::uint32_t kGgufPTQ1_0 = 143;
inline constexpr std::uint64_t kGgufDefaultAlignment = 32;
inline constexpr std::uint32_t kGgufMaxDims = 4;

// Bytes of one value: 0 for strings and arrays, whose length varies; nullopt for an unknown number.
std::optional<std::size_t> gguf_value_size(std::uint32_t type) noexcept;

// The storage type of a tensor type id that has one layout here (neither 36 nor 42).
std::optional<DType> dtype_of_gguf_id(std::uint32_t id) noexcept;
// Why an id that is no known type cannot be read: the end of a sentence about the tensor.
std::string why_unknown_gguf_id(std::uint32_t id);
// The id to write; nullopt where GGUF has none (U8, BOOL).
std::optional<std::uint32_t> gguf_id_of_dtype(DType type) noexcept;

// A name from a file, fit for one line of a message: quoted, shortened, unprintable bytes as '?'.
std::string quote_name(std::string_view name);

}  // namespace tern::formats
