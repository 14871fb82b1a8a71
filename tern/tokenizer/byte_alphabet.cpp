// Bytes that are printable in Latin-1 stand for themselves; the other 68 are numbered from U+0100.
#include "tern/tokenizer/byte_alphabet.h"

#include <array>

#include "tern/base/utf8.h"

namespace tern::tokenizer {
namespace {

constexpr std::uint32_t kFirstStandIn = 0x100;
constexpr std::uint32_t kStandIns = 68;

constexpr bool stands_for_itself(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<std::uint32_t, 256> char_of{};
  std::array<int, kFirstStandIn + kStandIns> byte_of{};  // -1: not in the alphabet.

  constexpr Alphabet() {
    for (int& b : byte_of) b = -1;
    std::uint32_t next = kFirstStandIn;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      char_of[byte] = stands_for_itself(byte) ? byte : next++;
      byte_of[char_of[byte]] = static_cast<int>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::string to_printable(std::string_view bytes) {
  std::string piece;
  piece.reserve(bytes.size() * 2);
  for (const char c : bytes) append_utf8(piece, kAlphabet.char_of[static_cast<unsigned char>(c)]);
  return piece;
}

std::optional<std::string> from_printable(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size());
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Char c = next_char(piece, at);
    if (!c.valid || c.code_point >= kAlphabet.byte_of.size()) return std::nullopt;
    const int byte = kAlphabet.byte_of[c.code_point];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    at += c.size;
  }
  return bytes;
}

}  // namespace tern::tokenizer
