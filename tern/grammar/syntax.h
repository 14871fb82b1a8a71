// The syntax tree of a GBNF grammar: what the parser makes and the compiler reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tern/grammar/char_class.h"

namespace tern::grammar {

inline constexpr std::uint32_t kUnbounded = UINT32_MAX;

// Limits of one grammar. A grammar comes with a request: none of them may cost much.
inline constexpr std::size_t kMaxGrammarBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxRules = 1 << 16;
inline constexpr std::size_t kMaxElements = 1 << 18;  // Characters, classes, references, groups.
inline constexpr std::uint32_t kMaxRepeat = 100000;   // The numbers of {m,n}.
inline constexpr std::size_t kMaxGroupDepth = 64;     // Parentheses inside parentheses.

struct SyntaxNode {
  enum class Kind : std::uint8_t {
    kClass,     // One character of classes[index].
    kRule,      // rules[index].
    kSequence,  // The children, one after another; none: the empty text.
    kChoice,    // One of the children.
    kRepeat,    // The only child, min to max times (kUnbounded: no limit).
  };
  Kind kind = Kind::kSequence;
  std::uint32_t index = 0;
  std::uint32_t min = 0, max = 0;
  std::vector<SyntaxNode> children;
};

struct SyntaxRule {
  std::string name;
  std::size_t at = 0;  // The byte of the grammar where it was first named.
  bool defined = false;
  SyntaxNode body;
};

struct Syntax {
  std::vector<SyntaxRule> rules;   // In the order of their first naming.
  std::vector<CharClass> classes;  // Each once.
  std::uint32_t root = 0;          // The rule named "root".
};

// "grammar: line 3, column 7: " of a byte of the text; columns count characters.
std::string place_in(std::string_view text, std::size_t at);

// GBNF, llama.cpp's notation (docs/grammar.md). Throws Error(kBadArgument) with line and column,
// what was found and what was expected, also for a rule that is named and not defined, or defined
// twice; Error(kLimit) beyond the limits above.
Syntax parse_gbnf(std::string_view text);

}  // namespace tern::grammar
