// Byte-pair encoding of one word: neighbours merge, the best pair of all first. Internal.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tern/tokenizer/vocabulary.h"

namespace tern::tokenizer {

// Holds scratch memory: one for each call of encode(), used for one word after the other.
class Merger {
 public:
  explicit Merger(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // Appends the ids of `word` (SPM: with U+2581 for blanks; fewer than 2^31 bytes). Takes
  // O(n log n) time, whatever the word.
  void encode(std::string_view word, std::vector<std::uint32_t>& ids);

 private:
  struct Symbol {
    std::uint32_t start, size;  // In the word; size 0: merged into its left neighbour.
    std::uint32_t prev, next;   // kNoId at the ends.
    std::uint32_t id;           // kNoId: no piece.
  };
  struct Candidate {
    std::uint64_t order;  // Rank, then place of the left symbol: the smallest merges first.
    std::uint32_t left, right;
    std::uint32_t left_id, right_id, merged;
    std::uint32_t size;
  };

  void add_symbol(std::size_t start, std::size_t size, std::uint32_t id);
  void start_with_bytes();
  void start_with_characters(bool bytes_for_unknown);
  void propose(std::uint32_t left, std::uint32_t right);
  void merge_all();
  void emit(const Symbol& symbol, std::vector<std::uint32_t>& ids);
  void emit_unused(std::uint32_t id, std::vector<std::uint32_t>& ids);

  const Vocabulary& vocabulary_;
  std::string_view word_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  // How pieces that are only a step on the way (TokenType::kUnused) were made: id, left, right.
  struct Made {
    std::uint32_t id, left, right;
  };
  std::vector<Made> unused_made_;
};

}  // namespace tern::tokenizer
