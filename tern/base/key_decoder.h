// Keys, out of the bytes that a terminal sends for them (ECMA-48, xterm's control sequences).
#pragma once

#include <optional>
#include <string>

namespace tern {

enum class KeyKind {
  kText,     // One character, in `text`.
  kNewline,  // A line break that does not send: pasted, or Alt-Enter.
  kEnter,
  kBackspace,
  kDelete,
  kLeft,
  kRight,
  kUp,
  kDown,
  kHome,
  kEnd,
  kWordLeft,
  kWordRight,
  kDeleteWordLeft,
  kDeleteWordRight,
  kKillToEnd,
  kKillToStart,
  kYank,
  kClearScreen,
  kEndOfInput,  // Ctrl-D.
  kInterrupt,   // Ctrl-C.
  kSuspend,     // Ctrl-Z.
};

struct Key {
  KeyKind kind = KeyKind::kText;
  std::string text;
};

// Byte by byte. What is no key that an editor has, and broken UTF-8, is dropped.
class KeyDecoder {
 public:
  // Takes the next byte; a key where it completes one.
  std::optional<Key> push(unsigned char byte);
  // Inside of an escape sequence: more bytes should follow at once.
  bool waiting() const noexcept { return !held_.empty() && held_[0] == '\033'; }
  // None came: what was begun is dropped (a lone Escape key).
  void give_up() noexcept { held_.clear(); }

 private:
  std::optional<Key> begin(unsigned char byte);
  std::optional<Key> pasted(unsigned char byte);
  std::optional<Key> escape(unsigned char byte);
  std::optional<Key> control_sequence(unsigned char final);

  std::string held_;
  bool pasting_ = false;  // Between the marks of a bracketed paste.
  bool after_cr_ = false;
};

}  // namespace tern
