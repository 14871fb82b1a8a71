// For tests of the engine: a tiny model and a tokenizer whose texts show their ids.
#pragma once

#include <string>

#include "tern/checkpoint/checkpoint.h"
#include "tern/model/model.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

// One piece per id: "<unk>", "<s>", "</s>", then "A", "B", ...
inline tokenizer::TokenizerData letters(std::size_t vocab) {
  tokenizer::TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.pieces = {"<unk>", "<s>", "</s>"};
  data.types = {tokenizer::TokenType::kUnknown, tokenizer::TokenType::kControl,
                tokenizer::TokenType::kControl};
  while (data.pieces.size() < vocab) {
    data.pieces.push_back(std::string(1, static_cast<char>('A' + data.pieces.size() - 3)));
    data.types.push_back(tokenizer::TokenType::kNormal);
  }
  data.scores.assign(vocab, 0);
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.end_ids = {2};
  return data;
}

}  // namespace tern::engine
