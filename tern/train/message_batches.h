// Conversations as batches: examples packed into windows, of which the assistant's words count.
#pragma once

#include <filesystem>

#include "tern/corpus/packing.h"
#include "tern/train/text_batches.h"

namespace tern::train {

// Window w holds the pairs of corpus::Packing from left to right: a token, and the one that follows
// it as its target, of weight 1 where that is to be learnt, else 0. The examples of a window are
// its segments 0, 1, 2 ...; what is left of it is segment -1 of weight 0, its tokens and targets
// the vocabulary's padding token (else its end token, else 0). No target crosses examples, and each
// window has one of weight 1 at least.
class MessageBatches final : public Batches {
 public:
  // Throws as ConversationShards does.
  MessageBatches(const std::filesystem::path& folder, corpus::Split split, std::size_t sequence,
                 std::int64_t padding);

  std::uint64_t windows() const noexcept override { return packing_.windows(); }
  std::uint64_t window_tokens() const noexcept override { return sequence_; }
  Batch read(std::span<const std::uint64_t> windows) const override;
  // Of all examples, as if none had been cut.
  std::uint64_t targets() const noexcept override { return shards_.targets(); }
  std::uint64_t target_bytes() const noexcept override { return shards_.target_bytes(); }
  std::uint64_t content_hash() const noexcept override { return shards_.content_hash(); }

  const corpus::ConversationShards& shards() const noexcept { return shards_; }
  const corpus::Packing& packing() const noexcept { return packing_; }

 private:
  corpus::ConversationShards shards_;
  std::size_t sequence_;
  std::int64_t padding_;
  corpus::Packing packing_;
};

// The conversations that the config names, as open_text() has it. Throws Error also where the
// tokenizer's files have no chat template.
RunText open_messages(const TrainConfig& config, const tokenizer::Tokenizer& tokenizer,
                      const Progress& progress, const Notice& notice, bool make);

}  // namespace tern::train
