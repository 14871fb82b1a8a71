// Builds the tree from sorted pieces.
#include "tern/engine/token_trie.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tern/base/error.h"

namespace tern::engine {

TokenTrie::TokenTrie(const tokenizer::Tokenizer& tokenizer)
    : end_ids_(tokenizer.data().end_ids), vocab_size_(tokenizer.vocab_size()) {
  pieces_.resize(vocab_size_);
  std::vector<std::pair<std::string_view, std::uint32_t>> sorted;
  sorted.reserve(vocab_size_);
  for (std::uint32_t id = 0; id < vocab_size_; ++id) {
    std::string& piece = pieces_[id];
    if (!tokenizer.is_end(id)) piece = tokenizer.piece(id);
    if (piece.empty()) continue;
    if (piece.size() > UINT16_MAX) {
      throw Error(ErrorCode::kUnsupported, "token " + std::to_string(id) + " has a piece of " +
                                               std::to_string(piece.size()) +
                                               " bytes, expected at most 65535");
    }
    sorted.emplace_back(piece, id);
  }
  std::ranges::sort(sorted);

  std::vector<std::uint32_t> path;  // The nodes from the top to the last one made.
  const auto leave = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
    }
  };
  std::string_view last;
  for (const auto& [piece, id] : sorted) {
    const auto common =
        static_cast<std::size_t>(std::ranges::mismatch(last, piece).in1 - last.begin());
    leave(common);
    for (std::size_t depth = common; depth < piece.size(); ++depth) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<std::uint32_t>(ids_.size()), 0,
                        static_cast<std::uint16_t>(depth),
                        static_cast<std::uint8_t>(piece[depth])});
    }
    ++nodes_[path.back()].id_count;
    ids_.push_back(id);
    max_depth_ = std::max(max_depth_, piece.size());
    last = piece;
  }
  leave(0);
}

bool TokenTrie::is_end(std::uint32_t id) const noexcept {
  return std::ranges::find(end_ids_, id) != end_ids_.end();
}

}  // namespace tern::engine
