// Plain text as batches: one stream of tokens, cut into windows that overlap by one token.
#pragma once

#include <filesystem>
#include <memory>

#include "tern/base/notice.h"
#include "tern/corpus/token_shards.h"
#include "tern/tokenizer/tokenizer.h"
#include "tern/train/batch.h"
#include "tern/train/config.h"

namespace tern::train {

// Window w predicts tokens w * sequence + 1 ... (w + 1) * sequence from the one before each. What
// is left at the end is not read.
class TextBatches final : public Batches {
 public:
  // Throws as TokenShards does.
  TextBatches(const std::filesystem::path& folder, corpus::Split split, std::size_t sequence);

  std::uint64_t windows() const noexcept override;
  std::uint64_t window_tokens() const noexcept override { return sequence_; }
  Batch read(std::span<const std::uint64_t> windows) const override;
  std::uint64_t targets() const noexcept override { return shards_.tokens(); }
  std::uint64_t target_bytes() const noexcept override { return shards_.text_bytes(); }
  std::uint64_t content_hash() const noexcept override { return shards_.content_hash(); }

 private:
  corpus::TokenShards shards_;
  std::size_t sequence_;
};

// What a run is trained and measured on.
struct RunText {
  std::unique_ptr<const Batches> train, held_out;
};

// The text that the config names, as tokens in the run's folder (made once, reused by later parts
// of the run). Where `make` is false they are only read: another process has made them. Throws
// Error where it is shorter than a step or the held-out part than a sequence.
RunText open_text(const TrainConfig& config, const tokenizer::Tokenizer& tokenizer,
                  const Progress& progress, const Notice& notice, bool make = true);

}  // namespace tern::train
