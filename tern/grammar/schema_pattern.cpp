// Regular expressions of JSON schema as grammars over JSON strings.
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/char_class.h"
#include "tern/grammar/schema_rules.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

constexpr std::size_t kMaxDepth = 24;  // Groups inside groups: each costs two levels of GBNF's.

std::string hex(std::uint32_t value, std::size_t digits) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 4) out[i] = kDigits[value & 15];
  return out;
}

// How JSON writes a character that it must escape; empty: it need not.
std::string json_escape(std::uint32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return c < 0x20 ? "\\u" + hex(c, 4) : "";
  }
}

std::string class_char(std::uint32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
    return std::string(1, static_cast<char>(c));
  }
  if (c < 0x100) return "\\x" + hex(c, 2);
  return c < 0x10000 ? "\\u" + hex(c, 4) : "\\U" + hex(c, 8);
}

CharClass join(const CharClass& a, const CharClass& b) {
  std::vector<CharRange> ranges = a.ranges();
  ranges.insert(ranges.end(), b.ranges().begin(), b.ranges().end());
  return CharClass(std::move(ranges));
}

// The classes of ECMA 262.
CharClass digits() { return CharClass({{'0', '9'}}); }
CharClass word_chars() { return CharClass({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}); }
CharClass spaces() {
  return CharClass({{0x09, 0x0D},
                    {0x20, 0x20},
                    {0xA0, 0xA0},
                    {0x1680, 0x1680},
                    {0x2000, 0x200A},
                    {0x2028, 0x2029},
                    {0x202F, 0x202F},
                    {0x205F, 0x205F},
                    {0x3000, 0x3000},
                    {0xFEFF, 0xFEFF}});
}
CharClass any_but_line_ends() {
  return CharClass({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement();
}

class PatternParser {
 public:
  PatternParser(std::string_view text, Rules& rules) : text_(text), rules_(rules) {}

  std::string parse() {
    // ^ and $ belong to their alternative; where one is missing, any characters may stand there.
    const std::string any = rules_.builtin("char") + "*";
    std::string out;
    for (;;) {
      const bool from_start = take('^');
      const std::string middle = parse_sequence(0);
      const bool to_end = take('$');
      out += (from_start ? "" : any + " ") + middle + (to_end ? "" : " " + any);
      if (at_end()) break;
      if (!take('|')) fail("'|' or the end behind '$'");
      out += " | ";
    }
    return R"("\"" ()" + out + R"() "\"")";
  }

 private:
  bool at_end() const noexcept { return at_ == text_.size(); }
  char peek(std::size_t ahead = 0) const noexcept {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool take(char c) noexcept {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string shown() const {
    if (at_end()) return "the end";
    return "'" + std::string(text_.substr(at_, next_char(text_, at_).size)) + "'";
  }
  std::string place() const {
    return "pattern, character " + std::to_string(valid_utf8_length(text_.substr(0, at_)) + 1) +
           ": ";
  }
  static std::size_t valid_utf8_length(std::string_view text) noexcept {
    std::size_t count = 0;
    for (const char c : text) count += (c & 0xC0) != 0x80;
    return count;
  }
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(ErrorCode::kBadArgument, place() + shown() + " found, expected " + expected);
  }
  [[noreturn]] void fail_unsupported(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported,
                place() + what + " found, expected characters, classes, groups, | and repetitions");
  }

  std::string parse_choice(std::size_t depth) {
    std::string out = parse_sequence(depth);
    while (take('|')) out += " | " + parse_sequence(depth);
    return out;
  }

  std::string parse_sequence(std::size_t depth) {
    std::string out;
    while (!at_end() && peek() != '|' && peek() != ')') {
      if (peek() == '$' && depth == 0) break;
      const std::string atom = parse_atom(depth);
      out += (out.empty() ? "" : " ") + atom + parse_quantifier();
    }
    if (depth == 0 && peek() == ')' && !at_end()) fail("a '(' before it");
    return out.empty() ? "\"\"" : out;
  }

  std::string parse_atom(std::size_t depth) {
    const char c = peek();
    if (c == '(') return parse_group(depth);
    if (c == '[') return class_text(parse_class());
    if (c == '^' || c == '$') fail_unsupported("an anchor inside of the pattern");
    if (c == '*' || c == '+' || c == '?' || c == '{') fail("something to repeat");
    if (c == '.') {
      ++at_;
      return class_text(any_but_line_ends());
    }
    if (c == '\\') {
      ++at_;
      const Escape escape = parse_escape(false);
      return escape.chars ? class_text(*escape.chars) : char_text(escape.code_point);
    }
    return char_text(parse_plain());
  }

  std::string parse_group(std::size_t depth) {
    if (depth == kMaxDepth) {
      throw Error(ErrorCode::kLimit,
                  place() + "groups nested deeper than " + std::to_string(kMaxDepth) + " found");
    }
    ++at_;
    if (peek() == '?') {
      const bool named = peek(1) == '<' && peek(2) != '=' && peek(2) != '!';
      if (peek(1) != ':' && !named) fail_unsupported("a look-around or flag '(?'");
      at_ += 2;
      if (named) {
        while (!at_end() && !take('>')) ++at_;
      }
    }
    const std::string inside = parse_choice(depth + 1);
    if (!take(')')) fail("')'");
    return "(" + inside + ")";
  }

  std::string parse_quantifier() {
    std::string out;
    if (take('*')) {
      out = "*";
    } else if (take('+')) {
      out = "+";
    } else if (take('?')) {
      out = "?";
    } else if (peek() == '{') {
      ++at_;
      const std::uint64_t min = parse_number();
      std::uint64_t max = min;
      if (take(',')) max = peek() == '}' ? kUnbounded : parse_number();
      if (!take('}')) fail("'}'");
      if (max < min) fail("a maximum of at least the minimum before it");
      out = gbnf_repeat(min, max);
    }
    if (!out.empty()) take('?');  // Lazy: the texts are the same.
    return out;
  }
  std::uint64_t parse_number() {
    if (peek() < '0' || peek() > '9') fail("a number of repetitions");
    std::uint64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint64_t>(peek() - '0');
      if (value > kMaxRepeat) fail("at most " + std::to_string(kMaxRepeat) + " repetitions");
    }
    return value;
  }

  std::uint32_t parse_plain() {
    const Utf8Char c = next_char(text_, at_);
    if (!c.valid) fail("UTF-8");
    at_ += c.size;
    return c.code_point;
  }

  struct Escape {
    std::optional<CharClass> chars;  // \d and its like; else one character.
    std::uint32_t code_point = 0;
  };

  // What stands behind a backslash.
  Escape parse_escape(bool in_class) {
    if (at_end()) fail("an escaped character");
    const char c = text_[at_];
    const auto set = [&](CharClass chars) {
      ++at_;
      return Escape{std::move(chars), 0};
    };
    const auto one = [&](std::uint32_t code_point) {
      ++at_;
      return Escape{std::nullopt, code_point};
    };
    switch (c) {
      case 'd':
        return set(digits());
      case 'D':
        return set(digits().complement());
      case 'w':
        return set(word_chars());
      case 'W':
        return set(word_chars().complement());
      case 's':
        return set(spaces());
      case 'S':
        return set(spaces().complement());
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        ++at_;
        return Escape{std::nullopt, parse_hex(2)};
      case 'u':
        ++at_;
        return Escape{std::nullopt, parse_hex(4)};
      default:
        break;
    }
    if (in_class && c == 'b') return one('\b');
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) fail_unsupported(std::string("the escape '\\") + c + "'");
    return Escape{std::nullopt, parse_plain()};
  }
  std::uint32_t parse_hex(std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i, ++at_) {
      const char c = peek();
      const bool digit = c >= '0' && c <= '9';
      const char lower = static_cast<char>(c | 0x20);
      if (!digit && (lower < 'a' || lower > 'f')) fail("a hexadecimal digit");
      value = value << 4 | static_cast<std::uint32_t>(digit ? c - '0' : lower - 'a' + 10);
    }
    if (value >= 0xD800 && value <= 0xDFFF) fail_unsupported("half a surrogate pair");
    return value;
  }

  CharClass parse_class() {
    ++at_;
    const bool negated = take('^');
    CharClass chars;
    while (peek() != ']') {
      if (at_end()) fail("']'");
      const Escape low = parse_class_member();
      if (low.chars) {
        chars = join(chars, *low.chars);
        continue;
      }
      std::uint32_t high = low.code_point;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        const Escape end = parse_class_member();
        if (end.chars || end.code_point < high) fail("the end of a range of characters before it");
        high = end.code_point;
      }
      chars = join(chars, CharClass({{low.code_point, high}}));
    }
    ++at_;
    return negated ? chars.complement() : chars;
  }
  Escape parse_class_member() {
    if (take('\\')) return parse_escape(true);
    if (at_end()) fail("']'");
    return Escape{std::nullopt, parse_plain()};
  }

  static std::string char_text(std::uint32_t c) {
    std::string text = json_escape(c);
    if (text.empty()) append_utf8(text, c);
    return gbnf_literal(text);
  }

  // A class over the characters of a JSON string: some of them are written as escapes.
  std::string class_text(const CharClass& chars) {
    if (chars.empty()) fail("a class with characters before it");
    std::string escapes;
    for (std::uint32_t c = 0; c < 128; ++c) {
      const std::string escape = json_escape(c);
      if (!escape.empty() && chars.has(c)) escapes += " | " + gbnf_literal(escape);
    }
    std::string plain;
    const CharClass unescaped = without_escaped(chars);
    for (const CharRange& range : unescaped.ranges()) {
      plain += class_char(range.low);
      if (range.high > range.low) plain += "-" + class_char(range.high);
    }
    if (!plain.empty()) plain = "[" + plain + "]";
    if (escapes.empty()) return plain;
    if (plain.empty()) escapes.erase(0, 3);
    return rules_.add("chars", plain + escapes);
  }
  static CharClass without_escaped(const CharClass& chars) {
    const CharClass escaped({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
    // Not (not a, or b) is a without b.
    return join(chars.complement(), escaped).complement();
  }

  std::string_view text_;
  Rules& rules_;
  std::size_t at_ = 0;
};

}  // namespace

std::string string_pattern(std::string_view pattern, Rules& rules) {
  return PatternParser(pattern, rules).parse();
}

}  // namespace tern::grammar
