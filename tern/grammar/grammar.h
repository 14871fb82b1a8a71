// A grammar, compiled: the set of texts that constrained decoding may write.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tern/grammar/char_class.h"

namespace tern::grammar {

// The compiled form is a program over a stack of places to return to, as a recognizer of regular
// expressions would have it with calls added (grammar/automaton.h runs it).
enum class Op : std::uint8_t {
  kChar,    // One character of classes[target], then the next instruction.
  kCall,    // The rule at target; it returns to the next instruction.
  kReturn,  // The end of a rule, or of a repeated body.
  kJump,    // On to target.
  kSplit,   // The next instruction, or target.
  kRepeat,  // The body that begins at the next instruction and ends with kReturn, min to max times
            // (kUnbounded: no limit); then on to target.
};

struct Instruction {
  Op op = Op::kReturn;
  bool nullable = false;  // kRepeat: its body can be the empty text.
  std::uint32_t target = 0;
  std::uint32_t min = 0, max = 0;
};

// Const after construction and then shared by threads.
class Grammar {
 public:
  // Parses and compiles GBNF. Throws what parse_gbnf() throws, and Error(kBadArgument) for left
  // recursion and for a rule that root reaches and that no text can ever end.
  explicit Grammar(std::string_view gbnf);

  const std::vector<Instruction>& code() const noexcept { return code_; }
  const std::vector<CharClass>& classes() const noexcept { return classes_; }
  static constexpr std::uint32_t kStart = 0;  // Where rule root begins in code().

 private:
  std::vector<Instruction> code_;
  std::vector<CharClass> classes_;
};

std::shared_ptr<const Grammar> make_grammar(std::string_view gbnf);

}  // namespace tern::grammar
