// Walks the tree of pieces along the grammar's automaton.
#include "tern/engine/constraint.h"

#include <cmath>
#include <string>
#include <utility>

#include "tern/base/error.h"

namespace tern::engine {
namespace {

constexpr std::size_t kMaxMasks = 256;  // 4 MB for a vocabulary of 128k.

}  // namespace

bool Constraint::Mask::has(std::size_t id) const noexcept {
  return id / 64 < bits.size() && ((bits[id / 64] >> (id % 64)) & 1) != 0;
}

void Constraint::Mask::put(std::size_t id) noexcept {
  bits[id / 64] |= std::uint64_t{1} << (id % 64);
  empty = false;
}

Constraint::Constraint(const TokenTrie& trie, std::shared_ptr<const grammar::Grammar> grammar,
                       bool text_start)
    : trie_(trie), matcher_(std::move(grammar)), skip_blank_(text_start) {}

// All pieces that the grammar can read on from here.
void Constraint::walk(Mask& mask) {
  using grammar::Automaton;
  Automaton& automaton = *matcher_.automaton();
  automaton.rest();
  const auto nodes = trie_.nodes();
  path_.assign(trie_.max_depth() + 1, Automaton::kDead);
  path_[0] = matcher_.state();  // path_[d]: behind d bytes of the piece.
  for (std::size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    // The blank that is not shown changes nothing; alone it would be no text at all.
    const bool unseen = skip_blank_ && node.depth == 0 && node.byte == ' ';
    const Automaton::State next = unseen ? path_[0] : automaton.next(path_[node.depth], node.byte);
    if (next == Automaton::kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth + 1u] = next;
    for (std::uint32_t k = 0; k < node.id_count && !unseen; ++k) {
      mask.put(trie_.ids()[node.first_id + k]);
    }
    ++i;
  }
}

Constraint::Mask Constraint::compute() {
  Mask mask;
  mask.bits.resize((trie_.vocab_size() + 63) / 64);
  const bool can_end = matcher_.can_end();
  if (matcher_.can_go_on()) walk(mask);
  if (can_end) {
    for (const std::uint32_t id : trie_.end_ids()) {
      if (id < trie_.vocab_size()) mask.put(id);
    }
  }
  return mask;
}

const Constraint::Mask& Constraint::current() {
  if (masks_of_ != matcher_.automaton() || masks_.size() >= kMaxMasks) {
    masks_.clear();
    masks_of_ = matcher_.automaton();
  }
  const auto known = masks_.find(matcher_.state());
  if (known != masks_.end()) return known->second;
  Mask mask = compute();
  if (mask.empty && !matcher_.can_end()) {
    throw Error(ErrorCode::kUnsupported,
                "grammar: no token of this vocabulary found that can go on from here, expected the "
                "model's tokenizer to spell what the grammar wants");
  }
  return masks_.emplace(matcher_.state(), std::move(mask)).first->second;
}

bool Constraint::allowed(std::uint32_t id) { return !ended_ && current().has(id); }

void Constraint::mask(std::span<float> logits) {
  const Mask& mask = current();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (!mask.has(id)) logits[id] = -HUGE_VALF;
  }
}

std::span<const model::TokenLogit> Constraint::allowed_logits(std::span<const float> logits) {
  const Mask& mask = current();
  list_.clear();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (mask.has(id)) list_.push_back({static_cast<std::uint32_t>(id), logits[id]});
  }
  return list_;
}

void Constraint::accept(std::uint32_t id) {
  if (!allowed(id)) {
    throw Error(ErrorCode::kBadArgument,
                "token " + std::to_string(id) + " found, which the grammar does not allow here");
  }
  ended_ = trie_.is_end(id);
  if (ended_) return;
  std::string_view piece = trie_.piece(id);
  if (skip_blank_ && piece[0] == ' ') piece.remove_prefix(1);
  if (skip_blank_) masks_.clear();  // They were made for the text's start.
  skip_blank_ = false;
  matcher_.accept(piece);
}

bool Constraint::finished() {
  if (ended_ || !matcher_.can_end()) return ended_;
  return !matcher_.can_go_on() || current().empty;
}

}  // namespace tern::engine
