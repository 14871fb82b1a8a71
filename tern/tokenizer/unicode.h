// The few Unicode properties that pre-tokenizers ask for, and NFC.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern::tokenizer {

enum class CharClass : std::uint8_t { kLetter, kNumber, kSpace, kOther };

// \p{L}, \p{N}, \s (the property White_Space) or anything else.
CharClass char_class(std::uint32_t code_point) noexcept;

bool is_punctuation(std::uint32_t code_point) noexcept;  // \p{P}

// Normalisation form C. Bytes that are no UTF-8 stay as they are and separate what is composed.
std::string to_nfc(std::string_view text);

}  // namespace tern::tokenizer
