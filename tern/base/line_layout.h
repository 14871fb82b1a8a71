// Where an edited text stands on a terminal: rows, wrapped at its width, and the cursor.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

struct LayoutRow {
  std::string bytes;     // What to write: no control characters, at most the terminal's width.
  bool wrapped = false;  // It is full, and its line goes on in the next row.
};

// A row that is full is always followed by another, so that the cursor has a place after its last
// character. Lines after the first begin under the text, not under the prompt.
struct LineLayout {
  std::vector<LayoutRow> rows;  // At least one.
  std::size_t cursor_row = 0, cursor_column = 0;
};

// `prompt`: printable ASCII. `text`: UTF-8 whose line feeds begin new lines; a tab shows as blanks,
// another control character as ^X. `cursor`: a byte offset. `columns`: of the terminal.
LineLayout lay_out(std::string_view prompt, std::string_view text, std::size_t cursor,
                   std::size_t columns);

// The end of the character at `at` with all that joins it (combining marks), and the beginning of
// the one that ends at `at`: where a cursor may stand. Byte offsets.
std::size_t next_place(std::string_view text, std::size_t at) noexcept;
std::size_t previous_place(std::string_view text, std::size_t at) noexcept;

// The other end of the word beside `at`: blanks, then one run of letters, signs, hiragana, katakana
// or ideographs. Byte offsets.
std::size_t next_word(std::string_view text, std::size_t at) noexcept;
std::size_t previous_word(std::string_view text, std::size_t at) noexcept;

}  // namespace tern
