// Tables behind python_text.h, made by make_text_tables.py.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tern::jinja {

// Every `stride`-th code point from first to last becomes the one `delta` further.
struct CaseRun {
  std::uint32_t first, last, stride;
  std::int32_t delta;
};

// A code point that becomes several, as UTF-8.
struct LongCase {
  std::uint32_t code_point;
  std::string_view text;
};

// Both in order of code points.
struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const LongCase> longs;
};

struct HiddenRun {
  std::uint32_t first, last;
};

extern const CaseTable kUpperTable, kLowerTable;
extern const CaseTable kTitleTable;                    // Where title case is not upper case.
extern const std::span<const HiddenRun> kHiddenTable;  // What repr() writes as an escape.

}  // namespace tern::jinja
