// The texts of a vocabulary as one tree, so that a grammar can be walked over all of them at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

// Const after construction and then shared by threads: one per tokenizer. A vocabulary of 128k
// pieces makes about 300k nodes of 16 bytes.
class TokenTrie {
 public:
  // All ids whose piece is text. Control tokens, the unknown token and end tokens are none, and no
  // id with an empty piece.
  explicit TokenTrie(const tokenizer::Tokenizer& tokenizer);

  // Nodes stand in depth-first order: the children of a node follow it, `end` is behind the last.
  struct Node {
    std::uint32_t end;
    std::uint32_t first_id, id_count;  // In ids(): those whose piece ends here.
    std::uint16_t depth;               // From 0, of the first byte.
    std::uint8_t byte;
  };
  std::span<const Node> nodes() const noexcept { return nodes_; }
  std::span<const std::uint32_t> ids() const noexcept { return ids_; }
  std::size_t max_depth() const noexcept { return max_depth_; }  // Bytes of the longest piece.
  std::size_t vocab_size() const noexcept { return vocab_size_; }
  std::span<const std::uint32_t> end_ids() const noexcept { return end_ids_; }
  bool is_end(std::uint32_t id) const noexcept;
  // The bytes of an id below vocab_size(); empty where it is no text.
  std::string_view piece(std::uint32_t id) const noexcept { return pieces_[id]; }

 private:
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> ids_, end_ids_;
  std::vector<std::string> pieces_;
  std::size_t max_depth_ = 0, vocab_size_ = 0;
};

}  // namespace tern::engine
