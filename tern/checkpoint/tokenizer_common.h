// What the readers of tokenizer files share: the JSON files beside a vocabulary, and end tokens.
#pragma once

#include <string_view>

#include "tern/base/json.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// The files beside a vocabulary that say more about it; nullptr where there is none.
struct TokenizerSidecars {
  const Json* tokenizer_config = nullptr;
  const Json* special_tokens_map = nullptr;
  const Json* added_tokens = nullptr;  // added_tokens.json: {"<pad>": 32000}.
  const Json* generation_config = nullptr;
  const Json* config = nullptr;
};

// Adds what the sidecars say: added tokens, which tokens are BOS, EOS, UNK and PAD, whether BOS and
// EOS are put around a text, and the ids of merge_config_ids. Then calls add_known_ends. Throws
// Error(kCorruptFile) naming `name` where a sidecar contradicts the vocabulary.
void apply_sidecars(tokenizer::TokenizerData& data, const TokenizerSidecars& beside,
                    std::string_view name);

// `eos_token_id` (a number or a list) of a config.json or generation_config.json `config` joins
// data.end_ids, and becomes data.eos where that is missing; `bos_token_id` likewise data.bos. Ids
// outside the vocabulary are refused, naming `what`.
void merge_config_ids(tokenizer::TokenizerData& data, const Json& config, std::string_view what);

// Brings EOS and every control token that is known to end a text or a turn ("<|eot_id|>",
// "<|im_end|>", ...) into data.end_ids. Leaves out ids outside the vocabulary: Tokenizer refuses
// those.
void add_known_ends(tokenizer::TokenizerData& data);

bool is_known_end(std::string_view piece);  // By its spelling.

// The control, unknown and user-defined pieces of a SentencePiece vocabulary become added tokens.
void add_spm_tokens(tokenizer::TokenizerData& data);

// Adds one token, growing the vocabulary by it where `id` is just past its end (or a little
// further: the ids between become unused). Throws where the id has another piece already.
void add_token(tokenizer::TokenizerData& data, tokenizer::AddedToken token, std::string_view name);

}  // namespace tern::checkpoint
