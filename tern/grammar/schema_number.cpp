// Ranges of numbers as grammars.
#include <algorithm>
#include <vector>

#include "tern/grammar/schema_rules.h"

namespace tern::grammar {
namespace {

constexpr std::uint64_t kSixteenDigits = 9999999999999999u;
constexpr std::uint64_t kNineteenDigits = 9223372036854775807u;
// Where a number has bounds, its fraction has at most six digits: read as a double, it never rounds
// up to the bound.
constexpr const char* kFraction = R"(("." [0-9]{1,6})?)";

std::string any_digits(std::size_t count) {
  if (count == 0) return "";
  return count == 1 ? " [0-9]" : " [0-9]{" + std::to_string(count) + "}";
}

std::string digit_range(char low, char high) {
  if (low == high) return std::string("\"") + low + "\"";
  return std::string("[") + low + "-" + high + "]";
}

// Numbers of as many digits as both bounds have.
std::string same_length(const std::string& low, const std::string& high) {
  const std::size_t rest = low.size() - 1;
  const std::string zeros(rest, '0'), nines(rest, '9');
  if (rest == 0) return digit_range(low[0], high[0]);
  if (low[0] == high[0]) {
    return digit_range(low[0], low[0]) + " " + same_length(low.substr(1), high.substr(1));
  }
  std::vector<std::string> choices;
  char first = low[0], last = high[0];
  if (low.substr(1) != zeros) {
    choices.push_back(digit_range(first, first) + " " + same_length(low.substr(1), nines));
    ++first;
  }
  std::string tail;
  if (high.substr(1) != nines) {
    tail = digit_range(last, last) + " " + same_length(zeros, high.substr(1));
    --last;
  }
  if (first <= last) choices.push_back(digit_range(first, last) + any_digits(rest));
  if (!tail.empty()) choices.push_back(tail);
  if (choices.size() == 1) return choices[0];
  std::string out = "(" + choices[0];
  for (std::size_t i = 1; i < choices.size(); ++i) out += " | " + choices[i];
  return out + ")";
}

// Whole numbers without a sign.
std::string magnitude_between(std::uint64_t low, std::uint64_t high) {
  std::string out;
  std::uint64_t begin = 0;  // Of the numbers with as many digits as `end`.
  for (std::uint64_t end = 9; begin <= high; begin = end + 1, end = end * 10 + 9) {
    end = begin > kNineteenDigits / 10 ? kNineteenDigits : end;
    const std::uint64_t from = std::max(low, begin), to = std::min(high, end);
    if (from <= to) {
      out += (out.empty() ? "" : " | ") + same_length(std::to_string(from), std::to_string(to));
    }
    if (end == kNineteenDigits) break;
  }
  return "(" + out + ")";
}

std::uint64_t magnitude(std::int64_t x) {
  return x < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
}

std::uint64_t far_bound(std::uint64_t near) {
  return near > kSixteenDigits / 10 ? kNineteenDigits : kSixteenDigits;
}

// The parts of a range on either side of 0, as magnitudes from `low` to `high`.
struct Side {
  bool exists = false;
  std::uint64_t low = 0, high = 0;
  bool low_exclusive = false, high_exclusive = false;
};

Side positive(const IntegerBounds& b) {
  Side s;
  if (b.has_high && b.high < 0) return s;
  s.exists = true;
  if (b.has_low && b.low >= 0) {
    s.low = magnitude(b.low);
    s.low_exclusive = b.low_exclusive;
  }
  s.high = b.has_high ? magnitude(b.high) : far_bound(s.low);
  s.high_exclusive = b.has_high && b.high_exclusive;
  return s;
}

Side negative(const IntegerBounds& b) {
  IntegerBounds mirrored;
  if (b.has_low && b.low >= 0) return {};
  mirrored.has_low = b.has_high;
  mirrored.low =
      b.has_high ? static_cast<std::int64_t>(std::min(magnitude(b.high), kNineteenDigits)) : 0;
  if (b.has_high && b.high > 0) mirrored.low = 0;
  mirrored.low_exclusive = b.high_exclusive && b.has_high && b.high <= 0;
  mirrored.has_high = b.has_low;
  mirrored.high =
      b.has_low ? static_cast<std::int64_t>(std::min(magnitude(b.low), kNineteenDigits)) : 0;
  mirrored.high_exclusive = b.low_exclusive;
  return positive(mirrored);
}

std::string join(const std::string& left, const std::string& right) {
  if (left.empty()) return right;
  return right.empty() ? left : left + " | " + right;
}

// Numbers of one side, without the sign; empty: there are none.
std::string side_numbers(const Side& s) {
  std::string out;
  if (!s.exists) return out;
  std::uint64_t low = s.low;
  const std::string upper = "\"" + std::to_string(s.high) + "\"";
  if (s.low_exclusive && s.low < s.high) {
    out = "\"" + std::to_string(low) + ".\" [0-9]{0,5} [1-9]";
    ++low;
  }
  if (low < s.high) out = join(out, magnitude_between(low, s.high - 1) + " " + kFraction);
  if (low <= s.high && !s.high_exclusive && !(s.low_exclusive && s.low == s.high)) {
    out = join(out, upper + R"( ("." "0"{1,6})?)");
  }
  return out;
}

}  // namespace

std::string integer_between(const IntegerBounds& bounds) {
  const Side below = negative(bounds), above = positive(bounds);
  std::string out;
  // 0 is written without a sign.
  if (below.exists && below.high > 0) {
    out = "\"-\" " + magnitude_between(std::max<std::uint64_t>(below.low, 1), below.high);
  }
  if (above.exists) out = join(out, magnitude_between(above.low, above.high));
  return "(" + out + ")";
}

std::string number_between(const IntegerBounds& bounds) {
  const std::string below = side_numbers(negative(bounds)), above = side_numbers(positive(bounds));
  return "(" + join(below.empty() ? "" : "\"-\" (" + below + ")", above) + ")";
}

}  // namespace tern::grammar
