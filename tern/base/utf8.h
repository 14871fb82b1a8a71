// UTF-8, one character at a time, over bytes that may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern {

struct Utf8Char {
  std::uint32_t code_point = 0;  // U+FFFD where `valid` is false.
  std::uint32_t size = 0;  // Bytes taken: a character, or a maximal broken part (1 to 3 bytes).
  bool valid = false;
  bool cut_off = false;  // The text ends inside what could still become a character.
};

// What may follow a lead byte: how many bytes, and the range of the first of them (the others are
// 80..BF). The narrowed ranges keep out overlong forms, surrogates and everything past U+10FFFF.
struct Utf8Lead {
  std::uint32_t following = 0;  // 0: no lead byte at all.
  unsigned char low = 0x80, high = 0xBF;
};
Utf8Lead utf8_lead(unsigned char byte) noexcept;

// The character that begins at `at` < text.size(). What is broken is cut as WHATWG decodes it.
Utf8Char next_char(std::string_view text, std::size_t at) noexcept;

// Appends one code point; requires a Unicode scalar value.
void append_utf8(std::string& text, std::uint32_t code_point);

// The text with every invalid UTF-8 sequence replaced by U+FFFD (WHATWG's maximal subparts).
std::string valid_utf8(std::string_view bytes);

}  // namespace tern
