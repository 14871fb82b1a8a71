// One text, token by token: prompt in, pieces of text out, and the reason why it ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/engine/constraint.h"
#include "tern/engine/sampler.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/kv_pool.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

enum class StopReason {
  kEndToken,     // The model ended the text, or its grammar did.
  kStopString,   // One of the caller's strings came up; it is not part of the text.
  kLength,       // max_tokens were made.
  kContextFull,  // The next token would not fit into the context.
  kInterrupted,  // The caller's `keep_going` said no.
};
std::string_view stop_reason_name(StopReason reason) noexcept;  // "end", "stop", "length", ...

struct GenerateRequest {
  std::span<const std::uint32_t> prompt;  // At least one token.
  std::size_t max_tokens = SIZE_MAX;
  SamplerParams sampler;
  std::vector<std::string> stop;     // Strings that end the text.
  bool ignore_end = false;           // Go on after an end token; not where there is a constraint.
  bool at_text_start = false;        // The text begins here: an SPM piece loses its first blank.
  Constraint* constraint = nullptr;  // What the text may be; a fresh one, which it uses up.
  // Called with each piece of text (whole UTF-8 characters) as it is certain; may be empty.
  std::function<void(std::string_view)> on_text;
  // Asked before each token and each part of the prompt; false ends the generation.
  std::function<bool()> keep_going;
  Progress progress;  // Of the prompt.
};

struct GenerateResult {
  std::string text;
  std::vector<std::uint32_t> tokens;  // Made, without the end token.
  StopReason reason = StopReason::kLength;
  std::size_t prompt_tokens = 0;
  double prompt_seconds = 0,
         generate_seconds = 0;   // The prompt's time goes up to the first token's logits.
  std::size_t decode_steps = 0;  // Forward passes that generate_seconds covers.
};

// Holds back text that may turn out to be the beginning of a stop string.
class StopFilter {
 public:
  // Throws Error(kBadArgument) on an empty string.
  explicit StopFilter(std::vector<std::string> stops);
  // Text that is certain now. Once stopped() is true there is no more.
  std::string push(std::string_view text);
  std::string finish();  // What was held back, when the text ends for another reason.
  bool stopped() const noexcept { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

// Runs requests one after another in `session`, whose past they continue. Not for several threads.
class Generator {
 public:
  Generator(const tokenizer::Tokenizer& tokenizer, model::Forward& forward, model::Session& session,
            ThreadPool& pool);

  // Throws Error(kLimit) where the prompt does not fit into the context, and what Forward throws.
  // What was generated before is never lost: only the prompt can fail so. Constraint's errors come
  // through too; they are for grammars that are too ambiguous, or that the vocabulary cannot spell.
  GenerateResult generate(const GenerateRequest& request);

 private:
  // The hidden state behind the prompt; empty: interrupted.
  std::span<const float> read_prompt(const GenerateRequest& request);
  std::uint32_t pick(Sampler& sampler, Constraint* constraint, std::span<const float> hidden);

  const tokenizer::Tokenizer& tokenizer_;
  model::Forward& forward_;
  model::Session& session_;
  ThreadPool& pool_;
  model::Head head_;
  std::vector<float> logits_;           // Where the sampler wants all.
  std::vector<model::TokenLogit> few_;  // Where it does not.
};

}  // namespace tern::engine
