// A vocabulary from text, through SentencePiece: BPE with byte fallback, as Llama 2's.
//
// Text is taken as it is: no normalisation, no blank dropped or merged, no blank put in front,
// digits single. Ends of line, tabs and other control characters never become part of a larger
// piece: each is the piece of its byte. Ids: 0 <unk>, 1 <s> (BOS), 2 </s> (EOS), 3-258 the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "tern/base/notice.h"
#include "tern/corpus/documents.h"

namespace tern::corpus {

struct TokenizerTraining {
  TextSources sources;
  std::size_t size = 4096;             // Pieces, the special ones and the 256 bytes among them.
  double character_coverage = 0.9995;  // 0.98 to 1; rarer characters are written as bytes.
  // Of text; more is thinned evenly. Time and memory grow with it: text without blanks between
  // words takes some 40 bytes of memory and 10 microseconds for each of its bytes.
  std::uint64_t max_bytes = std::uint64_t{1} << 26;
};

// Writes `out` (a folder that must not exist or be empty): tokenizer.model, the equivalent
// tokenizer.json, tokenizer_config.json. Both give the same ids for every text. The same text and
// options give the same files. Appears whole or not at all. Throws Error(kBadArgument) for a size
// that the text cannot fill or that does not hold the bytes and the text's characters.
void train_tokenizer(const TokenizerTraining& options, const std::filesystem::path& out,
                     const Notice& notice);

}  // namespace tern::corpus
