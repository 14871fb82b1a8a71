// Sets of code points as sorted ranges.
#include "tern/grammar/char_class.h"

#include <algorithm>
#include <utility>

namespace tern::grammar {

CharClass::CharClass(std::vector<CharRange> ranges) {
  constexpr CharRange kSurrogates{0xD800, 0xDFFF};
  std::vector<CharRange> scalar;
  for (const CharRange& range : ranges) {
    if (range.low < kSurrogates.low) {
      scalar.push_back({range.low, std::min(range.high, kSurrogates.low - 1)});
    }
    if (range.high > kSurrogates.high) {
      scalar.push_back({std::max(range.low, kSurrogates.high + 1), range.high});
    }
  }
  std::ranges::sort(scalar);
  for (const CharRange& range : scalar) {
    if (!ranges_.empty() && range.low <= ranges_.back().high + 1) {
      ranges_.back().high = std::max(ranges_.back().high, range.high);
    } else {
      ranges_.push_back(range);
    }
  }
  for (const CharRange& range : ranges_) {
    for (std::uint32_t c = range.low; c <= range.high && c < 128; ++c) {
      ascii_[c / 64] |= std::uint64_t{1} << (c % 64);
    }
  }
}

CharClass CharClass::complement() const {
  std::vector<CharRange> out;
  std::uint32_t next = 0;
  for (const CharRange& range : ranges_) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kMaxCodePoint) out.push_back({next, kMaxCodePoint});
  return CharClass(std::move(out));
}

bool CharClass::has(std::uint32_t code_point) const noexcept {
  if (code_point < 128) return ((ascii_[code_point / 64] >> (code_point % 64)) & 1) != 0;
  return cover(code_point, code_point) == Cover::kAll;
}

CharClass::Cover CharClass::cover(std::uint32_t low, std::uint32_t high) const noexcept {
  const auto range = std::ranges::lower_bound(ranges_, low, {}, &CharRange::high);
  if (range == ranges_.end() || range->low > high) return Cover::kNone;
  return range->low <= low && range->high >= high ? Cover::kAll : Cover::kSome;
}

}  // namespace tern::grammar
