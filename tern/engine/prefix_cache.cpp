// The tree of blocks, its look-up by hash and its eviction.
#include "tern/engine/prefix_cache.h"

#include <algorithm>
#include <cassert>

#include "tern/kernels/attention.h"

namespace tern::engine {
namespace {

using kernels::kKvBlock;

// Block i's tokens.
std::span<const std::uint32_t> piece(std::span<const std::uint32_t> tokens, std::size_t i) {
  return tokens.subspan(i * kKvBlock, kKvBlock);
}

}  // namespace

PrefixCache::~PrefixCache() {
  for (const Node& node : nodes_) {
    if (!node.tokens.empty()) pool_.give_back(node.block);
  }
}

// A mixture of multiplications and shifts (splitmix64's); equality is always looked at besides.
std::uint64_t PrefixCache::hash_of(std::uint32_t parent, std::span<const std::uint32_t> tokens) {
  std::uint64_t h = parent;
  for (const std::uint32_t token : tokens) {
    h = (h ^ token) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  return h;
}

std::uint32_t PrefixCache::child(std::uint32_t parent,
                                 std::span<const std::uint32_t> tokens) const {
  const auto [first, last] = by_hash_.equal_range(hash_of(parent, tokens));
  for (auto it = first; it != last; ++it) {
    const Node& node = nodes_[it->second];
    if (node.parent == parent && std::ranges::equal(node.tokens, tokens)) return it->second;
  }
  return kRoot;
}

std::vector<std::uint32_t> PrefixCache::find(std::span<const std::uint32_t> tokens) {
  std::vector<std::uint32_t> found;
  ++clock_;
  std::uint32_t at = kRoot;
  for (std::size_t i = 0; (i + 1) * kKvBlock <= tokens.size(); ++i) {
    at = child(at, piece(tokens, i));
    if (at == kRoot) break;
    nodes_[at].used = clock_;
    found.push_back(nodes_[at].block);
  }
  return found;
}

void PrefixCache::insert(std::span<const std::uint32_t> tokens,
                         std::span<const std::uint32_t> blocks) {
  assert(tokens.size() >= blocks.size() * kKvBlock);
  ++clock_;
  std::uint32_t parent = kRoot;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::uint32_t node = child(parent, piece(tokens, i));
    if (node == kRoot) {
      if (free_nodes_.empty()) {
        free_nodes_.push_back(static_cast<std::uint32_t>(nodes_.size()));
        nodes_.emplace_back();
      }
      node = free_nodes_.back();
      free_nodes_.pop_back();
      const auto own = piece(tokens, i);
      nodes_[node] = {.block = blocks[i],
                      .parent = parent,
                      .children = 0,
                      .hash = hash_of(parent, own),
                      .used = 0,
                      .tokens = {own.begin(), own.end()}};
      by_hash_.emplace(nodes_[node].hash, node);
      if (parent != kRoot) ++nodes_[parent].children;
      pool_.hold(blocks[i]);
    }
    nodes_[node].used = clock_;
    parent = node;
  }
}

void PrefixCache::remove(std::uint32_t index) {
  Node& node = nodes_[index];
  auto [at, last] = by_hash_.equal_range(node.hash);
  at = std::find_if(at, last, [&](const auto& entry) { return entry.second == index; });
  by_hash_.erase(at);
  if (node.parent != kRoot) --nodes_[node.parent].children;
  pool_.give_back(node.block);
  node = Node{};
  free_nodes_.push_back(index);
}

std::size_t PrefixCache::evict(std::size_t count) {
  std::size_t given = 0;
  while (given < count) {
    const Node* oldest = nullptr;
    for (const Node& node : nodes_) {
      if (node.tokens.empty() || node.children > 0 || pool_.holders(node.block) > 1) continue;
      if (oldest == nullptr || node.used < oldest->used) oldest = &node;
    }
    if (oldest == nullptr) break;
    remove(static_cast<std::uint32_t>(oldest - nodes_.data()));
    ++given;
  }
  return given;
}

std::size_t PrefixCache::evictable() const {
  std::vector<bool> kept(nodes_.size());  // It, or a node behind it, has another holder.
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].tokens.empty() || pool_.holders(nodes_[i].block) == 1) continue;
    for (auto at = static_cast<std::uint32_t>(i); at != kRoot && !kept[at];
         at = nodes_[at].parent) {
      kept[at] = true;
    }
  }
  return blocks() - static_cast<std::size_t>(std::ranges::count(kept, true));
}

}  // namespace tern::engine
