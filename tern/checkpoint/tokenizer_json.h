// Hugging Face's tokenizer.json, and GPT-2's pair of vocabulary and merges, to TokenizerData.
#pragma once

#include <string_view>

#include "tern/base/json.h"
#include "tern/base/notice.h"
#include "tern/checkpoint/tokenizer_common.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// Reads BPE models: byte-level with a pre-tokenizer that tern knows, or SentencePiece's form with
// byte fallback. Throws Error(kUnsupported) naming `name` and the part (model type, normalizer,
// pre-tokenizer) that tern does not know, Error(kCorruptFile) for what is malformed.
tokenizer::TokenizerData read_tokenizer_json(const Json& tokenizer_json,
                                             const TokenizerSidecars& beside, std::string_view name,
                                             const Notice& notice);

// `vocab`: vocab.json or encoder.json ({"piece": id}); `merges`: merges.txt or vocab.bpe, one merge
// a line. The pattern is GPT-2's unless tokenizer_config names Qwen2's class.
tokenizer::TokenizerData read_vocab_and_merges(const Json& vocab, std::string_view merges,
                                               const TokenizerSidecars& beside,
                                               std::string_view name, const Notice& notice);

}  // namespace tern::checkpoint
