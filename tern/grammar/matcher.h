// A text against a grammar, as far as the text has come.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "tern/grammar/automaton.h"
#include "tern/grammar/grammar.h"

namespace tern::grammar {

// Copies are cheap and independent of each other, but share what was computed: a matcher and its
// copies belong to one thread. Every call throws Error(kLimit) beyond the limits of automaton.h.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<const Grammar> grammar);

  // Takes bytes (which may end inside of a character), or nothing at all: false where the grammar
  // has no text that goes on so.
  bool accept(std::string_view bytes);
  bool accept(char32_t code_point);
  // What accept() would say.
  bool accepts(std::string_view bytes) const;

  bool can_end() const noexcept;    // The text so far is whole.
  bool can_go_on() const noexcept;  // Something may follow it.

  // For those who walk many continuations at once. Valid until the next accept().
  const std::shared_ptr<Automaton>& automaton() const noexcept { return automaton_; }
  Automaton::State state() const noexcept { return state_; }

 private:
  void tidy();

  std::shared_ptr<Automaton> automaton_;
  Automaton::State state_;
};

}  // namespace tern::grammar
