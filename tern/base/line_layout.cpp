// Rows, cells, and steps through a text.
#include "tern/base/line_layout.h"

#include <algorithm>
#include <cctype>

#include "tern/base/char_width.h"
#include "tern/base/utf8.h"

namespace tern {
namespace {

constexpr std::size_t kFewestColumns = 4;  // Below, nothing sensible can be shown.
constexpr std::string_view kTab = "    ";

// The cells of rows, filled from left to right.
class Rows {
 public:
  explicit Rows(std::size_t columns) : columns_(columns), rows_(1) {}

  // `width` columns more, which stay together.
  void put(std::string_view bytes, std::size_t width) {
    if (column_ + width > columns_) {  // A wide character before the last column.
      rows_.back().bytes.append(columns_ - column_, ' ');
      wrap();
    }
    // What joins a character that filled its row belongs to that row.
    const bool joins_last_row = width == 0 && column_ == 0 && rows_.size() > 1;
    (joins_last_row ? rows_[rows_.size() - 2] : rows_.back()).bytes += bytes;
    column_ += width;
    if (column_ == columns_) wrap();
  }
  void new_line(std::size_t indent) {
    rows_.emplace_back();
    column_ = 0;
    put(std::string(indent, ' '), indent);
  }
  std::size_t row() const noexcept { return rows_.size() - 1; }
  std::size_t column() const noexcept { return column_; }
  std::vector<LayoutRow> take() { return std::move(rows_); }

 private:
  void wrap() {
    rows_.back().wrapped = true;
    rows_.emplace_back();
    column_ = 0;
  }

  std::size_t columns_, column_ = 0;
  std::vector<LayoutRow> rows_;
};

void put_char(Rows& rows, std::string_view bytes, const Utf8Char& c) {
  if (c.code_point == '\t') {
    for (const char& blank : kTab) rows.put({&blank, 1}, 1);
  } else if (c.code_point < 0x20 || c.code_point == 0x7F) {
    const char sign = static_cast<char>(c.code_point ^ 0x40);
    rows.put("^", 1);
    rows.put({&sign, 1}, 1);
  } else if (is_control(c.code_point) || !c.valid) {
    rows.put("\uFFFD", 1);
  } else {
    rows.put(bytes, static_cast<std::size_t>(char_width(c.code_point)));
  }
}

bool joins(std::string_view text, std::size_t at) noexcept {
  const Utf8Char c = next_char(text, at);
  return c.valid && !is_control(c.code_point) && char_width(c.code_point) == 0;
}

enum class WordClass { kSpace, kLetter, kSign, kHiragana, kKatakana, kIdeograph };

bool within(std::uint32_t c, std::uint32_t first, std::uint32_t last) noexcept {
  return first <= c && c <= last;
}

WordClass word_class(std::uint32_t c) noexcept {
  if (c == ' ' || c == 0xA0 || c == 0x3000 || is_control(c)) return WordClass::kSpace;
  if (c < 0x80) {
    return std::isalnum(static_cast<int>(c)) != 0 || c == '_' ? WordClass::kLetter
                                                              : WordClass::kSign;
  }
  if (within(c, 0x3041, 0x309F)) return WordClass::kHiragana;
  if (within(c, 0x30A1, 0x30FF) || within(c, 0xFF66, 0xFF9F)) return WordClass::kKatakana;
  if (within(c, 0x2010, 0x205E) || within(c, 0x3001, 0x3003) || within(c, 0x3008, 0x301F) ||
      within(c, 0xFF01, 0xFF0F) || within(c, 0xFF1A, 0xFF20) || within(c, 0xFF3B, 0xFF40) ||
      within(c, 0xFF5B, 0xFF65)) {
    return WordClass::kSign;
  }
  return char_width(c) == 2 ? WordClass::kIdeograph : WordClass::kLetter;
}

WordClass class_at(std::string_view text, std::size_t at) noexcept {
  return word_class(next_char(text, at).code_point);
}

}  // namespace

LineLayout lay_out(std::string_view prompt, std::string_view text, std::size_t cursor,
                   std::size_t columns) {
  columns = std::max(columns, kFewestColumns);
  const std::size_t indent = prompt.size() * 4 <= columns ? prompt.size() : 0;
  Rows rows(columns);
  for (const char& c : prompt) rows.put({&c, 1}, 1);
  LineLayout layout;
  const auto mark = [&] {
    layout.cursor_row = rows.row();
    layout.cursor_column = rows.column();
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = next_char(text, at);
    // A wide character that does not fit takes the cursor to the next row with it.
    if (at == cursor) mark();
    const std::size_t row = rows.row();
    if (c.code_point == '\n') {
      rows.new_line(indent);
    } else {
      put_char(rows, text.substr(at, c.size), c);
      if (at == cursor && c.valid && char_width(c.code_point) == 2 && rows.row() > row &&
          rows.column() == 2) {
        layout.cursor_row = rows.row();
        layout.cursor_column = 0;
      }
    }
    at += c.size;
  }
  if (cursor >= text.size()) mark();
  layout.rows = rows.take();
  return layout;
}

std::size_t next_place(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return text.size();
  at += next_char(text, at).size;
  while (at < text.size() && joins(text, at)) at += next_char(text, at).size;
  return at;
}

std::size_t previous_place(std::string_view text, std::size_t at) noexcept {
  while (at > 0) {
    --at;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!joins(text, at)) break;
  }
  return at;
}

std::size_t next_word(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && class_at(text, at) == WordClass::kSpace) at = next_place(text, at);
  if (at >= text.size()) return text.size();
  const WordClass kind = class_at(text, at);
  while (at < text.size() && class_at(text, at) == kind) at = next_place(text, at);
  return at;
}

std::size_t previous_word(std::string_view text, std::size_t at) noexcept {
  const auto before = [&] { return class_at(text, previous_place(text, at)); };
  while (at > 0 && before() == WordClass::kSpace) at = previous_place(text, at);
  if (at == 0) return 0;
  const WordClass kind = before();
  while (at > 0 && before() == kind) at = previous_place(text, at);
  return at;
}

}  // namespace tern
