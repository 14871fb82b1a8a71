// A grammar as a machine over bytes that is built while it is used.
//
// A state is what may still come after some text: a set of stacks of places in the grammar, or such
// a set inside of a UTF-8 character. Equal sets are one state and have one number; each step is
// computed once. Stacks share their lower parts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tern/grammar/grammar.h"

namespace tern::grammar {

// Limits of a running grammar; beyond them Error(kLimit).
inline constexpr std::size_t kMaxStacks = 1 << 14;             // Of one state.
inline constexpr std::uint32_t kMaxStackDepth = 1 << 14;       // Rules inside rules.
inline constexpr std::size_t kMaxWork = std::size_t{1} << 25;  // Steps between two calls of rest().

// Finds numbers of things by their hash: open addressing over what the owner stores.
class HashIndex {
 public:
  // The number of the thing that `equals(number)` tells, or `none` where there is none.
  template <typename Equals>
  std::uint32_t find(std::uint64_t hash, const Equals& equals) const;
  // `hash_of(number)` is asked for each number stored when the table grows.
  template <typename HashOf>
  void insert(std::uint64_t hash, std::uint32_t number, const HashOf& hash_of);

  static constexpr std::uint32_t kNone = UINT32_MAX;

 private:
  std::vector<std::uint32_t> slots_;
  std::size_t used_ = 0;
};

// One thread at a time: a step that is new changes the tables.
class Automaton {
 public:
  using State = std::uint32_t;
  static constexpr State kDead = 0;  // No text gets here.

  explicit Automaton(std::shared_ptr<const Grammar> grammar);

  State start() const noexcept { return start_; }
  // The state behind one more byte; kDead where the grammar has no text that goes on so.
  State next(State state, std::uint8_t byte);
  // The text may end here. Never inside of a character.
  bool can_end(State state) const noexcept { return states_[state].can_end; }
  // Some byte may follow.
  bool can_go_on(State state) const noexcept { return states_[state].can_go_on; }

  // Many states have come together: a user that has time begins again with adopt().
  bool crowded() const noexcept;
  // The state of this automaton that `state` is in `other`, which has the same grammar.
  State adopt(const Automaton& other, State state);
  // The next kMaxWork steps begin here. A user calls it once per byte or token that it computes.
  void rest() noexcept { work_ = 0; }

  const std::shared_ptr<const Grammar>& grammar() const noexcept { return grammar_; }
  std::size_t states() const noexcept { return states_.size(); }

 private:
  // A place in the grammar and, below it, where to go on when its rule ends. Stacks are lists of
  // these; each exists once.
  struct Place {
    std::uint32_t pc = 0;
    std::uint32_t count = 0;   // kRepeat: bodies begun so far.
    std::uint32_t parent = 0;  // kBottom: nothing.
    std::uint32_t depth = 0;
  };
  static constexpr std::uint32_t kBottom = 0;

  // A set of stacks between two characters (remaining 0), or inside of one.
  struct StateData {
    std::vector<std::uint32_t> tops;  // Sorted; all at kChar. kBottom among them: may end.
    // Inside of a character: either all that it can become leads to `base` (certain), or `base` is
    // the state before the character, whose bits so far are `bits`.
    State base = 0;
    std::uint32_t bits = 0;
    std::uint8_t remaining = 0, low = 0, high = 0;  // Bytes to come; the range of the next.
    bool certain = false;
    bool can_end = false, can_go_on = false;
    std::vector<std::pair<std::uint8_t, State>> few;  // Steps known; while there are few.
    std::unique_ptr<std::array<State, 256>> all;      // Else.
  };

  State compute(State state, std::uint8_t byte);
  State step(State state, std::uint32_t code_point);
  State enter(State base, std::uint32_t bits, std::uint8_t remaining, std::uint8_t low,
              std::uint8_t high);
  void close();  // Follows open_ to places that wait for a character: tops_.
  void follow(std::uint32_t place);
  void go(std::uint32_t pc, std::uint32_t parent);
  void go_to(std::uint32_t place);
  std::uint32_t place(std::uint32_t pc, std::uint32_t count, std::uint32_t parent);
  std::uint32_t after_jumps(std::uint32_t pc) const noexcept;
  State intern(StateData&& data);
  void spend(std::size_t steps);
  static std::uint64_t hash(const Place& place) noexcept;
  static std::uint64_t hash(const StateData& state) noexcept;

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Place> places_;
  HashIndex place_index_;
  std::vector<StateData> states_;
  HashIndex state_index_;
  State start_ = 0;
  std::size_t work_ = 0, stored_ = 0;  // stored_: tops of all states.

  // Scratch of close().
  std::vector<std::uint32_t> open_, tops_, entered_;
  std::vector<std::uint32_t> seen_;  // Of each place, the round in which it was met.
  std::uint32_t round_ = 0;
};

}  // namespace tern::grammar
