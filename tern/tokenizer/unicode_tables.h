// Unicode 14's properties as sorted tables, without ASCII. Internal to tern/tokenizer.
#pragma once

#include <cstdint>
#include <span>

namespace tern::tokenizer {

enum class CharKind : std::uint8_t { kLetter, kNumber, kPunctuation };  // Categories L, N, P.

struct CharKindRange {
  std::uint32_t first, last;
  CharKind kind;
};

struct CombiningRange {
  std::uint32_t first, last;
  std::uint8_t combining_class;  // Not 0.
};

// One step of canonical decomposition; Hangul syllables are left to arithmetic.
struct Decomposition {
  std::uint32_t code_point, first, second;  // second: 0 if there is only one part.
  bool composes;                            // Composition goes the way back.
};

extern const std::span<const CharKindRange> kCharKinds;
extern const std::span<const CombiningRange> kCombiningClasses;
extern const std::span<const Decomposition> kDecompositions;  // By code point.

}  // namespace tern::tokenizer
