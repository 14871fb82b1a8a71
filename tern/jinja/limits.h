// What a template may use up. A template comes from a model's file and is not trusted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::jinja {

// What goes beyond is Error(kLimit). The defaults are far above what any known chat template needs
// for a conversation of a million characters.
struct Limits {
  std::uint64_t steps = 20'000'000;     // Statements, expressions and elements looked at.
  std::size_t depth = 500;              // Statements, expressions and calls inside each other.
  std::uint64_t text_bytes = 1U << 29;  // Of all the texts made on the way, together.
  std::size_t output_bytes = 1U << 25;  // Of one text, the result too.
};

}  // namespace tern::jinja
