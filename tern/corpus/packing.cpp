// First fit by a tree of the rooms that are left, and parts sorted by window.
#include "tern/corpus/packing.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>
#include <string>

#include "tern/base/error.h"

namespace tern::corpus {

std::vector<std::uint64_t> first_fit(std::span<const std::uint32_t> sizes, std::uint32_t room) {
  // A complete binary tree: node i has the children 2i and 2i + 1, leaf w the room of window w,
  // every other node the larger room of its children. As many windows as examples are enough.
  const std::size_t leaves = std::bit_ceil(std::max<std::size_t>(sizes.size(), 1));
  std::vector<std::uint32_t> rooms(2 * leaves, room);
  std::vector<std::uint64_t> windows;
  windows.reserve(sizes.size());
  for (const std::uint32_t size : sizes) {
    assert(size <= room);
    std::size_t node = 1;
    while (node < leaves) node = rooms[2 * node] >= size ? 2 * node : 2 * node + 1;
    windows.push_back(node - leaves);
    rooms[node] -= size;
    while (node > 1) {
      node /= 2;
      rooms[node] = std::max(rooms[2 * node], rooms[2 * node + 1]);
    }
  }
  return windows;
}

Packing::Packing(const ConversationShards& shards, std::size_t sequence) {
  if (sequence > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorCode::kLimit, "windows of " + std::to_string(sequence) +
                                       " tokens found, expected fewer than 2^32");
  }
  std::vector<Part> parts;
  std::vector<std::uint32_t> sizes;
  for (std::uint64_t i = 0; i < shards.examples(); ++i) {
    const std::uint64_t begin = shards.begin(i);
    std::uint64_t pairs = shards.end(i) - begin - 1;
    if (pairs > sequence) {
      ++cut_;
      pairs = sequence;
      while (pairs > 0 && !shards.is_target(begin + pairs)) --pairs;
      if (pairs == 0) {
        ++left_out_;
        continue;
      }
    }
    parts.push_back({begin, static_cast<std::uint32_t>(pairs)});
    sizes.push_back(parts.back().pairs);
    pairs_ += pairs;
  }
  const std::vector<std::uint64_t> windows = first_fit(sizes, static_cast<std::uint32_t>(sequence));
  const std::uint64_t count = windows.empty() ? 0 : *std::ranges::max_element(windows) + 1;
  starts_.assign(static_cast<std::size_t>(count) + 1, 0);
  for (const std::uint64_t window : windows) ++starts_[static_cast<std::size_t>(window) + 1];
  for (std::size_t w = 1; w < starts_.size(); ++w) starts_[w] += starts_[w - 1];
  std::vector<std::uint64_t> next(starts_.begin(), starts_.end() - 1);
  parts_.resize(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts_[static_cast<std::size_t>(next[static_cast<std::size_t>(windows[i])]++)] = parts[i];
  }
}

std::span<const Packing::Part> Packing::window(std::uint64_t number) const {
  assert(number < windows());
  const auto begin = static_cast<std::size_t>(starts_[static_cast<std::size_t>(number)]);
  const auto end = static_cast<std::size_t>(starts_[static_cast<std::size_t>(number) + 1]);
  return std::span(parts_).subspan(begin, end - begin);
}

}  // namespace tern::corpus
