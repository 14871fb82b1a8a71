// Short examples side by side in windows of one length.
//
// An example of n ids is n - 1 pairs of an id and the one that follows it. Windows hold `sequence`
// pairs. In the order of the examples, each goes into the first window in which its pairs still
// have room, behind the pairs that are there; a window that nobody has used yet has room for all.
// An example of more than `sequence` pairs is cut first: to its first `sequence` pairs, and of
// those to the last whose second id is a target; where there is none, it is left out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tern/corpus/conversation_shards.h"

namespace tern::corpus {

// The window of each of `sizes` in windows of `room`, each size at most that: first fit, as above.
// Time is linear in the number of sizes but for a logarithm.
std::vector<std::uint64_t> first_fit(std::span<const std::uint32_t> sizes, std::uint32_t room);

// Const after construction, shared by threads.
class Packing {
 public:
  // Pairs (begin + i, begin + i + 1) for i below `pairs`.
  struct Part {
    std::uint64_t begin;
    std::uint32_t pairs;
    bool operator==(const Part&) const = default;
  };

  // Throws Error(kLimit) for a `sequence` of 2^32 or more.
  Packing(const ConversationShards& shards, std::size_t sequence);

  std::uint64_t windows() const noexcept { return starts_.size() - 1; }
  std::span<const Part> window(std::uint64_t number) const;

  std::uint64_t pairs() const noexcept { return pairs_; }        // In all windows.
  std::uint64_t cut() const noexcept { return cut_; }            // Examples, those left out too.
  std::uint64_t left_out() const noexcept { return left_out_; }  // Examples.

 private:
  std::vector<Part> parts_;  // Window after window.
  std::vector<std::uint64_t> starts_;
  std::uint64_t pairs_ = 0, cut_ = 0, left_out_ = 0;
};

}  // namespace tern::corpus
