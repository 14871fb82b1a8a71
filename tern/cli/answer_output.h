// What `tern run` shows of what a model writes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tern/engine/generator.h"

namespace tern::cli {

// Writes a piece of a model's text to stdout, at once. A terminal is given no control characters
// but line feed and tab: a text could rewrite the screen, or type for the user.
void write_answer(std::string_view piece);

double per_second(std::size_t count, double seconds);  // 0 where there is nothing to divide.

// "prompt 5 tokens at 80.1 tokens/s; wrote 16 tokens at 30.2 tokens/s; the text is at its end".
std::string answer_summary(const engine::GenerateResult& result);

}  // namespace tern::cli
