// A matcher: one state of a lazy automaton.
#include "tern/grammar/matcher.h"

#include <string>
#include <utility>

#include "tern/base/utf8.h"

namespace tern::grammar {

Matcher::Matcher(std::shared_ptr<const Grammar> grammar)
    : automaton_(std::make_shared<Automaton>(std::move(grammar))), state_(automaton_->start()) {}

bool Matcher::accept(std::string_view bytes) {
  constexpr std::size_t kPart = 256;  // Bytes between two looks at how much has come together.
  Matcher ahead = *this;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % kPart == 0) ahead.tidy();
    ahead.automaton_->rest();
    ahead.state_ = ahead.automaton_->next(ahead.state_, static_cast<std::uint8_t>(bytes[i]));
    if (ahead.state_ == Automaton::kDead) return false;
  }
  *this = std::move(ahead);
  return true;
}

void Matcher::tidy() {
  if (!automaton_->crowded()) return;
  auto fresh = std::make_shared<Automaton>(automaton_->grammar());  // Copies keep the old one.
  state_ = fresh->adopt(*automaton_, state_);
  automaton_ = std::move(fresh);
}

bool Matcher::accept(char32_t code_point) {
  if (code_point > kMaxCodePoint || (code_point >= 0xD800 && code_point <= 0xDFFF)) return false;
  std::string bytes;
  append_utf8(bytes, code_point);
  return accept(bytes);
}

bool Matcher::accepts(std::string_view bytes) const {
  Matcher copy = *this;
  return copy.accept(bytes);
}

bool Matcher::can_end() const noexcept { return automaton_->can_end(state_); }
bool Matcher::can_go_on() const noexcept { return automaton_->can_go_on(state_); }

}  // namespace tern::grammar
