// Many texts at once over one forward pass: continuous batching.
//
// A step is one pass: every text that is being continued gives its one token, and what is left of
// `chunk` goes to prompts, in turn, so that a running text never waits for more than a chunk of
// others' prompts, and a long prompt does not keep a short one from starting. Texts that begin
// alike share their blocks of the KV cache (prefix_cache.h), also while the first of them is still
// being read. Where the cache is full, what nobody uses is forgotten first; then the text that came
// last gives its blocks back and is read again later. The bits of a text depend on none of this.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/engine/answer.h"
#include "tern/engine/constraint.h"
#include "tern/engine/prefix_cache.h"
#include "tern/engine/sampler.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/kv_pool.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {

struct SchedulerOptions {
  std::size_t slots = 16;   // Texts that are read or continued at once.
  std::size_t queue = 256;  // Requests that may wait for a slot.
  std::size_t chunk = 256;  // Prompt tokens of one step, of all texts together.
  bool share_prefixes = true;
};

struct TokenLogprob {
  std::uint32_t id;
  double logprob;
};

// A token of a text beside what the model thought of it.
struct TokenScore {
  std::uint32_t id = 0;
  // Empty for the first token of a text, and where nobody asked.
  std::optional<double> logprob;
  std::vector<TokenLogprob> top;  // Best first.
};

enum class Pooling { kMean, kLast };

// What became of a text up to now.
struct TextStatus {
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  // Of the prompt, that were found in the cache.
  std::size_t answer_tokens = 0;  // Without an end token.
  double queued_seconds = 0;      // Until its first step.
  double prompt_seconds = 0;      // From there to the first token.
  double generate_seconds = 0;    // From there to the last one.
};

struct TextEvent {
  std::string_view text;               // New and certain; may be empty.
  std::span<const TokenScore> tokens;  // New ones of the answer, as they were made.
  std::span<const TokenScore> prompt;  // With prompt_scores, once, before the first token.
  std::span<const float> embedding;    // With `pooling`, at the end.
  std::optional<StopReason> ended;     // The last event of a text has it.
  std::string_view stop;               // Which of the stop strings it was, with kStopString.
  std::string_view failure;            // At the end: a sentence, where it could not go on.
  const TextStatus& status;
};

struct TextRequest {
  std::vector<std::uint32_t> prompt;
  AnswerLimits limits;
  SamplerParams sampler;
  std::shared_ptr<const grammar::Grammar> grammar;  // What the answer may be; empty: anything.
  bool scores = false;             // TextEvent::tokens with logprob and `top` of them.
  bool prompt_scores = false;      // TextEvent::prompt likewise.
  std::size_t top = 0;             // Of TokenScore.
  std::optional<Pooling> pooling;  // No answer, but the prompt's final hidden states as one vector.
  double deadline = std::numeric_limits<double>::infinity();  // Of monotonic_seconds().
  // Called in the scheduler's thread, in order; must be quick, and throw nothing.
  std::function<void(const TextEvent&)> on_event;
};

// Counts since the start, and what is there now.
struct SchedulerState {
  std::size_t queued = 0, running = 0;
  std::size_t kv_blocks = 0, kv_blocks_used = 0;  // Held by texts; what is only remembered is free.
  std::uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;
  std::uint64_t finished = 0, cancelled = 0, put_back = 0, steps = 0;
};

// submit(), cancel(), stop() and state() may be called from any thread; step() and run() by one,
// which is the only one that uses the model's thread pool meanwhile.
class Scheduler {
 public:
  // All but `options` outlive it. `cache` is the memory limit.
  Scheduler(const tokenizer::Tokenizer& tokenizer, const model::Model& model, ThreadPool& pool,
            model::KvPool& cache, const SchedulerOptions& options);
  ~Scheduler();

  // The number of the text; nullopt where as many wait as may. Throws Error(kBadArgument) for what
  // can never be run: an empty prompt, an id outside the vocabulary, a sampler's wrong value; and
  // Error(kLimit) for a prompt that does not fit into the context or the cache.
  std::optional<std::uint64_t> submit(TextRequest request);
  // Ends a text with kInterrupted before the next step; one that has ended, or never was, is fine.
  void cancel(std::uint64_t text);

  // One pass, if there is anything to do; false where there is not.
  bool step();
  // Steps, and waits where there is nothing to do, until stop().
  void run();
  void stop();

  SchedulerState state() const;

 private:
  struct Text;
  std::unique_ptr<Constraint> constraint(const TextRequest& request);

  struct Part {  // Of a step: the next tokens of a text.
    Text* text;
    std::size_t tokens;
    bool to_the_end;  // Then its next token can be chosen.
  };

  // Of a step, in this order.
  void receive();
  void end_overdue();
  void admit();
  void compose();
  void run_parts();
  void choose();
  void publish();

  bool shares(const Text& text) const;
  void share_more(Text& text);
  void remember(Text& text);
  bool make_room(Text& text, std::size_t tokens);
  void put_back(Text& text);
  void keep_rows(Text& text, std::span<const float> rows, std::size_t first);
  TokenScore score(std::uint32_t id, std::span<const float> logits, std::size_t top);
  void choose_from_all(std::span<Text* const> texts, std::span<const float> hidden);
  TokenScore pick(Text& text, std::span<const model::TokenLogit> few);
  TokenScore pick(Text& text, std::span<const float> logits);
  void accept(Text& text, const TokenScore& score);
  void tell(Text& text, std::string_view words, std::span<const TokenScore> tokens);
  void finish(Text& text, StopReason reason, std::string_view failure = {});
  void sweep();
  void end_all();

  const tokenizer::Tokenizer& tokenizer_;
  const model::Model& model_;
  ThreadPool& pool_;
  model::KvPool& cache_;
  SchedulerOptions options_;
  model::Forward forward_;
  model::Head head_;
  PrefixCache prefixes_;
  std::once_flag trie_made_;
  std::optional<TokenTrie> trie_;  // Made for the first request with a grammar.

  // Of the thread that steps.
  std::deque<std::unique_ptr<Text>> waiting_;
  std::vector<std::unique_ptr<Text>> running_;  // In the order of their coming.
  std::uint64_t turn_ = 0;                      // The text whose prompt was read last.
  std::vector<Part> parts_;
  // Texts whose next token is chosen from a few logits, and from all; their final hidden states.
  std::vector<Text*> few_, all_;
  std::vector<float> few_hidden_, all_hidden_;
  std::vector<model::BestRequest> requests_;
  std::vector<std::vector<model::TokenLogit>> lists_;
  std::vector<float> logits_;
  std::vector<double> log_probs_;
  SchedulerState state_;

  mutable std::mutex mutex_;  // Guards what follows.
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Text>> arrived_;
  std::vector<std::uint64_t> cancelled_;
  std::uint64_t next_text_ = 1;
  std::size_t waiting_count_ = 0;  // Arrived or in waiting_.
  bool stopping_ = false;
  SchedulerState published_;
};

}  // namespace tern::engine
