// Metadata values as numbers, text and arrays.
#include <bit>
#include <cstring>
#include <limits>

#include "tern/formats/gguf.h"
#include "tern/formats/gguf_types.h"

namespace tern::formats {
namespace {

template <typename T>
T load(const std::byte* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// An integer of any GGUF type, kept with its sign.
struct Integer {
  std::uint64_t bits;
  bool negative;
};

Integer from_signed(std::int64_t value) noexcept {
  return {static_cast<std::uint64_t>(value), value < 0};
}

bool is_integer(GgufType type) noexcept {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64:
      return true;
    default:
      return false;
  }
}

std::size_t size_of(GgufType type) noexcept {
  return gguf_value_size(static_cast<std::uint32_t>(type)).value_or(0);
}

// Requires is_integer(type) and size_of(type) bytes at p.
Integer integer_at(GgufType type, const std::byte* p) noexcept {
  switch (type) {
    case GgufType::kU8:
      return {load<std::uint8_t>(p), false};
    case GgufType::kU16:
      return {load<std::uint16_t>(p), false};
    case GgufType::kU32:
      return {load<std::uint32_t>(p), false};
    case GgufType::kI8:
      return from_signed(load<std::int8_t>(p));
    case GgufType::kI16:
      return from_signed(load<std::int16_t>(p));
    case GgufType::kI32:
      return from_signed(load<std::int32_t>(p));
    case GgufType::kI64:
      return from_signed(load<std::int64_t>(p));
    default:
      return {load<std::uint64_t>(p), false};
  }
}

// Whether `value` is an array whose bytes hold `count` elements of `size` bytes.
bool holds_array(const GgufValue& value, std::size_t size) noexcept {
  return value.type == GgufType::kArray && size != 0 && value.raw.size() / size == value.count &&
         value.raw.size() % size == 0;
}

}  // namespace

std::optional<std::uint64_t> GgufValue::as_uint() const {
  if (!is_integer(type) || raw.size() != size_of(type)) return std::nullopt;
  const Integer value = integer_at(type, raw.data());
  if (value.negative) return std::nullopt;
  return value.bits;
}

std::optional<double> GgufValue::as_number() const {
  if (raw.size() != size_of(type)) return std::nullopt;
  if (type == GgufType::kF32) return load<float>(raw.data());
  if (type == GgufType::kF64) return load<double>(raw.data());
  if (!is_integer(type)) return std::nullopt;
  const Integer value = integer_at(type, raw.data());
  if (value.negative) return static_cast<double>(std::bit_cast<std::int64_t>(value.bits));
  return static_cast<double>(value.bits);
}

std::optional<bool> GgufValue::as_bool() const {
  if (type != GgufType::kBool || raw.size() != 1) return std::nullopt;
  return raw[0] != std::byte{0};
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type != GgufType::kString || raw.size() < 8 ||
      load<std::uint64_t>(raw.data()) != raw.size() - 8) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char*>(raw.data()) + 8, raw.size() - 8);
}

std::optional<std::vector<std::string_view>> GgufValue::as_strings() const {
  if (type != GgufType::kArray || element != GgufType::kString || count > raw.size() / 8) {
    return std::nullopt;
  }
  std::vector<std::string_view> strings;
  strings.reserve(static_cast<std::size_t>(count));
  std::span<const std::byte> left = raw;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (left.size() < 8) return std::nullopt;
    const auto length = load<std::uint64_t>(left.data());
    if (length > left.size() - 8) return std::nullopt;
    const auto n = static_cast<std::size_t>(length);
    strings.emplace_back(reinterpret_cast<const char*>(left.data()) + 8, n);
    left = left.subspan(8 + n);
  }
  return strings;
}

std::optional<std::vector<float>> GgufValue::as_floats() const {
  const bool wide = element == GgufType::kF64;
  if ((!wide && element != GgufType::kF32) || !holds_array(*this, wide ? 8 : 4)) {
    return std::nullopt;
  }
  std::vector<float> floats(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < floats.size(); ++i) {
    floats[i] = wide ? static_cast<float>(load<double>(raw.data() + 8 * i))
                     : load<float>(raw.data() + 4 * i);
  }
  return floats;
}

std::optional<std::vector<std::int64_t>> GgufValue::as_integers() const {
  const std::size_t size = size_of(element);
  if (!is_integer(element) || !holds_array(*this, size)) return std::nullopt;
  std::vector<std::int64_t> integers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < integers.size(); ++i) {
    const Integer value = integer_at(element, raw.data() + size * i);
    if (!value.negative && value.bits > std::numeric_limits<std::int64_t>::max()) {
      return std::nullopt;
    }
    integers[i] = std::bit_cast<std::int64_t>(value.bits);
  }
  return integers;
}

}  // namespace tern::formats
