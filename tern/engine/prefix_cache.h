// What texts that begin alike have in common: blocks of the KV cache, found by their tokens.
//
// A tree: a node is 64 tokens behind those of its parent, and the block that holds their keys and
// values. Equal tokens from the beginning give equal bits in the cache, so that a text which is
// continued from found blocks is the text that it would have been.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "tern/model/kv_pool.h"

namespace tern::engine {

// Holds its blocks as a session does. One thread.
class PrefixCache {
 public:
  explicit PrefixCache(model::KvPool& pool) : pool_(pool) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The blocks of the longest known beginning of `tokens`, in order; they count as used now. Who
  // wants them holds them before anything is evicted.
  std::vector<std::uint32_t> find(std::span<const std::uint32_t> tokens);
  // From now on blocks[i] is known as that of tokens [64 i, 64 i + 64), unless these are known by
  // another block already. Requires 64 tokens for each block, all of them written.
  void insert(std::span<const std::uint32_t> tokens, std::span<const std::uint32_t> blocks);
  // Gives back at most `count` blocks that nobody else holds, the least recently used first, ends
  // of texts before what leads to them. Returns how many.
  std::size_t evict(std::size_t count);
  std::size_t evictable() const;  // What evict() could give back at most.
  std::size_t blocks() const noexcept { return by_hash_.size(); }

 private:
  static constexpr std::uint32_t kRoot = UINT32_MAX;

  struct Node {
    std::uint32_t block = 0, parent = kRoot, children = 0;
    std::uint64_t hash = 0, used = 0;
    std::vector<std::uint32_t> tokens;  // Empty: the place is free.
  };

  static std::uint64_t hash_of(std::uint32_t parent, std::span<const std::uint32_t> tokens);
  std::uint32_t child(std::uint32_t parent, std::span<const std::uint32_t> tokens) const;
  void remove(std::uint32_t node);

  model::KvPool& pool_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_nodes_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::uint64_t clock_ = 0;
};

}  // namespace tern::engine
