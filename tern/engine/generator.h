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
#include "tern/engine/answer.h"
#include "tern/engine/constraint.h"
#include "tern/engine/sampler.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/kv_pool.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

struct GenerateRequest {
  std::span<const std::uint32_t> prompt;  // At least one token.
  // What the session holds already, where the sampler's penalties should look back on it.
  std::span<const std::uint32_t> past;
  AnswerLimits limits;
  SamplerParams sampler;
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
