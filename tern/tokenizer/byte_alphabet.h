// GPT-2's printable alphabet: one visible character for each of the 256 bytes, so that a vocabulary
// of byte strings can be written as text ("Ġhello" is " hello").
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tern::tokenizer {

std::string to_printable(std::string_view bytes);

// The bytes of a piece; nullopt where it holds a character that is not in the alphabet.
std::optional<std::string> from_printable(std::string_view piece);

}  // namespace tern::tokenizer
