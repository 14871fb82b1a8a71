// What the tokens of one answer become: text, and the reason why it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

enum class StopReason {
  kEndToken,     // The model ended the text, or its grammar did.
  kStopString,   // One of the caller's strings came up; it is not part of the text.
  kLength,       // max_tokens were made.
  kContextFull,  // The next token would not fit into the context, or not into the KV cache.
  kInterrupted,  // The caller wanted no more.
  kDeadline,     // The caller's time was over.
};
std::string_view stop_reason_name(StopReason reason) noexcept;  // "end", "stop", "length", ...

// Where an answer ends.
struct AnswerLimits {
  std::size_t max_tokens = SIZE_MAX;
  std::vector<std::string> stop;  // Strings that end the text.
  bool ignore_end = false;        // Go on after an end token.
  bool at_text_start = false;     // The text begins here: an SPM piece loses its first blank.
};

// Holds back text that may turn out to be the beginning of a stop string.
class StopFilter {
 public:
  // Throws Error(kBadArgument) on an empty string.
  explicit StopFilter(std::vector<std::string> stops);
  // Text that is certain now. Once stopped() is true there is no more.
  std::string push(std::string_view text);
  std::string finish();  // What was held back, when the text ends for another reason.
  bool stopped() const noexcept { return !stop_.empty(); }
  const std::string& stop() const noexcept { return stop_; }  // Which it was; empty: none yet.

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string stop_;
};

// One answer, token by token. Not for several threads at once.
class Answer {
 public:
  // `tokenizer` outlives it. Throws Error(kBadArgument) on an empty stop string.
  Answer(const tokenizer::Tokenizer& tokenizer, AnswerLimits limits);

  // Takes the next token; returns the text (whole UTF-8 characters) that is certain with it. Not
  // after ended(). `whole`: the text is complete with it (a grammar allows nothing more), which
  // ends it with kEndToken.
  std::string push(std::uint32_t id, bool whole = false);
  // Ends it for a reason from outside; returns what was held back. Nothing where it had ended.
  std::string end(StopReason reason);
  const std::optional<StopReason>& ended() const noexcept { return ended_; }
  // The stop string that ended it; empty where none did.
  const std::string& stop() const noexcept { return filter_.stop(); }
  std::size_t tokens() const noexcept { return tokens_; }  // Taken, without an end token.

 private:
  const tokenizer::Tokenizer* tokenizer_;
  std::size_t max_tokens_, tokens_ = 0;
  bool ignore_end_;
  StopFilter filter_;
  tokenizer::StreamDecoder decoder_;
  std::optional<StopReason> ended_;
};

}  // namespace tern::engine
