// Widths by binary search.
#include "tern/base/char_width.h"

#include <algorithm>

#include "tern/base/utf8.h"

namespace tern {

int char_width(std::uint32_t code_point) noexcept {
  const auto range = std::ranges::lower_bound(kCharWidths, code_point, {}, &CharWidthRange::last);
  return range != kCharWidths.end() && range->first <= code_point ? range->width : 1;
}

bool is_control(std::uint32_t code_point) noexcept {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
}

std::string terminal_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = next_char(text, at);
    const bool kept = c.code_point == '\n' || c.code_point == '\t' || !is_control(c.code_point);
    append_utf8(out, kept ? c.code_point : 0xFFFD);
    at += c.size;
  }
  return out;
}

}  // namespace tern
