// A set of Unicode code points, as a character class of a grammar means it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tern::grammar {

inline constexpr std::uint32_t kMaxCodePoint = 0x10FFFF;

struct CharRange {
  std::uint32_t low = 0, high = 0;  // Both are in it.
  auto operator<=>(const CharRange&) const = default;
};

// Sorted, without overlaps or neighbours; no surrogates, which UTF-8 never holds.
class CharClass {
 public:
  enum class Cover { kNone, kSome, kAll };

  CharClass() = default;
  // Any order, overlaps allowed; requires low <= high <= kMaxCodePoint.
  explicit CharClass(std::vector<CharRange> ranges);
  CharClass complement() const;

  bool has(std::uint32_t code_point) const noexcept;
  // How much of [low, high] is in the class.
  Cover cover(std::uint32_t low, std::uint32_t high) const noexcept;
  bool empty() const noexcept { return ranges_.empty(); }
  const std::vector<CharRange>& ranges() const noexcept { return ranges_; }
  auto operator<=>(const CharClass& other) const { return ranges_ <=> other.ranges_; }
  bool operator==(const CharClass& other) const { return ranges_ == other.ranges_; }

 private:
  std::vector<CharRange> ranges_;
  std::array<std::uint64_t, 2> ascii_{};  // The same for the first 128 code points.
};

}  // namespace tern::grammar
