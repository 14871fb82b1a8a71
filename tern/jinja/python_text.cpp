// Python's str over UTF-8.
#include "tern/jinja/python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/jinja/text_tables.h"

namespace tern::jinja {
namespace {

void append_case(std::string& out, const CaseTable& table, std::uint32_t code_point) {
  const auto whole = std::ranges::lower_bound(table.longs, code_point, {}, &LongCase::code_point);
  if (whole != table.longs.end() && whole->code_point == code_point) {
    out += whole->text;
    return;
  }
  const auto run = std::ranges::lower_bound(table.runs, code_point, {}, &CaseRun::last);
  const bool inside = run != table.runs.end() && run->first <= code_point &&
                      (code_point - run->first) % run->stride == 0;
  append_utf8(
      out, inside ? static_cast<std::uint32_t>(static_cast<std::int64_t>(code_point) + run->delta)
                  : code_point);
}

bool has_case(const CaseTable& table, std::uint32_t code_point) {
  std::string changed;
  std::string same;
  append_case(changed, table, code_point);
  append_utf8(same, code_point);
  if (changed != same) return true;
  const auto run = std::ranges::lower_bound(table.runs, code_point, {}, &CaseRun::last);
  return run != table.runs.end() && run->first <= code_point && run->delta == 0;
}

std::uint32_t lowered(std::uint32_t code_point) {
  if (code_point == 0x3A3) {
    throw Error(ErrorCode::kUnsupported,
                "lower case of the letter sigma (U+03A3) depends on its word, which is not known");
  }
  return code_point;
}

// The character that ends at `end` > 0.
Utf8Char char_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) {
    --begin;
  }
  const Utf8Char found = next_char(text.substr(0, end), begin);
  if (begin + found.size == end) return found;
  return {.code_point = 0xFFFD, .size = 1};
}

bool is_one_of(const std::optional<std::string>& chars, std::uint32_t code_point) {
  if (!chars) return is_space(code_point);
  for (std::size_t i = 0; i < chars->size();) {
    const Utf8Char c = next_char(*chars, i);
    if (c.code_point == code_point) return true;
    i += c.size;
  }
  return false;
}

bool is_hidden(std::uint32_t code_point) {
  const auto run = std::ranges::lower_bound(kHiddenTable, code_point, {}, &HiddenRun::last);
  return run != kHiddenTable.end() && run->first <= code_point;
}

void append_hex(std::string& out, std::uint32_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[(value >> shift) & 15];
  }
}

bool ends_line(std::uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::vector<std::string> split_blanks(std::string_view text, std::int64_t limit) {
  std::vector<std::string> words;
  text = lstrip(text);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<std::int64_t>(words.size()) == limit) {
      words.emplace_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const Utf8Char c = next_char(text, end);
      if (is_space(c.code_point)) break;
      end += c.size;
    }
    words.emplace_back(text.substr(0, end));
    text = lstrip(text.substr(end));
  }
  return words;
}

std::vector<std::string> rsplit_blanks(std::string_view text, std::int64_t limit) {
  std::vector<std::string> words;
  text = rstrip(text);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<std::int64_t>(words.size()) == limit) {
      words.emplace_back(text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      const Utf8Char c = char_before(text, begin);
      if (is_space(c.code_point)) break;
      begin -= c.size;
    }
    words.emplace_back(text.substr(begin));
    text = rstrip(text.substr(0, begin));
  }
  std::ranges::reverse(words);
  return words;
}

// Digits with single underscores between them, from `at`; nullopt where there are none.
std::optional<std::string> digits_at(std::string_view text, std::size_t& at) {
  std::string digits;
  while (at < text.size()) {
    if (text[at] >= '0' && text[at] <= '9') {
      digits += text[at++];
    } else if (text[at] == '_' && !digits.empty() && at + 1 < text.size() && text[at + 1] >= '0' &&
               text[at + 1] <= '9') {
      ++at;
    } else {
      break;
    }
  }
  if (digits.empty()) return std::nullopt;
  return digits;
}

}  // namespace

bool is_space(std::uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_blank(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    if (!is_space(c.code_point)) return false;
    i += c.size;
  }
  return true;
}

std::size_t code_points(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t byte_of(std::string_view text, std::size_t index) noexcept {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
    if (index == 0) break;
    --index;
  }
  return at;
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    all.emplace_back(text.substr(i, c.size));
    i += c.size;
  }
  return all;
}

std::string_view lstrip(std::string_view text, const std::optional<std::string>& chars) {
  while (!text.empty()) {
    const Utf8Char c = next_char(text, 0);
    if (!is_one_of(chars, c.code_point)) break;
    text.remove_prefix(c.size);
  }
  return text;
}

std::string_view rstrip(std::string_view text, const std::optional<std::string>& chars) {
  while (!text.empty()) {
    const Utf8Char c = char_before(text, text.size());
    if (!is_one_of(chars, c.code_point)) break;
    text.remove_suffix(c.size);
  }
  return text;
}

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t limit) {
  if (!separator) return split_blanks(text, limit);
  std::vector<std::string> parts;
  while (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) {
    const std::size_t at = text.find(*separator);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  parts.emplace_back(text);
  return parts;
}

std::vector<std::string> rsplit(std::string_view text, const std::optional<std::string>& separator,
                                std::int64_t limit) {
  if (!separator) return rsplit_blanks(text, limit);
  std::vector<std::string> parts;
  while (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) {
    const std::size_t at = text.rfind(*separator);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(at + separator->size()));
    text = text.substr(0, at);
  }
  parts.emplace_back(text);
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string> splitlines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    if (!ends_line(c.code_point)) {
      i += c.size;
      continue;
    }
    const std::size_t size = text.substr(i, 2) == "\r\n" ? 2 : c.size;
    lines.emplace_back(text.substr(begin, i - begin + (keep_ends ? size : 0)));
    i += size;
    begin = i;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t limit) {
  std::string out;
  if (from.empty()) {  // Before each character and at the end.
    for (std::size_t i = 0; i <= text.size() && limit != 0; --limit) {
      out += to;
      if (i == text.size()) return out;
      const std::size_t size = next_char(text, i).size;
      out += text.substr(i, size);
      text.remove_prefix(i + size);
      i = 0;
    }
    return out + std::string(text);
  }
  for (; limit != 0; --limit) {
    const std::size_t at = text.find(from);
    if (at == std::string_view::npos) break;
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
  }
  return out + std::string(text);
}

std::string to_upper(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    append_case(out, kUpperTable, c.code_point);
    i += c.size;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    append_case(out, kLowerTable, lowered(c.code_point));
    i += c.size;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const Utf8Char first = next_char(text, 0);
  std::string out;
  const bool own_title = has_case(kTitleTable, first.code_point);
  append_case(out, own_title ? kTitleTable : kUpperTable, first.code_point);
  return out + to_lower(text.substr(first.size));
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto made =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view shown(buffer, static_cast<std::size_t>(made.ptr - buffer));
  const std::size_t e = shown.find('e');
  int exponent = 0;
  const std::size_t digits_of_exponent = e + (shown[e + 1] == '+' ? 2 : 1);
  std::from_chars(shown.data() + digits_of_exponent, shown.data() + shown.size(), exponent);
  const std::string sign = shown[0] == '-' ? "-" : "";
  std::string digits;
  for (const char c : shown.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < -4 || exponent >= 16) {
    const std::string tail = std::to_string(std::abs(exponent));
    return sign + digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") + "e" +
           (exponent < 0 ? "-" : "+") + (tail.size() < 2 ? "0" : "") + tail;
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  }
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string text_repr(std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    const std::uint32_t code = c.code_point;
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    } else if (is_hidden(code)) {
      const int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
      out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
      append_hex(out, code, digits);
    } else {
      append_utf8(out, code);
    }
    i += c.size;
  }
  return out + quote;
}

std::string json_string(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    const std::uint32_t code = c.code_point;
    static constexpr std::string_view kNamed = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kNames = "\"\\nrtfb";
    const std::size_t named =
        code < 0x80 ? kNamed.find(static_cast<char>(code)) : std::string_view::npos;
    if (named != std::string_view::npos) {
      out += '\\';
      out += kNames[named];
    } else if (code < 0x20 || (ensure_ascii && code > 0x7E)) {
      const bool pair = code > 0xFFFF;
      out += "\\u";
      append_hex(out, pair ? 0xD800 + ((code - 0x10000) >> 10) : code, 4);
      if (pair) {
        out += "\\u";
        append_hex(out, 0xDC00 + ((code - 0x10000) & 0x3FF), 4);
      }
    } else {
      append_utf8(out, code);
    }
    i += c.size;
  }
  return out + "\"";
}

std::optional<std::int64_t> parse_int(std::string_view text) {
  text = rstrip(lstrip(text));
  std::size_t at = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++at;
  const auto digits = digits_at(text, at);
  if (!digits || at != text.size()) return std::nullopt;
  const std::string number = (negative ? "-" : "") + *digits;
  std::int64_t value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  if (read.ec != std::errc()) {
    throw Error(ErrorCode::kUnsupported, "the whole number " + number.substr(0, 40) +
                                             " is beyond 64 bits, which templates cannot hold");
  }
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  text = rstrip(lstrip(text));
  std::size_t at = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++at;
  std::string word;
  for (const char c : text.substr(at)) {
    word += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  if (word == "inf" || word == "infinity") return negative ? -HUGE_VAL : HUGE_VAL;
  if (word == "nan") return std::nan("");
  std::string number = negative ? "-" : "";
  const auto whole = digits_at(text, at);
  std::optional<std::string> part;
  if (whole) number += *whole;
  if (at < text.size() && text[at] == '.') {
    part = digits_at(text, ++at);
    if (part) number += (whole ? "." : "0.") + *part;
  }
  if (!whole && !part) return std::nullopt;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    number += 'e';
    if (++at < text.size() && (text[at] == '-' || text[at] == '+')) number += text[at++];
    const auto exponent = digits_at(text, at);
    if (!exponent) return std::nullopt;
    number += *exponent;
  }
  if (at != text.size()) return std::nullopt;
  return std::strtod(number.c_str(), nullptr);
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace tern::jinja
