// The ids that a model is given for a text: the one rule of `tern run`, `score` and the C
// interface.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer.h"

namespace tern::tokenizer {

// Ids of a text as the model's files want it: BOS in front where they say so. Where that leaves no
// token at all, BOS alone, or EOS where the vocabulary has no BOS; throws Error(kUnsupported) where
// it has neither. `parse_special` as in Tokenizer::encode.
std::vector<std::uint32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text,
                                         bool parse_special = true);

}  // namespace tern::tokenizer
