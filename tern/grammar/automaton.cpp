// Steps of the lazy automaton.
#include "tern/grammar/automaton.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

constexpr std::uint32_t kUnknown = UINT32_MAX;  // A step that was not computed so far.
constexpr std::size_t kFew = 6;

// From here on a user should begin again, and here it must have.
constexpr std::size_t kManyStates = 1 << 12, kMaxStates = 1 << 16;
constexpr std::size_t kManyPlaces = 1 << 16, kMaxPlaces = 1 << 21;
constexpr std::size_t kMaxStored = 1 << 22;

std::uint64_t mix(std::uint64_t h, std::uint64_t value) noexcept {
  h = (h ^ value) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

}  // namespace

template <typename Equals>
std::uint32_t HashIndex::find(std::uint64_t hash, const Equals& equals) const {
  if (slots_.empty()) return kNone;
  for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i] == kNone || equals(slots_[i])) return slots_[i];
  }
}

template <typename HashOf>
void HashIndex::insert(std::uint64_t hash, std::uint32_t number, const HashOf& hash_of) {
  const auto put = [&](std::uint64_t h, std::uint32_t n) {
    std::size_t i = h & (slots_.size() - 1);
    while (slots_[i] != kNone) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = n;
  };
  if (2 * (used_ + 1) > slots_.size()) {
    const std::vector<std::uint32_t> old = std::exchange(
        slots_, std::vector<std::uint32_t>(std::max<std::size_t>(64, 2 * slots_.size()), kNone));
    for (const std::uint32_t n : old) {
      if (n != kNone) put(hash_of(n), n);
    }
  }
  put(hash, number);
  ++used_;
}

std::uint64_t Automaton::hash(const Place& p) noexcept {
  return mix(mix(mix(0, p.pc), p.count), p.parent);
}

std::uint64_t Automaton::hash(const StateData& s) noexcept {
  std::uint64_t h = mix(mix(s.base, s.bits), static_cast<std::uint64_t>(s.remaining) << 24 |
                                                 static_cast<std::uint64_t>(s.low) << 16 |
                                                 static_cast<std::uint64_t>(s.high) << 8 |
                                                 static_cast<std::uint64_t>(s.certain));
  for (const std::uint32_t top : s.tops) h = mix(h, top);
  return h;
}

Automaton::Automaton(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  places_.emplace_back();  // kBottom.
  seen_.push_back(0);
  intern({});  // kDead.
  ++round_;
  go(Grammar::kStart, kBottom);
  close();
  StateData first;
  first.tops = tops_;
  start_ = intern(std::move(first));
}

bool Automaton::crowded() const noexcept {
  return states_.size() > kManyStates || places_.size() > kManyPlaces || stored_ > kMaxStored / 4;
}

void Automaton::spend(std::size_t steps) {
  work_ += steps;
  if (work_ > kMaxWork) {
    throw Error(ErrorCode::kLimit,
                "grammar: more than " + std::to_string(kMaxWork) +
                    " steps for one token found, expected a less ambiguous grammar");
  }
}

std::uint32_t Automaton::place(std::uint32_t pc, std::uint32_t count, std::uint32_t parent) {
  const Place wanted{pc, count, parent, places_[parent].depth + 1};
  const std::uint64_t h = hash(wanted);
  const std::uint32_t found = place_index_.find(h, [&](std::uint32_t i) {
    return places_[i].pc == pc && places_[i].count == count && places_[i].parent == parent;
  });
  if (found != HashIndex::kNone) return found;
  if (wanted.depth > kMaxStackDepth) {
    throw Error(ErrorCode::kLimit, "grammar: a text nested deeper than " +
                                       std::to_string(kMaxStackDepth) + " rules found");
  }
  if (places_.size() == kMaxPlaces) {
    throw Error(ErrorCode::kLimit, "grammar: more than " + std::to_string(kMaxPlaces) +
                                       " places found, expected a less ambiguous grammar");
  }
  const auto number = static_cast<std::uint32_t>(places_.size());
  places_.push_back(wanted);
  seen_.push_back(0);
  place_index_.insert(h, number, [&](std::uint32_t i) { return hash(places_[i]); });
  return number;
}

Automaton::State Automaton::intern(StateData&& data) {
  const std::uint64_t h = hash(data);
  const std::uint32_t found = state_index_.find(h, [&](std::uint32_t i) {
    const StateData& s = states_[i];
    return s.base == data.base && s.bits == data.bits && s.remaining == data.remaining &&
           s.low == data.low && s.high == data.high && s.certain == data.certain &&
           s.tops == data.tops;
  });
  if (found != HashIndex::kNone) return found;
  stored_ += data.tops.size();
  if (states_.size() == kMaxStates || stored_ > kMaxStored) {
    throw Error(ErrorCode::kLimit, "grammar: more than " + std::to_string(kMaxStates) +
                                       " states for one token found, expected a less ambiguous "
                                       "grammar");
  }
  data.can_end = data.remaining == 0 && !data.tops.empty() && data.tops[0] == kBottom;
  data.can_go_on = data.remaining > 0 || data.tops.size() > (data.can_end ? 1u : 0u);
  const auto number = static_cast<State>(states_.size());
  states_.push_back(std::move(data));
  state_index_.insert(h, number, [&](std::uint32_t i) { return hash(states_[i]); });
  return number;
}

std::uint32_t Automaton::after_jumps(std::uint32_t pc) const noexcept {
  const std::vector<Instruction>& code = grammar_->code();
  while (code[pc].op == Op::kJump) pc = code[pc].target;
  return pc;
}

void Automaton::go(std::uint32_t pc, std::uint32_t parent) {
  pc = after_jumps(pc);
  // A return is followed at once: the place below it is one already.
  go_to(grammar_->code()[pc].op == Op::kReturn ? parent : place(pc, 0, parent));
}

void Automaton::go_to(std::uint32_t place) {
  if (seen_[place] == round_) return;
  // A body that was begun in this very step and is over again was empty. The place before it can
  // do all that comes after an empty body, so that nothing is lost (and no count runs up idly).
  if (std::ranges::find(entered_, place) != entered_.end()) return;
  seen_[place] = round_;
  open_.push_back(place);
}

// Requires ++round_ before the first go() of a step.
void Automaton::close() {
  tops_.clear();
  while (!open_.empty()) {
    const std::uint32_t top = open_.back();
    open_.pop_back();
    follow(top);
  }
  entered_.clear();
  std::ranges::sort(tops_);
  spend(tops_.size());
  if (tops_.size() > kMaxStacks) {
    throw Error(ErrorCode::kLimit, "grammar: " + std::to_string(tops_.size()) +
                                       " ways to read the text found, expected at most " +
                                       std::to_string(kMaxStacks));
  }
}

void Automaton::follow(std::uint32_t number) {
  spend(1);
  if (number == kBottom) {
    tops_.push_back(kBottom);
    return;
  }
  const Place at = places_[number];
  const Instruction& one = grammar_->code()[at.pc];
  switch (one.op) {
    case Op::kChar:
      tops_.push_back(number);
      break;
    case Op::kJump:
      go(one.target, at.parent);
      break;
    case Op::kSplit:
      go(at.pc + 1, at.parent);
      go(one.target, at.parent);
      break;
    case Op::kReturn:
      go_to(at.parent);
      break;
    case Op::kCall: {
      // The last thing of a rule needs no place to come back to: stacks of lists stay flat.
      const std::uint32_t back = after_jumps(at.pc + 1);
      const bool last = grammar_->code()[back].op == Op::kReturn;
      go(one.target, last ? at.parent : place(back, 0, at.parent));
      break;
    }
    case Op::kRepeat: {
      const std::uint32_t min = one.nullable ? 0 : one.min;
      if (at.count >= min) go(one.target, at.parent);
      if (one.max != kUnbounded && at.count >= one.max) break;
      // Without an upper limit all counts from the lower one on are the same.
      const std::uint32_t count =
          one.max == kUnbounded ? std::min(at.count + 1, min) : at.count + 1;
      const std::uint32_t below = place(at.pc, count, at.parent);
      if (one.nullable) entered_.push_back(below);
      go(at.pc + 1, below);
      break;
    }
  }
}

Automaton::State Automaton::step(State state, std::uint32_t code_point) {
  if (++round_ == 0) {  // Wrapped around: forget all rounds.
    std::ranges::fill(seen_, 0);
    round_ = 1;
  }
  open_.clear();
  entered_.clear();
  // Indices, because states_ and places_ may move; tops of a state never change.
  const std::size_t count = states_[state].tops.size();
  spend(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t top = states_[state].tops[i];
    if (top == kBottom) continue;
    const Place at = places_[top];
    if (grammar_->classes()[grammar_->code()[at.pc].target].has(code_point))
      go(at.pc + 1, at.parent);
  }
  close();
  if (tops_.empty()) return kDead;
  StateData data;
  data.tops = tops_;
  return intern(std::move(data));
}

// The state inside of a character. Where all characters that it can become lead to the same state,
// that is what it remembers: most texts go through few such states.
Automaton::State Automaton::enter(State base, std::uint32_t bits, std::uint8_t remaining,
                                  std::uint8_t low, std::uint8_t high) {
  const unsigned shift = 6u * (remaining - 1u);
  const std::uint32_t first = (bits << 6 | (low & 0x3Fu)) << shift;
  const std::uint32_t last = (((bits << 6 | (high & 0x3Fu)) + 1) << shift) - 1;
  bool some = false, mixed = false;
  spend(states_[base].tops.size());
  for (const std::uint32_t top : states_[base].tops) {
    if (top == kBottom) continue;
    const CharClass& chars = grammar_->classes()[grammar_->code()[places_[top].pc].target];
    const CharClass::Cover cover = chars.cover(first, last);
    some = some || cover != CharClass::Cover::kNone;
    mixed = mixed || cover == CharClass::Cover::kSome;
  }
  if (!some) return kDead;
  StateData data;
  data.certain = !mixed;
  data.base = mixed ? base : step(base, first);
  data.bits = mixed ? bits : 0;
  data.remaining = remaining;
  data.low = low;
  data.high = high;
  return intern(std::move(data));
}

Automaton::State Automaton::compute(State state, std::uint8_t byte) {
  const StateData& s = states_[state];
  if (s.remaining == 0) {
    if (byte < 0x80) return step(state, byte);
    const Utf8Lead lead = utf8_lead(byte);
    if (lead.following == 0) return kDead;
    return enter(state, byte & (0x3Fu >> lead.following), static_cast<std::uint8_t>(lead.following),
                 lead.low, lead.high);
  }
  if (byte < s.low || byte > s.high) return kDead;
  const std::uint32_t bits = s.bits << 6 | (byte & 0x3Fu);
  if (!s.certain) {
    return s.remaining == 1
               ? step(s.base, bits)
               : enter(s.base, bits, static_cast<std::uint8_t>(s.remaining - 1), 0x80, 0xBF);
  }
  if (s.remaining == 1) return s.base;
  StateData data;
  data.certain = true;
  data.base = s.base;
  data.remaining = static_cast<std::uint8_t>(s.remaining - 1);
  data.low = 0x80;
  data.high = 0xBF;
  return intern(std::move(data));
}

Automaton::State Automaton::next(State state, std::uint8_t byte) {
  {
    const StateData& s = states_[state];
    if (s.all) {
      if ((*s.all)[byte] != kUnknown) return (*s.all)[byte];
    } else {
      for (const auto& [known, to] : s.few) {
        if (known == byte) return to;
      }
    }
  }
  const State to = state == kDead ? kDead : compute(state, byte);
  StateData& s = states_[state];
  if (!s.all && s.few.size() == kFew) {
    s.all = std::make_unique<std::array<State, 256>>();
    s.all->fill(kUnknown);
    for (const auto& [known, known_to] : s.few) (*s.all)[known] = known_to;
    s.few.clear();
  }
  if (s.all) {
    (*s.all)[byte] = to;
  } else {
    s.few.emplace_back(byte, to);
  }
  return to;
}

Automaton::State Automaton::adopt(const Automaton& other, State state) {
  const StateData& from = other.states_[state];
  if (from.remaining > 0) {
    StateData data;
    data.base = adopt(other, from.base);  // One level: a base is between characters.
    data.bits = from.bits;
    data.remaining = from.remaining;
    data.low = from.low;
    data.high = from.high;
    data.certain = from.certain;
    return intern(std::move(data));
  }
  StateData data;
  std::vector<std::uint32_t> stack;
  for (std::uint32_t top : from.tops) {
    stack.clear();
    for (; top != kBottom; top = other.places_[top].parent) stack.push_back(top);
    std::uint32_t here = kBottom;
    for (; !stack.empty(); stack.pop_back()) {
      const Place& p = other.places_[stack.back()];
      here = place(p.pc, p.count, here);
    }
    data.tops.push_back(here);
  }
  std::ranges::sort(data.tops);
  return intern(std::move(data));
}

}  // namespace tern::grammar
