// Cuts a template into tokens as Jinja2's lexer does.
#include "tern/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Line ends become \n, and one at the very end is dropped.
std::string with_plain_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name)
      : text_(with_plain_lines(valid_utf8(source))), name_(name) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const std::size_t tag = next_tag();
      if (tag == std::string::npos) {
        push_text(text_.substr(at_));
        break;
      }
      read_tag(tag);
    }
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(ErrorCode code, const std::string& what) const {
    throw Error(code, name_ + ": line " + std::to_string(line_) + ": " + what);
  }
  [[noreturn]] void broken(const std::string& what) const { fail(ErrorCode::kCorruptFile, what); }

  void push(TokenKind kind, std::string text) {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text), .number = {}});
  }
  void push_text(std::string text) {
    if (!text.empty()) push(TokenKind::kText, std::move(text));
  }
  // Moves to `end`, counting lines.
  void advance(std::size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    line_start_ = end > at_ && text_[end - 1] == '\n';
    at_ = end;
  }
  bool at(std::size_t place, std::string_view what) const {
    return std::string_view(text_).substr(std::min(place, text_.size())).starts_with(what);
  }
  std::size_t after_blanks(std::size_t place) const {
    return text_.size() - lstrip(std::string_view(text_).substr(place)).size();
  }

  std::size_t next_tag() const {
    for (std::size_t i = text_.find('{', at_); i != std::string::npos; i = text_.find('{', i + 1)) {
      if (at(i, "{{") || at(i, "{%") || at(i, "{#")) return i;
    }
    return std::string::npos;
  }

  // The text before a tag, with what its sign (or lstrip_blocks) takes away.
  std::string before_tag(std::string_view text, char sign, bool is_output) const {
    if (sign == '-') return std::string(rstrip(text));
    if (sign != '+' && !is_output) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
      if ((begin > 0 || line_start_) && is_blank(text.substr(begin))) {
        return std::string(text.substr(0, begin));
      }
    }
    return std::string(text);
  }

  void read_tag(std::size_t tag) {
    const char kind = text_[tag + 1];
    std::size_t inside = tag + 2;
    char sign = 0;
    if (inside < text_.size() && (text_[inside] == '-' || text_[inside] == '+')) {
      sign = text_[inside++];
    }
    push_text(before_tag(std::string_view(text_).substr(at_, tag - at_), sign, kind == '{'));
    if (kind == '%') {
      if (const std::size_t end = raw_begin_end(inside)) {
        advance(end);
        read_raw();
        return;
      }
    }
    advance(inside);
    if (kind == '#') {
      skip_comment();
    } else {
      push(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
      read_code(kind == '{');
    }
  }

  // Where `raw %}` that begins at `place` ends, else 0.
  std::size_t raw_begin_end(std::size_t place) const {
    place = after_blanks(place);
    if (!at(place, "raw")) return 0;
    place = after_blanks(place + 3);
    if (at(place, "-%}")) return after_blanks(place + 3);
    return at(place, "%}") ? place + 2 : 0;
  }

  // Where a block's or comment's end (`%}` or `#}`, with its sign) at `place` ends, else 0.
  std::size_t tag_end(std::size_t place, std::string_view close) const {
    if (at(place, "-") && at(place + 1, close)) return after_blanks(place + 3);
    if (at(place, "+") && at(place + 1, close)) return place + 3;
    if (!at(place, close)) return 0;
    return place + 2 + (at(place + 2, "\n") ? 1 : 0);  // trim_blocks
  }

  void skip_comment() {
    for (std::size_t i = at_; i < text_.size(); ++i) {
      if (const std::size_t end = tag_end(i, "#}")) {
        advance(end);
        return;
      }
    }
    broken("a comment that begins here has no end '#}'");
  }

  void read_raw() {
    for (std::size_t i = text_.find("{%", at_); i != std::string::npos;
         i = text_.find("{%", i + 1)) {
      std::size_t place = i + 2;
      char sign = 0;
      if (at(place, "-") || at(place, "+")) sign = text_[place++];
      place = after_blanks(place);
      if (!at(place, "endraw")) continue;
      const std::size_t end = tag_end(after_blanks(place + 6), "%}");
      if (end == 0) continue;
      push_text(before_tag(std::string_view(text_).substr(at_, i - at_), sign, false));
      advance(end);
      return;
    }
    broken("a raw block that begins here has no end '{% endraw %}'");
  }

  void read_code(bool is_output) {
    std::string open;  // Brackets that wait for their end.
    while (true) {
      if (open.empty()) {
        std::size_t end = is_output ? 0 : tag_end(at_, "%}");
        if (is_output && at(at_, "-}}")) end = after_blanks(at_ + 3);
        if (is_output && at(at_, "}}")) end = at_ + 2;
        if (end != 0) {
          push(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "");
          advance(end);
          return;
        }
      }
      if (at_ == text_.size()) {
        broken(std::string("the template ends inside '") + (is_output ? "{{" : "{%") + "'");
      }
      const std::size_t blanks = after_blanks(at_);
      if (blanks > at_) {
        advance(blanks);
      } else if (is_digit(text_[at_])) {
        read_number();
      } else if (is_word(text_[at_])) {
        std::size_t end = at_;
        while (end < text_.size() && is_word(text_[end])) ++end;
        push(TokenKind::kName, text_.substr(at_, end - at_));
        advance(end);
      } else if (text_[at_] == '\'' || text_[at_] == '"') {
        read_string();
      } else {
        read_operator(open);
      }
    }
  }

  void read_operator(std::string& open) {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kOne = "+-*/%~[](){}<>=.:|,;";
    std::string found;
    for (const std::string_view two : kTwo) {
      if (at(at_, two)) found = two;
    }
    if (found.empty() && kOne.find(text_[at_]) != std::string_view::npos) found = text_[at_];
    if (found.empty()) {
      const Utf8Char c = next_char(text_, at_);
      const std::string shown = text_.substr(at_, c.size);
      if (c.code_point >= 0x80) {
        fail(ErrorCode::kUnsupported, "'" + shown + "' in a name: names are ASCII here");
      }
      broken("unexpected character '" + shown + "'");
    }
    if (found == "(" || found == "[" || found == "{") {
      open += found == "(" ? ')' : found == "[" ? ']' : '}';
    } else if (found == ")" || found == "]" || found == "}") {
      if (open.empty()) broken("unexpected '" + found + "'");
      if (open.back() != found[0]) {
        broken("unexpected '" + found + "', expected '" + open.back() + "'");
      }
      open.pop_back();
    }
    push(TokenKind::kOperator, found);
    advance(at_ + found.size());
  }

  // Digits that single underscores may part; the end.
  std::size_t digits_end(std::size_t place) const {
    while (place < text_.size() &&
           (is_digit(text_[place]) || (text_[place] == '_' && place + 1 < text_.size() &&
                                       is_digit(text_[place + 1]) && is_digit(text_[place - 1])))) {
      ++place;
    }
    return place;
  }

  void read_number() {
    const std::size_t whole = digits_end(at_);
    std::size_t end = whole;
    if (at_ == 0 || text_[at_ - 1] != '.') {
      if (at(end, ".") && end + 1 < text_.size() && is_digit(text_[end + 1])) {
        end = digits_end(end + 1);
      }
      if (at(end, "e") || at(end, "E")) {
        const std::size_t sign = end + (at(end + 1, "-") || at(end + 1, "+") ? 2 : 1);
        if (sign < text_.size() && is_digit(text_[sign])) end = digits_end(sign);
      }
    }
    if (end == whole && text_[at_] == '0') end = zero_end();
    const std::string digits = text_.substr(at_, end - at_);
    Token token{.kind = TokenKind::kNumber, .line = line_, .text = digits, .number = {}};
    try {
      token.number = end > whole ? Value::number(parse_float(digits).value_or(0))
                                 : Value::integer(parse_int(digits).value_or(0));
    } catch (const Error& e) {
      fail(e.code(), e.what());
    }
    tokens_.push_back(std::move(token));
    advance(end);
  }

  // A decimal literal that begins with 0 is only zeros; 0x, 0o and 0b are not known.
  std::size_t zero_end() const {
    if (at_ + 1 < text_.size() &&
        std::string_view("xXoObB").find(text_[at_ + 1]) != std::string_view::npos) {
      fail(ErrorCode::kUnsupported, "a number that is not decimal is not known");
    }
    std::size_t end = at_ + 1;
    while (end < text_.size() && (text_[end] == '0' || (text_[end] == '_' && at(end + 1, "0")))) {
      ++end;
    }
    return end;
  }

  void read_string() {
    const char quote = text_[at_];
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) broken("a string that begins here has no end");
    push(TokenKind::kString, unescaped(std::string_view(text_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  std::string unescaped(std::string_view raw) const {
    std::string out;
    for (std::size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\') {
        out += raw[i++];
        continue;
      }
      const char c = raw[i + 1];  // There is one: the literal does not end in a lone backslash.
      static constexpr std::string_view kLetters = "\\'\"abfnrtv";
      static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
      if (const std::size_t letter = kLetters.find(c); letter != std::string_view::npos) {
        out += kMeanings[letter];
        i += 2;
      } else if (c == '\n') {
        i += 2;
      } else if (c >= '0' && c <= '7') {
        std::size_t size = 1;
        while (size < 3 && i + 1 + size < raw.size() && raw[i + 1 + size] >= '0' &&
               raw[i + 1 + size] <= '7') {
          ++size;
        }
        append_code(out, raw.substr(i + 1, size), 8);
        i += 1 + size;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const std::size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (raw.size() - i - 2 < size) broken(std::string("the escape '\\") + c + "' is cut off");
        append_code(out, raw.substr(i + 2, size), 16);
        i += 2 + size;
      } else if (c == 'N' || static_cast<unsigned char>(c) >= 0x80) {
        fail(ErrorCode::kUnsupported, c == 'N' ? "the escape '\\N' is not known"
                                               : "a backslash before a letter beyond ASCII");
      } else {
        out += '\\';
        ++i;
      }
    }
    return out;
  }

  void append_code(std::string& out, std::string_view digits, int base) const {
    std::uint32_t code = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || code > 0x10FFFF) {
      broken("the escape of '" + std::string(digits) + "' is no character");
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
      fail(ErrorCode::kUnsupported, "the escape of a surrogate, which UTF-8 cannot hold");
    }
    append_utf8(out, code);
  }

  std::string text_;
  std::string name_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, std::string_view name) {
  return Lexer(source, name).run();
}

}  // namespace tern::jinja
