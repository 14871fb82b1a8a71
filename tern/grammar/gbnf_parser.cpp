// GBNF text to a syntax tree.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_name_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}
std::optional<std::uint32_t> hex_digit(char c) noexcept {
  if (is_digit(c)) return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Syntax parse() {
    if (text_.size() > kMaxGrammarBytes) {
      throw Error(ErrorCode::kLimit, "grammar: " + std::to_string(text_.size()) +
                                         " bytes found, expected at most " +
                                         std::to_string(kMaxGrammarBytes));
    }
    skip_space(true);
    while (!at_end()) parse_rule();
    for (const SyntaxRule& rule : syntax_.rules) {
      if (!rule.defined) {
        throw Error(ErrorCode::kBadArgument,
                    place_in(text_, rule.at) + "rule '" + rule.name +
                        "' found, which is not defined, expected a line '" + rule.name +
                        " ::= ...'");
      }
    }
    const auto root = rule_numbers_.find("root");
    if (root == rule_numbers_.end()) {
      throw Error(ErrorCode::kBadArgument,
                  "grammar: no rule 'root' found, expected one: it is where a text begins");
    }
    syntax_.root = root->second;
    return std::move(syntax_);
  }

 private:
  bool at_end() const noexcept { return at_ == text_.size(); }
  char peek(std::size_t ahead = 0) const noexcept {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  std::string shown(std::size_t at) const {
    if (at >= text_.size()) return "the end of the grammar";
    if (text_[at] == '\n' || text_[at] == '\r') return "the end of the line";
    const Utf8Char c = next_char(text_, at);
    if (!c.valid) return "a byte that is not UTF-8";
    return "'" + std::string(text_.substr(at, c.size)) + "'";
  }
  [[noreturn]] void fail_at(std::size_t at, const std::string& expected) const {
    throw Error(ErrorCode::kBadArgument,
                place_in(text_, at) + shown(at) + " found, expected " + expected);
  }
  [[noreturn]] void fail(const std::string& expected) const { fail_at(at_, expected); }
  [[noreturn]] void fail_limit(const std::string& what, std::size_t limit) const {
    throw Error(ErrorCode::kLimit, place_in(text_, at_) + "more " + what +
                                       " than the limit found, expected at most " +
                                       std::to_string(limit));
  }

  void skip_space(bool newlines) {
    for (;; ++at_) {
      if (peek() == '#') {
        while (!at_end() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
      }
      if (at_end()) return;
      const char c = text_[at_];
      if (c != ' ' && c != '\t' && !(newlines && (c == '\n' || c == '\r'))) return;
    }
  }

  std::uint32_t class_number(CharClass&& chars) {
    const auto next = static_cast<std::uint32_t>(syntax_.classes.size());
    const auto [it, fresh] = class_numbers_.emplace(std::move(chars), next);
    if (fresh) syntax_.classes.push_back(it->first);
    return it->second;
  }
  std::uint32_t rule_number(const std::string& name, std::size_t at) {
    const auto next = static_cast<std::uint32_t>(syntax_.rules.size());
    const auto [it, fresh] = rule_numbers_.emplace(name, next);
    if (fresh) {
      if (next == kMaxRules) fail_limit("rules", kMaxRules);
      syntax_.rules.push_back({name, at, false, {}});
    }
    return it->second;
  }
  SyntaxNode element(SyntaxNode::Kind kind, std::uint32_t index = 0) {
    if (++elements_ > kMaxElements) fail_limit("elements", kMaxElements);
    SyntaxNode node;
    node.kind = kind;
    node.index = index;
    return node;
  }

  std::string parse_name() {
    const std::size_t begin = at_;
    while (is_name_char(peek())) ++at_;
    if (at_ == begin) fail("the name of a rule (letters, digits, - and _)");
    return std::string(text_.substr(begin, at_ - begin));
  }

  void parse_rule() {
    const std::size_t begin = at_;
    const std::uint32_t number = rule_number(parse_name(), begin);
    skip_space(false);
    if (text_.substr(at_, 3) != "::=") fail("'::='");
    if (syntax_.rules[number].defined) {
      fail_at(begin, "each rule defined once ('" + syntax_.rules[number].name + "' already is)");
    }
    at_ += 3;
    skip_space(true);
    SyntaxNode body = parse_choice(0);
    if (!at_end() && text_[at_] != '\n' && text_[at_] != '\r') {
      fail("an element, '|' or the end of the line");
    }
    syntax_.rules[number].body = std::move(body);
    syntax_.rules[number].defined = true;
    skip_space(true);
  }

  SyntaxNode parse_choice(std::size_t depth) {
    SyntaxNode first = parse_sequence(depth);
    if (peek() != '|') return first;
    SyntaxNode choice = element(SyntaxNode::Kind::kChoice);
    choice.children.push_back(std::move(first));
    while (peek() == '|') {
      ++at_;
      skip_space(true);
      choice.children.push_back(parse_sequence(depth));
    }
    return choice;
  }

  SyntaxNode parse_sequence(std::size_t depth) {
    SyntaxNode sequence = element(SyntaxNode::Kind::kSequence);
    bool repeatable = false;  // A repetition may follow here.
    for (;; skip_space(depth > 0)) {
      const char c = peek();
      if (c == '"') {
        sequence.children.push_back(parse_literal());
      } else if (c == '[') {
        sequence.children.push_back(parse_class());
      } else if (c == '.') {
        ++at_;
        sequence.children.push_back(
            element(SyntaxNode::Kind::kClass, class_number(CharClass().complement())));
      } else if (c == '(') {
        sequence.children.push_back(parse_group(depth));
      } else if (is_name_char(c)) {
        const std::size_t begin = at_;
        const std::uint32_t number = rule_number(parse_name(), begin);
        sequence.children.push_back(element(SyntaxNode::Kind::kRule, number));
      } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (!repeatable) fail("an element before a repetition");
        repeatable = false;
        parse_repetition(sequence.children.back(), depth > 0);
        continue;
      } else {
        return sequence;
      }
      repeatable = true;
    }
  }

  SyntaxNode parse_group(std::size_t depth) {
    if (depth == kMaxGroupDepth) fail_limit("nested parentheses", kMaxGroupDepth);
    ++at_;
    skip_space(true);
    SyntaxNode group = parse_choice(depth + 1);
    if (peek() != ')') fail("an element, '|' or ')'");
    ++at_;
    return group;
  }

  // One character of a literal or class, escapes resolved.
  std::uint32_t parse_char() {
    if (at_end()) fail("a character");
    if (text_[at_] != '\\') {
      const Utf8Char c = next_char(text_, at_);
      if (!c.valid) fail("UTF-8");
      at_ += c.size;
      return c.code_point;
    }
    const std::size_t begin = at_++;
    const char kind = peek();
    ++at_;
    switch (kind) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case '\\':
      case '"':
      case '[':
      case ']':
        return static_cast<unsigned char>(kind);
      case 'x':
        return parse_hex(2, begin);
      case 'u':
        return parse_hex(4, begin);
      case 'U':
        return parse_hex(8, begin);
      default:
        fail_at(begin, R"(one of the escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH)");
    }
  }
  std::uint32_t parse_hex(int digits, std::size_t begin) {
    std::uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const std::optional<std::uint32_t> digit = hex_digit(peek());
      if (!digit) fail(std::to_string(digits) + " hexadecimal digits");
      value = value << 4 | *digit;
    }
    if (value > kMaxCodePoint) fail_at(begin, "a code point of at most 10FFFF");
    return value;
  }

  SyntaxNode parse_literal() {
    const std::size_t begin = at_++;
    SyntaxNode literal = element(SyntaxNode::Kind::kSequence);
    while (peek() != '"') {
      if (at_end()) fail_at(begin, "a literal that ends with '\"'");
      const std::size_t char_begin = at_;
      const std::uint32_t c = parse_char();
      if (c >= 0xD800 && c <= 0xDFFF) fail_at(char_begin, "a character, not half a surrogate pair");
      literal.children.push_back(
          element(SyntaxNode::Kind::kClass, class_number(CharClass({{c, c}}))));
    }
    ++at_;
    return literal;
  }

  SyntaxNode parse_class() {
    const std::size_t begin = at_++;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<CharRange> ranges;
    while (peek() != ']') {
      if (at_end()) fail_at(begin, "a character class that ends with ']'");
      const std::size_t range_begin = at_;
      const std::uint32_t low = parse_char();
      std::uint32_t high = low;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        high = parse_char();
      }
      if (high < low) fail_at(range_begin, "a range from the lower to the higher character");
      if (++elements_ > kMaxElements) fail_limit("elements", kMaxElements);
      ranges.push_back({low, high});
    }
    if (ranges.empty()) fail("a character in the class");
    ++at_;
    CharClass chars(std::move(ranges));
    if (negated) chars = chars.complement();
    return element(SyntaxNode::Kind::kClass, class_number(std::move(chars)));
  }

  void parse_repetition(SyntaxNode& last, bool newlines) {
    SyntaxNode repeat = element(SyntaxNode::Kind::kRepeat);
    const char kind = text_[at_++];
    repeat.min = kind == '+' ? 1 : 0;
    repeat.max = kind == '?' ? 1 : kUnbounded;
    if (kind == '{') {
      skip_space(newlines);
      repeat.min = repeat.max = parse_count();
      skip_space(newlines);
      if (peek() == ',') {
        ++at_;
        skip_space(newlines);
        repeat.max = kUnbounded;
        const std::size_t begin = at_;
        if (is_digit(peek())) repeat.max = parse_count();
        if (repeat.max < repeat.min) fail_at(begin, "at least " + std::to_string(repeat.min));
        skip_space(newlines);
      }
      if (peek() != '}') fail("'}'");
      ++at_;
    }
    repeat.children.push_back(std::move(last));
    last = std::move(repeat);
  }
  std::uint32_t parse_count() {
    if (!is_digit(peek())) fail("a number of repetitions");
    std::uint32_t count = 0;
    for (; is_digit(peek()); ++at_) {
      count = count * 10 + static_cast<std::uint32_t>(text_[at_] - '0');
      if (count > kMaxRepeat) fail_limit("repetitions", kMaxRepeat);
    }
    return count;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t elements_ = 0;
  Syntax syntax_;
  std::map<CharClass, std::uint32_t> class_numbers_;
  std::map<std::string, std::uint32_t> rule_numbers_;
};

}  // namespace

std::string place_in(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0.
  const auto line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1;
  std::size_t column = 1;
  for (const char c : before.substr(line_begin)) column += (c & 0xC0) != 0x80;
  return "grammar: line " + std::to_string(line) + ", column " + std::to_string(column) + ": ";
}

Syntax parse_gbnf(std::string_view text) { return Parser(text).parse(); }

}  // namespace tern::grammar
