// Rules of a grammar that is being written, and the ones that every JSON grammar needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tern::grammar {

// An expression is GBNF that may stand in a sequence and be repeated: a name, a literal, a class or
// something in parentheses.
class Rules {
 public:
  Rules();

  // The name of a rule with this body; equal bodies are one rule. `hint` becomes part of the name.
  // Throws Error(kLimit) where the grammar grows too large.
  std::string add(std::string_view hint, const std::string& body);
  // A name now, its body later: for what names itself.
  std::string reserve(std::string_view hint);
  void define(const std::string& name, const std::string& body);
  // A rule of the table in schema_rules.cpp, with those it names: ws, string, integer, value, ...
  std::string builtin(std::string_view name);

  std::string text() const;  // All rules, one a line, root first.

 private:
  std::string fresh_name(std::string_view hint);
  void put(const std::string& name, const std::string& body);

  std::vector<std::pair<std::string, std::string>> rules_;
  std::map<std::string, std::string> by_body_;
  std::set<std::string, std::less<>> names_, builtins_;
  std::map<std::string, std::size_t> next_number_;
  std::size_t bytes_ = 0;
};

// `text` as a literal: quoted and escaped.
std::string gbnf_literal(std::string_view text);
// "{2,5}", "*", "?", ...; max kUnbounded: no limit. Beyond kMaxRepeat max is lowered; throws
// Error(kLimit) for such a min.
std::string gbnf_repeat(std::uint64_t min, std::uint64_t max);

// JSON whole numbers from `low` to `high`, and numbers between the bounds, as expressions. A bound
// that is not there is replaced by a number of 16 digits (of 19, where the other bound has more).
struct IntegerBounds {
  std::int64_t low = 0, high = 0;
  bool has_low = false, has_high = false;
  bool low_exclusive = false, high_exclusive = false;  // For number_between() alone.
};
// Requires low <= high where both are there.
std::string integer_between(const IntegerBounds& bounds);
std::string number_between(const IntegerBounds& bounds);

// A JSON string of this format ("date", "uuid", ...), with its quotes; empty: not known.
std::string string_format(std::string_view format);
// The names that string_format() knows, for errors.
std::string string_format_names();

// A JSON string that `pattern` (ECMA 262, without look-around and back references) matches, with
// its quotes. Throws Error(kUnsupported / kBadArgument) that says where.
std::string string_pattern(std::string_view pattern, Rules& rules);

}  // namespace tern::grammar
