// Control characters, escape sequences, UTF-8, bracketed paste.
#include "tern/base/key_decoder.h"

#include <charconv>

#include "tern/base/utf8.h"

namespace tern {
namespace {

constexpr unsigned char kEscape = 0x1B;
constexpr unsigned char kDel = 0x7F;
constexpr unsigned char kCtrlC = 3;
constexpr std::size_t kLongestSequence = 32;  // Longer ones are none that we know.

std::optional<Key> key(KeyKind kind) { return Key{kind, {}}; }

std::optional<Key> control_key(unsigned char byte) {
  switch (byte) {
    case 'A' - '@':
      return key(KeyKind::kHome);
    case 'B' - '@':
      return key(KeyKind::kLeft);
    case kCtrlC:
      return key(KeyKind::kInterrupt);
    case 'D' - '@':
      return key(KeyKind::kEndOfInput);
    case 'E' - '@':
      return key(KeyKind::kEnd);
    case 'F' - '@':
      return key(KeyKind::kRight);
    case 'H' - '@':
    case kDel:
      return key(KeyKind::kBackspace);
    case '\t':
      return Key{KeyKind::kText, "\t"};
    case '\n':
    case '\r':
      return key(KeyKind::kEnter);
    case 'K' - '@':
      return key(KeyKind::kKillToEnd);
    case 'L' - '@':
      return key(KeyKind::kClearScreen);
    case 'N' - '@':
      return key(KeyKind::kDown);
    case 'P' - '@':
      return key(KeyKind::kUp);
    case 'U' - '@':
      return key(KeyKind::kKillToStart);
    case 'W' - '@':
      return key(KeyKind::kDeleteWordLeft);
    case 'Y' - '@':
      return key(KeyKind::kYank);
    case 'Z' - '@':
      return key(KeyKind::kSuspend);
    default:
      return std::nullopt;
  }
}

std::optional<Key> alt_key(unsigned char byte) {
  switch (byte) {
    case 'b':
      return key(KeyKind::kWordLeft);
    case 'f':
      return key(KeyKind::kWordRight);
    case 'd':
      return key(KeyKind::kDeleteWordRight);
    case '\b':
    case kDel:
      return key(KeyKind::kDeleteWordLeft);
    case '\r':
    case '\n':
      return key(KeyKind::kNewline);
    default:
      return std::nullopt;
  }
}

// "CSI 3 ~" and its kin: keys by number.
std::optional<Key> numbered_key(int number) {
  switch (number) {
    case 1:
    case 7:
      return key(KeyKind::kHome);
    case 3:
      return key(KeyKind::kDelete);
    case 4:
    case 8:
      return key(KeyKind::kEnd);
    default:
      return std::nullopt;
  }
}

// "CSI 1 ; 5 C" and its kin; `by_word`: with Ctrl or Alt held.
std::optional<Key> cursor_key(unsigned char final, bool by_word) {
  switch (final) {
    case 'A':
      return key(KeyKind::kUp);
    case 'B':
      return key(KeyKind::kDown);
    case 'C':
      return key(by_word ? KeyKind::kWordRight : KeyKind::kRight);
    case 'D':
      return key(by_word ? KeyKind::kWordLeft : KeyKind::kLeft);
    case 'F':
      return key(KeyKind::kEnd);
    case 'H':
      return key(KeyKind::kHome);
    default:
      return std::nullopt;
  }
}

// The number at `at`, 0 where there is none.
int number_at(const std::string& text, std::size_t at) {
  int number = 0;
  if (at < text.size()) std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

}  // namespace

std::optional<Key> KeyDecoder::push(unsigned char byte) {
  if (held_.empty()) return begin(byte);
  if (held_[0] == static_cast<char>(kEscape)) return escape(byte);
  const Utf8Lead lead = utf8_lead(static_cast<unsigned char>(held_[0]));
  const bool first = held_.size() == 1;
  if (byte < (first ? lead.low : 0x80) || byte > (first ? lead.high : 0xBF)) {
    held_.clear();
    return begin(byte);
  }
  held_ += static_cast<char>(byte);
  if (held_.size() <= lead.following) return std::nullopt;
  Key whole{KeyKind::kText, held_};
  held_.clear();
  return whole;
}

std::optional<Key> KeyDecoder::begin(unsigned char byte) {
  const bool after_cr = after_cr_;
  after_cr_ = false;
  if (byte == kEscape || utf8_lead(byte).following > 0) {
    held_.assign(1, static_cast<char>(byte));
    return std::nullopt;
  }
  if (byte >= 0x80) return std::nullopt;
  if (pasting_ && after_cr && byte == '\n') return std::nullopt;  // CR LF is one line break.
  if (pasting_ && (byte < 0x20 || byte == kDel)) return pasted(byte);
  if (byte < 0x20 || byte == kDel) return control_key(byte);
  return Key{KeyKind::kText, std::string(1, static_cast<char>(byte))};
}

std::optional<Key> KeyDecoder::pasted(unsigned char byte) {
  after_cr_ = byte == '\r';
  if (byte == '\r' || byte == '\n') return key(KeyKind::kNewline);
  if (byte == '\t') return Key{KeyKind::kText, "\t"};
  if (byte != kCtrlC) return std::nullopt;
  pasting_ = false;  // A terminal that never ends its paste must not take Ctrl-C away.
  return key(KeyKind::kInterrupt);
}

std::optional<Key> KeyDecoder::escape(unsigned char byte) {
  if (held_.size() == 1) {
    if (byte == '[' || (byte == 'O' && !pasting_)) {
      held_ += static_cast<char>(byte);
      return std::nullopt;
    }
    held_.clear();
    if (pasting_) return begin(byte);
    if (const auto found = alt_key(byte)) return found;
    return byte < 0x20 || byte >= 0x80 ? begin(byte) : std::nullopt;
  }
  if (byte < 0x20 || byte >= kDel || held_.size() > kLongestSequence) {
    held_.clear();
    return begin(byte);
  }
  held_ += static_cast<char>(byte);
  std::optional<Key> found;
  if (held_[1] == 'O') {
    found = cursor_key(byte, false);
  } else {
    if (byte == '[' && held_.size() == 3) return std::nullopt;  // The Linux console's F1 to F5.
    if (byte < 0x40) return std::nullopt;                       // Parameters.
    found = control_sequence(byte);
  }
  held_.clear();
  return found;
}

std::optional<Key> KeyDecoder::control_sequence(unsigned char final) {
  if (held_[2] == '[') return std::nullopt;
  const int number = number_at(held_, 2);
  if (final == '~' && (number == 200 || number == 201)) {
    pasting_ = number == 200;
    return std::nullopt;
  }
  if (pasting_) return std::nullopt;
  if (final == '~') return numbered_key(number);
  const std::size_t semicolon = held_.find(';');
  // The modifiers are one more than a sum: Shift 1, Alt 2, Ctrl 4.
  const int modifiers = semicolon == std::string::npos ? 0 : number_at(held_, semicolon + 1) - 1;
  return cursor_key(final, (modifiers & 6) != 0);
}

}  // namespace tern
