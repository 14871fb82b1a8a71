// The checked, indexed form of a TokenizerData's pieces. Internal to tern/tokenizer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer_data.h"

namespace tern::tokenizer {

inline constexpr std::uint32_t kNoId = UINT32_MAX;
inline constexpr std::string_view kSpmBlank = "\xE2\x96\x81";  // U+2581, SentencePiece's blank.

// Which ids merge into which: (left, right) -> (rank, merged). Open addressing, since BPE asks
// it several times for each byte of a text.
class MergeTable {
 public:
  struct Entry {
    std::uint64_t pair = UINT64_MAX;
    std::uint32_t rank = 0;
    std::uint32_t merged = kNoId;
  };

  void reserve(std::size_t merges);
  // False if the pair was there before; the first rank stays.
  bool insert(std::uint32_t left, std::uint32_t right, std::uint32_t rank, std::uint32_t merged);
  const Entry* find(std::uint32_t left, std::uint32_t right) const noexcept;

 private:
  std::size_t slot(std::uint64_t pair) const noexcept;
  std::vector<Entry> entries_ = std::vector<Entry>(2);  // A power of two, at most half full.
};

// Strings to ids, each string once. Open addressing: a model's start waits for half a million
// look-ups in it.
class StringTable {
 public:
  void reserve(std::size_t strings);
  // The id under which an equal string was inserted before, else `id` itself. `text` must outlive
  // this.
  std::uint32_t insert(std::string_view text, std::uint32_t id);
  std::uint32_t find(std::string_view text) const noexcept;  // kNoId where it is missing.

 private:
  struct Entry {
    const char* text = nullptr;
    std::uint32_t size = 0;
    std::uint32_t id = kNoId;
    std::size_t hash = 0;
  };
  std::size_t slot(std::string_view text, std::size_t hash) const noexcept;
  std::vector<Entry> entries_ = std::vector<Entry>(2);  // A power of two, at most half full.
};

class Vocabulary {
 public:
  // `data` outlives this. Throws Error where the data contradict themselves (see Tokenizer).
  explicit Vocabulary(const TokenizerData& data);

  std::size_t size() const noexcept { return data_.pieces.size(); }
  const TokenizerData& data() const noexcept { return data_; }
  TokenType type(std::uint32_t id) const noexcept { return data_.types[id]; }

  // The id of a piece as data().pieces spells it, or kNoId.
  std::uint32_t find_piece(std::string_view piece) const;
  // The piece that BPE may make of these bytes (never a control token), or kNoId. Byte BPE: raw
  // bytes, for ignore_merges and ranks; SPM: text with U+2581 for blanks.
  std::uint32_t find_word(std::string_view word) const;

  // Bytes of an id as it stands in a text; control tokens too.
  std::string_view bytes(std::uint32_t id) const noexcept;

  // The id of a lone byte; kNoId where the vocabulary has none (Falcon's lacks some control
  // characters, SPM without byte fallback has no bytes at all).
  std::uint32_t byte_id(unsigned char byte) const noexcept { return byte_ids_[byte]; }

  const MergeTable& merges() const noexcept { return merges_; }
  // kSpmBpe: place of a piece's score among all, the highest first.
  std::uint32_t score_rank(std::uint32_t id) const noexcept { return score_ranks_[id]; }

 private:
  void check_ids() const;
  void index_pieces();
  void make_bytes();
  void index_bytes();
  void rank_scores();
  void index_merges();
  std::string name(std::uint32_t id) const;

  const TokenizerData& data_;
  StringTable by_piece_;
  StringTable by_word_;  // Byte BPE, where it is asked.
  std::size_t longest_word_ = 0;
  std::string bytes_;  // All ids' bytes, one after the other.
  std::vector<std::size_t> ends_;
  std::array<std::uint32_t, 256> byte_ids_;
  MergeTable merges_;
  std::vector<std::uint32_t> score_ranks_;
};

}  // namespace tern::tokenizer
