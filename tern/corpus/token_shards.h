// Documents as token ids in memory-mapped files: tokenised once, read by every later run.
//
// A folder holds train-00000.bin, ..., held_out-00000.bin, ... (little-endian uint16 where the
// vocabulary has at most 65,536 ids, else uint32; at most 2^28 ids each) and index.json: format
// version, vocabulary size and fingerprint, sources with size and time, separators, and per split
// tokens, documents and bytes of text (docs/formats/token_shards.md). Each document is its ids with
// BOS in front where the vocabulary has one, and EOS behind where it has one; with neither,
// Error(kUnsupported). Special tokens that the text spells out are text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "tern/base/notice.h"
#include "tern/corpus/documents.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::corpus {

class IdFiles;

enum class Split { kTrain, kHeldOut };

struct ShardOptions {
  TextSources train;
  // Held-out text: own files where given; else the share `holdout` (0 to below 1) of the training
  // documents, chosen whole by a hash of their ordinal number (at least one, if there are two; and
  // at least one is trained on), which then are not trained on. With neither, the split is empty.
  TextSources held_out;
  double holdout = 0;
  std::uint64_t ids_per_file = std::uint64_t{1} << 28;  // Fewer in tests.
};

// One split of a folder. Const after opening, shared by threads.
class TokenShards {
 public:
  // Throws Error(kIo) where there is no such folder, Error(kCorruptFile) where index and files
  // disagree or an id is outside the vocabulary.
  TokenShards(const std::filesystem::path& folder, Split split);
  ~TokenShards();
  TokenShards(TokenShards&&) noexcept;
  TokenShards& operator=(TokenShards&&) noexcept;

  std::uint64_t tokens() const noexcept;
  std::uint64_t documents() const noexcept { return documents_; }
  // Bytes of UTF-8 text behind the tokens: bits per byte divide by it (separators count as
  // tokens predicted, not as bytes).
  std::uint64_t text_bytes() const noexcept { return text_bytes_; }
  // Of all ids in order: a run that goes on must go on with the same ones.
  std::uint64_t content_hash() const noexcept;
  // Copies ids [begin, begin + out.size()); requires that they exist.
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;

 private:
  std::unique_ptr<const IdFiles> ids_;
  std::uint64_t documents_ = 0, text_bytes_ = 0;
};

// Makes the folder, unless it is there already and made of the same sources (paths as given, sizes,
// times) by the same vocabulary; then it is left alone. An outdated one is replaced when the new
// one is complete; a folder of anything else is refused. Appears whole or not at all. Throws
// Error(kIo) on a full disk (naming the bytes needed), Error(kBadArgument) where a split that is
// asked for has no document.
void make_token_shards(const std::filesystem::path& folder, const ShardOptions& options,
                       const tokenizer::Tokenizer& tokenizer, const Progress& progress);

}  // namespace tern::corpus
