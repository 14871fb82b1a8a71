// How many columns of a terminal a character takes, and which characters a terminal may be shown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tern {

// 0 for what joins the character before it (combining marks, joiners, format characters), 2 for
// what Unicode's East_Asian_Width calls wide or full-width, else 1. Ambiguous characters are 1.
// Control characters have no width of their own: 1, for the sign that stands for them.
int char_width(std::uint32_t code_point) noexcept;

// U+0000 to U+001F, U+007F, U+0080 to U+009F: what makes a terminal do something.
bool is_control(std::uint32_t code_point) noexcept;

// UTF-8 text for a terminal: every control character but line feed and tab becomes U+FFFD, so that
// a text can neither move the cursor nor set the terminal up. Broken UTF-8 becomes U+FFFD too.
std::string terminal_text(std::string_view text);

// The table behind char_width(): ranges that are not 1 wide, in order, from U+0080.
struct CharWidthRange {
  std::uint32_t first, last;
  int width;
};
extern const std::span<const CharWidthRange> kCharWidths;  // char_width_table.cpp

}  // namespace tern
