// Indexes a vocabulary and refuses one that contradicts itself.
#include "tern/tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>
#include <numeric>
#include <unordered_map>

#include "tern/base/error.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::tokenizer {
namespace {

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, "tokenizer: " + what);
}

// "<0x0A>" -> 10.
std::optional<unsigned char> byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
  if (error != std::errc() || end != piece.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(value);
}

bool may_be_word(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUserDefined ||
         type == TokenType::kUnused;
}

}  // namespace

void MergeTable::reserve(std::size_t merges) {
  entries_.assign(std::bit_ceil(std::max<std::size_t>(merges * 2, 2)), Entry{});
}

std::size_t MergeTable::slot(std::uint64_t pair) const noexcept {
  const std::uint64_t mixed = (pair ^ (pair >> 29)) * 0x9E3779B97F4A7C15u;
  std::size_t i = (mixed >> 32) & (entries_.size() - 1);
  while (entries_[i].pair != pair && entries_[i].merged != kNoId) {
    i = (i + 1) & (entries_.size() - 1);
  }
  return i;
}

bool MergeTable::insert(std::uint32_t left, std::uint32_t right, std::uint32_t rank,
                        std::uint32_t merged) {
  const std::uint64_t pair = (std::uint64_t{left} << 32) | right;
  Entry& entry = entries_[slot(pair)];
  if (entry.merged != kNoId) return false;
  entry = {pair, rank, merged};
  return true;
}

const MergeTable::Entry* MergeTable::find(std::uint32_t left, std::uint32_t right) const noexcept {
  const Entry& entry = entries_[slot((std::uint64_t{left} << 32) | right)];
  return entry.merged == kNoId ? nullptr : &entry;
}

void StringTable::reserve(std::size_t strings) {
  entries_.assign(std::bit_ceil(std::max<std::size_t>(strings * 2, 2)), Entry{});
}

std::size_t StringTable::slot(std::string_view text, std::size_t hash) const noexcept {
  std::size_t i = hash & (entries_.size() - 1);
  while (entries_[i].text != nullptr) {
    const Entry& entry = entries_[i];
    if (entry.hash == hash && std::string_view(entry.text, entry.size) == text) break;
    i = (i + 1) & (entries_.size() - 1);
  }
  return i;
}

std::uint32_t StringTable::insert(std::string_view text, std::uint32_t id) {
  const std::size_t hash = std::hash<std::string_view>{}(text);
  Entry& entry = entries_[slot(text, hash)];
  if (entry.text != nullptr) return entry.id;
  entry = {text.data(), static_cast<std::uint32_t>(text.size()), id, hash};
  return id;
}

std::uint32_t StringTable::find(std::string_view text) const noexcept {
  return entries_[slot(text, std::hash<std::string_view>{}(text))].id;
}

Vocabulary::Vocabulary(const TokenizerData& data) : data_(data) {
  byte_ids_.fill(kNoId);
  check_ids();
  index_pieces();
  make_bytes();
  index_bytes();
  if (data.kind == TokenizerKind::kSpmBpe) {
    rank_scores();
  } else if (!data.merges_from_ranks) {
    index_merges();
  }
}

std::string Vocabulary::name(std::uint32_t id) const {
  return "'" + data_.pieces[id] + "' (id " + std::to_string(id) + ")";
}

void Vocabulary::check_ids() const {
  const std::size_t n = data_.pieces.size();
  if (n == 0 || n > (std::size_t{1} << 24)) {
    corrupt("the vocabulary has " + std::to_string(n) + " pieces, expected 1 to 2^24");
  }
  if (data_.types.size() != n) {
    corrupt(std::to_string(data_.types.size()) + " token types for " + std::to_string(n) +
            " pieces");
  }
  if (data_.kind == TokenizerKind::kSpmBpe && data_.scores.size() != n) {
    corrupt(std::to_string(data_.scores.size()) + " scores for " + std::to_string(n) + " pieces");
  }
  const auto check = [&](std::string_view what, std::uint64_t id) {
    if (id < n) return;
    corrupt(std::string(what) + " id " + std::to_string(id) + " is outside the vocabulary of " +
            std::to_string(n));
  };
  if (data_.bos) check("BOS", *data_.bos);
  if (data_.eos) check("EOS", *data_.eos);
  if (data_.unk) check("UNK", *data_.unk);
  if (data_.pad) check("PAD", *data_.pad);
  for (const std::uint32_t id : data_.end_ids) check("end", id);
  std::unordered_map<std::uint32_t, const AddedToken*> added;
  for (const AddedToken& token : data_.added) {
    check("added token '" + token.content + "'", token.id);
    const auto [it, fresh] = added.emplace(token.id, &token);
    if (!fresh) {
      corrupt("id " + std::to_string(token.id) + " is added twice, as '" + it->second->content +
              "' and '" + token.content + "'");
    }
  }
}

void Vocabulary::index_pieces() {
  by_piece_.reserve(size());
  for (std::uint32_t id = 0; id < size(); ++id) {
    const std::string& piece = data_.pieces[id];
    if (piece.empty()) continue;  // A hole: an id that nothing is encoded as.
    if (const std::uint32_t first = by_piece_.insert(piece, id); first != id) {
      corrupt("piece '" + piece + "' stands twice, as ids " + std::to_string(first) + " and " +
              std::to_string(id));
    }
    if (may_be_word(type(id))) longest_word_ = std::max(longest_word_, piece.size());
  }
}

void Vocabulary::make_bytes() {
  ends_.reserve(size());
  for (std::uint32_t id = 0; id < size(); ++id) {
    const std::string& piece = data_.pieces[id];
    const bool literal = type(id) == TokenType::kControl || type(id) == TokenType::kUnknown;
    if (data_.kind == TokenizerKind::kByteBpe) {
      // Added tokens stand in the vocabulary as they are, not in the printable alphabet.
      std::optional<std::string> raw;
      if (type(id) == TokenType::kNormal) raw = from_printable(piece);
      bytes_ += raw ? *raw : piece;
    } else if (type(id) == TokenType::kByte) {
      const auto byte = byte_of_piece(piece);
      if (!byte) corrupt("byte piece " + name(id) + " is not of the form '<0x0A>'");
      bytes_ += static_cast<char>(*byte);
    } else if (literal) {
      bytes_ += piece;
    } else {
      for (std::size_t i = 0; i < piece.size();) {
        const bool blank = std::string_view(piece).substr(i).starts_with(kSpmBlank);
        bytes_ += blank ? ' ' : piece[i];
        i += blank ? kSpmBlank.size() : 1;
      }
    }
    ends_.push_back(bytes_.size());
  }
}

void Vocabulary::index_bytes() {
  const bool byte_bpe = data_.kind == TokenizerKind::kByteBpe;
  const bool words = byte_bpe && (data_.merges_from_ranks || data_.ignore_merges);
  if (words) by_word_.reserve(size());
  for (std::uint32_t id = 0; id < size(); ++id) {
    const std::string_view raw = bytes(id);
    const bool one_byte = byte_bpe ? type(id) == TokenType::kNormal : type(id) == TokenType::kByte;
    if (one_byte && raw.size() == 1) byte_ids_[static_cast<unsigned char>(raw[0])] = id;
    if (words && type(id) == TokenType::kNormal && !raw.empty()) by_word_.insert(raw, id);
  }
  if (!byte_bpe && !data_.byte_fallback) {
    if (!data_.unk) corrupt("neither byte fallback nor an unknown token");
    return;
  }
  // Some vocabularies lack bytes that their training text had not; none lacks printable ASCII.
  const std::size_t first = byte_bpe ? 0x20 : 0, end = byte_bpe ? 0x7F : 0x100;
  for (std::size_t byte = first; byte < end; ++byte) {
    if (byte_ids_[byte] == kNoId) {
      corrupt("byte " + std::to_string(byte) +
              " has no piece, so that not every text can be encoded");
    }
  }
}

void Vocabulary::rank_scores() {
  std::vector<std::uint32_t> order(size());
  std::iota(order.begin(), order.end(), 0u);
  for (const std::uint32_t id : order) {
    if (std::isnan(data_.scores[id])) corrupt("the score of " + name(id) + " is not a number");
  }
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return data_.scores[a] > data_.scores[b]; });
  score_ranks_.resize(size());
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && data_.scores[order[i]] != data_.scores[order[i - 1]]) ++rank;
    score_ranks_[order[i]] = rank;
  }
}

void Vocabulary::index_merges() {
  merges_.reserve(data_.merges.size());
  std::string joined;
  std::uint32_t last = 0;
  for (std::size_t rank = 0; rank < data_.merges.size(); ++rank) {
    const auto& [left, right] = data_.merges[rank];
    const auto find = [&](const std::string& piece) {
      const std::uint32_t id = find_piece(piece);
      if (id != kNoId) return id;
      corrupt("merge " + std::to_string(rank) + " ('" + left + "' + '" + right + "') names '" +
              piece + "', which is no piece");
    };
    joined.assign(left).append(right);
    // Merges mostly stand in the order of the pieces that they make.
    const bool next = last + 1 < size() && data_.pieces[last + 1] == joined;
    last = data_.pieces[last] == joined ? last : next ? last + 1 : find(joined);
    merges_.insert(find(left), find(right), static_cast<std::uint32_t>(rank), last);
  }
}

std::uint32_t Vocabulary::find_piece(std::string_view piece) const { return by_piece_.find(piece); }

std::uint32_t Vocabulary::find_word(std::string_view word) const {
  if (word.size() > longest_word_) return kNoId;
  if (data_.kind == TokenizerKind::kByteBpe) return by_word_.find(word);
  const std::uint32_t id = find_piece(word);
  return id != kNoId && may_be_word(type(id)) ? id : kNoId;
}

std::string_view Vocabulary::bytes(std::uint32_t id) const noexcept {
  const std::size_t begin = id == 0 ? 0 : ends_[id - 1];
  return std::string_view(bytes_).substr(begin, ends_[id] - begin);
}

}  // namespace tern::tokenizer
