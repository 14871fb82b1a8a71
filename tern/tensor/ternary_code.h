// How ternary digits lie in the bytes of a TernaryMatrix: four or five to a byte.
//
// A code is digit + 1: {-1, 0, +1} becomes {0, 1, 2}.
//   kFourPerByte: code f in bits 2f, 2f + 1.
//   kFivePerByte: 243 of 256 values, arranged so that two 64-entry look-ups and masks decode it
//     (kernels/avx512vnni.cpp): of the codes c0..c4, q = c0 + 3 c1 + 9 c2 is below 27.
//     Ordinary: bits 6-7 hold c4 (0..2) and bits 0-5 a "slot", which stands for (c3, q). There are
//     81 such pairs and 64 slots: the slots of c3 are kSlots[c3] .., for the first q only.
//     Escaped (bits 6-7 are 3): the q that have no slot. Bits 0-5 then are a slot whose own pair
//     has the same c3, and which is different for each (c3, c4, q).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tern {

enum class TernaryLayout : std::uint8_t { kFourPerByte, kFivePerByte };

// Digits per byte.
constexpr std::size_t ternary_fields(TernaryLayout layout) noexcept {
  return layout == TernaryLayout::kFourPerByte ? 4 : 5;
}

namespace five_per_byte {

inline constexpr std::array<unsigned, 3> kFirstSlot{0, 21, 42};  // Of c3.
inline constexpr std::array<unsigned, 3> kEscaped{6, 6, 5};      // How many q of c3 have no slot.
inline constexpr unsigned kEscape = 3;                           // In the place of c4.

// The code fields c0..c3 in two bits each.
constexpr std::uint8_t quad(unsigned c3, unsigned q) noexcept {
  return static_cast<std::uint8_t>((q % 3) | (q / 3 % 3) << 2 | (q / 9) << 4 | c3 << 6);
}

constexpr std::uint8_t encode(unsigned c3, unsigned q, unsigned c4) noexcept {
  const unsigned ordinary = 27 - kEscaped[c3];
  return static_cast<std::uint8_t>(
      q < ordinary ? c4 << 6 | (kFirstSlot[c3] + q)
                   : kEscape << 6 | (kFirstSlot[c3] + c4 * kEscaped[c3] + q - ordinary));
}

// kEncode[c0 + 3 c1 + 9 c2 + 27 c3 + 81 c4].
inline constexpr auto kEncode = [] {
  std::array<std::uint8_t, 256> table{};
  for (unsigned i = 0; i < 243; ++i) table[i] = encode(i / 27 % 3, i % 27, i / 81);
  return table;
}();

// kDecode[byte]: code f in bits 2f, 2f + 1; 0xffff for the 13 bytes that stand for nothing.
inline constexpr auto kDecode = [] {
  std::array<std::uint16_t, 256> table{};
  for (auto& entry : table) entry = 0xffff;
  for (unsigned i = 0; i < 243; ++i) {
    table[kEncode[i]] = static_cast<std::uint16_t>(quad(i / 27 % 3, i % 27) | i / 81 << 8);
  }
  return table;
}();

}  // namespace five_per_byte

// Code `field` of a byte.
constexpr unsigned ternary_code(TernaryLayout layout, std::uint8_t byte,
                                std::size_t field) noexcept {
  const unsigned fields =
      layout == TernaryLayout::kFourPerByte ? byte : five_per_byte::kDecode[byte];
  return fields >> (2 * field) & 3;
}

}  // namespace tern
