// A grammar, a zero byte, and a text: the text in one part and byte by byte gives the same, or a
// tern::Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/matcher.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = input.find('\0');
  const std::string_view text = cut == input.npos ? "" : input.substr(cut + 1);
  try {
    const auto grammar = tern::grammar::make_grammar(input.substr(0, cut));
    const tern::grammar::Matcher start(grammar);
    if (!start.can_end() && !start.can_go_on()) __builtin_trap();  // A grammar has some text.
    tern::grammar::Matcher matcher = start;
    std::size_t taken = 0;
    while (taken < text.size() && matcher.accept(text.substr(taken, 1))) {
      ++taken;
      // No state is a dead end.
      if (!matcher.can_end() && !matcher.can_go_on()) __builtin_trap();
    }
    tern::grammar::Matcher whole = start;
    if (whole.accept(text) != (taken == text.size())) __builtin_trap();
    if (taken == text.size() && whole.can_end() != matcher.can_end()) __builtin_trap();
    // What may be a whole text is UTF-8.
    const std::string_view read = text.substr(0, taken);
    if (matcher.can_end() && tern::valid_utf8(read) != read) __builtin_trap();
  } catch (const tern::Error&) {
  }
  return 0;
}
