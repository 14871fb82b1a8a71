// Pieces to stdout, and a summary.
#include "tern/cli/answer_output.h"

#include <fmt/core.h>

#include <cstdio>

#include "tern/base/char_width.h"
#include "tern/base/system.h"

namespace tern::cli {
namespace {

std::string_view reason_text(engine::StopReason reason) {
  switch (reason) {
    case engine::StopReason::kEndToken:
      return "the text is at its end";
    case engine::StopReason::kStopString:
      return "a stop string came up";
    case engine::StopReason::kLength:
      return "the length asked for is reached";
    case engine::StopReason::kContextFull:
      return "the context is full (-c)";
    default:
      return "interrupted";
  }
}

}  // namespace

void write_answer(std::string_view piece) {
  static const bool to_terminal = stdout_is_terminal();
  const std::string safe = to_terminal ? terminal_text(piece) : std::string(piece);
  std::fwrite(safe.data(), 1, safe.size(), stdout);
  std::fflush(stdout);
}

double per_second(std::size_t count, double seconds) {
  return count > 0 && seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::string answer_summary(const engine::GenerateResult& r) {
  return fmt::format("prompt {} tokens at {:.1f} tokens/s; wrote {} tokens at {:.1f} tokens/s; {}",
                     r.prompt_tokens, per_second(r.prompt_tokens, r.prompt_seconds),
                     r.tokens.size(), per_second(r.decode_steps, r.generate_seconds),
                     reason_text(r.reason));
}

}  // namespace tern::cli
