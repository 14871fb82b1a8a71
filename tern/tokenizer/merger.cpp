// Byte-pair encoding with a linked list of symbols and a heap of candidate merges.
#include "tern/tokenizer/merger.h"

#include <algorithm>

#include "tern/base/error.h"
#include "tern/base/utf8.h"

namespace tern::tokenizer {

void Merger::encode(std::string_view word, std::vector<std::uint32_t>& ids) {
  const TokenizerData& data = vocabulary_.data();
  word_ = word;
  if (data.ignore_merges) {
    if (const std::uint32_t id = vocabulary_.find_word(word); id != kNoId) {
      ids.push_back(id);
      return;
    }
  }
  symbols_.clear();
  switch (data.kind) {
    case TokenizerKind::kByteBpe:
      start_with_bytes();
      break;
    case TokenizerKind::kSpmBpe:
      start_with_characters(false);
      break;
    case TokenizerKind::kMergeSpm:
      start_with_characters(true);
      break;
  }
  merge_all();
  for (std::uint32_t i = symbols_.empty() ? kNoId : 0; i != kNoId; i = symbols_[i].next) {
    emit(symbols_[i], ids);
  }
}

void Merger::add_symbol(std::size_t start, std::size_t size, std::uint32_t id) {
  const auto i = static_cast<std::uint32_t>(symbols_.size());
  if (i > 0) symbols_[i - 1].next = i;
  symbols_.push_back({static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(size),
                      i > 0 ? i - 1 : kNoId, kNoId, id});
}

void Merger::start_with_bytes() {
  for (std::size_t i = 0; i < word_.size(); ++i) {
    add_symbol(i, 1, vocabulary_.byte_id(static_cast<unsigned char>(word_[i])));
  }
}

// `bytes_for_unknown`: a character without a piece is cut into bytes at once, as a list of merges
// wants it; with scores it stays whole until the end, since it may be part of a larger piece.
void Merger::start_with_characters(bool bytes_for_unknown) {
  for (std::size_t i = 0; i < word_.size();) {
    const std::size_t size = next_char(word_, i).size;
    const std::uint32_t id = vocabulary_.find_word(word_.substr(i, size));
    if (id == kNoId && bytes_for_unknown && vocabulary_.data().byte_fallback) {
      for (std::size_t k = 0; k < size; ++k) {
        add_symbol(i + k, 1, vocabulary_.byte_id(static_cast<unsigned char>(word_[i + k])));
      }
    } else {
      add_symbol(i, size, id);
    }
    i += size;
  }
}

void Merger::propose(std::uint32_t left, std::uint32_t right) {
  if (left == kNoId || right == kNoId) return;
  const Symbol& l = symbols_[left];
  const Symbol& r = symbols_[right];
  const TokenizerData& data = vocabulary_.data();
  std::uint32_t rank = 0, merged = kNoId;
  if (data.kind == TokenizerKind::kSpmBpe || data.merges_from_ranks) {
    merged = vocabulary_.find_word(word_.substr(l.start, l.size + r.size));
    if (merged == kNoId) return;
    rank = data.merges_from_ranks ? merged : vocabulary_.score_rank(merged);
  } else {
    if (l.id == kNoId || r.id == kNoId) return;
    const MergeTable::Entry* entry = vocabulary_.merges().find(l.id, r.id);
    if (entry == nullptr) return;
    rank = entry->rank;
    merged = entry->merged;
  }
  heap_.push_back(
      {(std::uint64_t{rank} << 32) | left, left, right, l.id, r.id, merged, l.size + r.size});
  std::push_heap(heap_.begin(), heap_.end(),
                 [](const Candidate& a, const Candidate& b) { return a.order > b.order; });
}

void Merger::merge_all() {
  heap_.clear();
  unused_made_.clear();
  for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i) propose(i, i + 1);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(),
                  [](const Candidate& a, const Candidate& b) { return a.order > b.order; });
    const Candidate best = heap_.back();
    heap_.pop_back();
    Symbol& left = symbols_[best.left];
    Symbol& right = symbols_[best.right];
    // One of the two has been merged with another symbol since.
    if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
    if (vocabulary_.type(best.merged) == TokenType::kUnused) {
      unused_made_.push_back({best.merged, best.left_id, best.right_id});
    }
    left.size = best.size;
    left.id = best.merged;
    left.next = right.next;
    if (right.next != kNoId) symbols_[right.next].prev = best.left;
    right.size = 0;
    propose(left.prev, best.left);
    propose(best.left, left.next);
  }
}

void Merger::emit(const Symbol& symbol, std::vector<std::uint32_t>& ids) {
  const TokenizerData& data = vocabulary_.data();
  if (symbol.id != kNoId) {
    if (vocabulary_.type(symbol.id) == TokenType::kUnused && !unused_made_.empty()) {
      emit_unused(symbol.id, ids);
    } else {
      ids.push_back(symbol.id);
    }
  } else if (data.byte_fallback) {
    for (const char c : word_.substr(symbol.start, symbol.size)) {
      ids.push_back(vocabulary_.byte_id(static_cast<unsigned char>(c)));
    }
  } else if (!data.unk) {
    throw Error(ErrorCode::kUnsupported,
                "the vocabulary has no piece for byte " +
                    std::to_string(static_cast<unsigned char>(word_[symbol.start])) +
                    " of the text");
  } else if (ids.empty() || ids.back() != *data.unk) {
    ids.push_back(*data.unk);  // A run of unknown characters is one unknown token.
  }
}

// SentencePiece lets pieces of type "unused" take part in merges, but never gives them out: they
// fall apart into what they were made of.
void Merger::emit_unused(std::uint32_t id, std::vector<std::uint32_t>& ids) {
  std::vector<std::uint32_t> stack{id};
  while (!stack.empty()) {
    const std::uint32_t top = stack.back();
    stack.pop_back();
    const auto made = std::find_if(unused_made_.begin(), unused_made_.end(),
                                   [&](const Made& m) { return m.id == top; });
    const bool parts = vocabulary_.type(top) == TokenType::kUnused && made != unused_made_.end() &&
                       made->left != kNoId && made->right != kNoId;
    if (!parts) {
      ids.push_back(top);
      continue;
    }
    stack.push_back(made->right);
    stack.push_back(made->left);
  }
}

}  // namespace tern::tokenizer
