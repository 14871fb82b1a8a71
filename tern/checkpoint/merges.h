// The three ways in which files give the order of BPE's merges, each from another.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

using Merges = std::vector<std::pair<std::string, std::string>>;

// Merges of a SentencePiece vocabulary: every way to cut a normal piece into two pieces, by falling
// score of the whole, then by the ids of the parts.
Merges merges_of_scores(const tokenizer::TokenizerData& data);
// Merges of a tiktoken vocabulary: the same, by rising id of the whole.
Merges merges_of_ranks(const tokenizer::TokenizerData& data);
// Scores of a SentencePiece vocabulary given as merges: minus the place of a piece among the pieces
// in the order of their first merge; pieces that no merge makes get the lowest.
std::vector<float> scores_of_merges(const tokenizer::TokenizerData& data);

}  // namespace tern::checkpoint
