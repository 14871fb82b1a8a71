// tokenizer.model, which is a SentencePiece model or tiktoken's list of ranks, to TokenizerData.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "tern/base/notice.h"
#include "tern/checkpoint/tokenizer_common.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// Told apart by content. SentencePiece: BPE models whose normaliser is "identity"; others are
// refused by name (Error(kUnsupported)). tiktoken: base64 and rank on each line, as Llama 3 has it:
// its 256 special tokens follow the ranks, and its pattern cuts the words. Anything else, and what
// is malformed: Error(kCorruptFile), naming `name`.
tokenizer::TokenizerData read_tokenizer_model(std::span<const std::byte> bytes,
                                              const TokenizerSidecars& beside,
                                              std::string_view name, const Notice& notice);

}  // namespace tern::checkpoint
