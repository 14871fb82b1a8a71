// Character classes and NFC.
#include "tern/tokenizer/unicode.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "tern/base/utf8.h"
#include "tern/tokenizer/unicode_tables.h"

namespace tern::tokenizer {
namespace {

// The property White_Space.
bool is_space(std::uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

template <typename Range>
const Range* find_range(std::span<const Range> ranges, std::uint32_t c) noexcept {
  const auto it = std::lower_bound(ranges.begin(), ranges.end(), c,
                                   [](const Range& r, std::uint32_t x) { return r.last < x; });
  return it != ranges.end() && it->first <= c ? &*it : nullptr;
}

int combining_class(std::uint32_t c) noexcept {
  if (c < 0x300) return 0;
  const CombiningRange* range = find_range(kCombiningClasses, c);
  return range == nullptr ? 0 : range->combining_class;
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
constexpr std::uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr std::uint32_t kLCount = 19, kVCount = 21, kTCount = 28;
constexpr std::uint32_t kSCount = kLCount * kVCount * kTCount;

void decompose(std::uint32_t c, std::vector<std::uint32_t>& out) {
  if (c < 0xC0) {
    out.push_back(c);
    return;
  }
  if (c >= kSBase && c < kSBase + kSCount) {
    const std::uint32_t s = c - kSBase;
    out.push_back(kLBase + s / (kVCount * kTCount));
    out.push_back(kVBase + s % (kVCount * kTCount) / kTCount);
    if (s % kTCount != 0) out.push_back(kTBase + s % kTCount);
    return;
  }
  const auto it =
      std::lower_bound(kDecompositions.begin(), kDecompositions.end(), c,
                       [](const Decomposition& d, std::uint32_t x) { return d.code_point < x; });
  if (it == kDecompositions.end() || it->code_point != c) {
    out.push_back(c);
    return;
  }
  decompose(it->first, out);  // At most four steps deep.
  if (it->second != 0) decompose(it->second, out);
}

// What two characters compose to.
std::optional<std::uint32_t> compose(std::uint32_t a, std::uint32_t b) {
  if (a >= kLBase && a < kLBase + kLCount && b >= kVBase && b < kVBase + kVCount) {
    return kSBase + ((a - kLBase) * kVCount + (b - kVBase)) * kTCount;
  }
  if (a >= kSBase && a < kSBase + kSCount && (a - kSBase) % kTCount == 0 && b > kTBase &&
      b < kTBase + kTCount) {
    return a + (b - kTBase);
  }
  const auto before = [](const Decomposition& x, const Decomposition& y) {
    return x.first != y.first ? x.first < y.first : x.second < y.second;
  };
  static const std::vector<Decomposition> pairs = [&] {
    std::vector<Decomposition> sorted;
    std::copy_if(kDecompositions.begin(), kDecompositions.end(), std::back_inserter(sorted),
                 [](const Decomposition& d) { return d.composes; });
    std::sort(sorted.begin(), sorted.end(), before);
    return sorted;
  }();
  const auto it =
      std::lower_bound(pairs.begin(), pairs.end(), Decomposition{0, a, b, true}, before);
  if (it == pairs.end() || it->first != a || it->second != b) return std::nullopt;
  return it->code_point;
}

// Marks that follow a character come in the order of their combining classes, equal ones as they
// stood. Sorted by keys of class, place and character (8, 35 and 21 bits).
void order_marks(std::vector<std::uint32_t>& code_points) {
  std::vector<std::uint64_t> keys;
  for (std::size_t i = 0; i < code_points.size();) {
    if (combining_class(code_points[i]) == 0) {
      ++i;
      continue;
    }
    keys.clear();
    std::size_t end = i;
    for (; end < code_points.size(); ++end) {
      const std::uint32_t c = code_points[end];
      const auto c_class = static_cast<std::uint64_t>(combining_class(c));
      if (c_class == 0) break;
      keys.push_back(c_class << 56 | (end - i) << 21 | c);
    }
    std::sort(keys.begin(), keys.end());
    for (const std::uint64_t key : keys) code_points[i++] = key & 0x1FFFFF;
  }
}

// Each character joins the last starter before it, unless a mark between them blocks it: one of the
// same or a higher class, or, for a starter, anything at all.
void compose_all(std::vector<std::uint32_t>& code_points) {
  std::size_t kept = 0, starter = 0;
  bool has_starter = false;
  int last_class = 0;
  for (const std::uint32_t c : code_points) {
    const int c_class = combining_class(c);
    const bool adjacent = has_starter && starter + 1 == kept;
    const bool free = has_starter && (adjacent || (last_class != 0 && last_class < c_class));
    if (free) {
      if (const auto joined = compose(code_points[starter], c)) {
        code_points[starter] = *joined;
        continue;
      }
    }
    if (c_class == 0) {
      starter = kept;
      has_starter = true;
    }
    last_class = c_class;
    code_points[kept++] = c;
  }
  code_points.resize(kept);
}

// Appends the NFC of `code_points` to `out`, and empties them.
void flush(std::vector<std::uint32_t>& code_points, std::string& out) {
  std::vector<std::uint32_t> parts;
  parts.reserve(code_points.size());
  for (const std::uint32_t c : code_points) decompose(c, parts);
  order_marks(parts);
  compose_all(parts);
  for (const std::uint32_t c : parts) append_utf8(out, c);
  code_points.clear();
}

}  // namespace

CharClass char_class(std::uint32_t c) noexcept {
  if (is_space(c)) return CharClass::kSpace;
  if (c < 0x80) {
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return CharClass::kLetter;
    return c >= '0' && c <= '9' ? CharClass::kNumber : CharClass::kOther;
  }
  const CharKindRange* range = find_range(kCharKinds, c);
  if (range == nullptr || range->kind == CharKind::kPunctuation) return CharClass::kOther;
  return range->kind == CharKind::kLetter ? CharClass::kLetter : CharClass::kNumber;
}

bool is_punctuation(std::uint32_t c) noexcept {
  if (c < 0x80) {
    constexpr std::string_view kAscii = "!\"#%&'()*,-./:;?@[\\]_{}";
    return kAscii.find(static_cast<char>(c)) != kAscii.npos;
  }
  const CharKindRange* range = find_range(kCharKinds, c);
  return range != nullptr && range->kind == CharKind::kPunctuation;
}

std::string to_nfc(std::string_view text) {
  // Nothing below U+0300 ever changes or composes.
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0xCC;  // The lead byte of U+0300.
  });
  if (plain) return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::vector<std::uint32_t> pending;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = next_char(text, at);
    if (c.valid) {
      pending.push_back(c.code_point);
    } else {
      flush(pending, out);
      out.append(text, at, c.size);
    }
    at += c.size;
  }
  flush(pending, out);
  return out;
}

}  // namespace tern::tokenizer
