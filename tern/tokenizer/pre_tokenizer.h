// Cuts a text into the words that BPE then works in, each on its own.
#pragma once

#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer_data.h"

namespace tern::tokenizer {

// The words of `text`, in order and without gaps: joined, they are the text. They are what the
// published patterns match (docs/tokenizers.md), found by hand-written scanners: a pattern such as
// `\s+(?!\S)` takes quadratic time in a backtracking matcher. Bytes that are no UTF-8 count as
// characters that are neither letter, number nor blank. Time is linear in the text.
std::vector<std::string_view> split_words(PreTokenizer pre, std::string_view text);

}  // namespace tern::tokenizer
