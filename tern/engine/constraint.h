// Constrained decoding: which ids may come next so that the text stays in a grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "tern/engine/token_trie.h"
#include "tern/grammar/grammar.h"
#include "tern/grammar/matcher.h"
#include "tern/model/head.h"

namespace tern::engine {

// The grammar of one text. Ids that are text may come as far as the grammar reads their bytes (a
// piece may end inside of a character); end ids may come exactly where the text may end; other ids
// never. Not for several threads; `trie` must outlive it.
//
// Calls throw Error(kLimit) beyond the limits of grammar/automaton.h, and Error(kUnsupported)
// where the vocabulary has no id for anything that the grammar wants next.
class Constraint {
 public:
  // `text_start`: the first blank of the text will not be shown (GenerateRequest::at_text_start
  // with a tokenizer that adds one), so that it counts as not there.
  Constraint(const TokenTrie& trie, std::shared_ptr<const grammar::Grammar> grammar,
             bool text_start = false);

  // Up to and with allowed_logits(): require !finished().
  bool allowed(std::uint32_t id);
  // Sets the logits of ids that may not come to -infinity, and of rows beyond the vocabulary.
  void mask(std::span<float> logits);
  // The others, by id: what Sampler::sample takes. Valid until the next call.
  std::span<const model::TokenLogit> allowed_logits(std::span<const float> logits);
  // The text grows by one id. Throws Error(kBadArgument) for one that may not come.
  void accept(std::uint32_t id);
  // An end id has come, or the text is whole and no id can follow it.
  bool finished();

 private:
  struct Mask {
    std::vector<std::uint64_t> bits;  // One per id.
    bool empty = true;
    bool has(std::size_t id) const noexcept;
    void put(std::size_t id) noexcept;
  };
  const Mask& current();
  Mask compute();
  void walk(Mask& mask);

  const TokenTrie& trie_;
  grammar::Matcher matcher_;
  bool skip_blank_;
  bool ended_ = false;
  // Masks of states that came up; of one automaton only, whose states they are named by.
  std::unordered_map<grammar::Automaton::State, Mask> masks_;
  std::shared_ptr<const grammar::Automaton> masks_of_;
  std::vector<grammar::Automaton::State> path_;  // Scratch of walk().
  std::vector<model::TokenLogit> list_;
};

}  // namespace tern::engine
