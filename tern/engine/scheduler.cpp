// Steps: who comes in, what the pass is made of, and what becomes of its results.
#include "tern/engine/scheduler.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::engine {
namespace {

using kernels::kKvBlock;

constexpr std::size_t kRowsOfLogits = 8;  // Of all words, that are in memory at a time.

std::size_t blocks_of(std::size_t positions) { return (positions + kKvBlock - 1) / kKvBlock; }

void require_known(std::uint32_t id, std::size_t vocab) {
  if (id < vocab) return;
  throw Error(ErrorCode::kBadArgument, "token id " + std::to_string(id) +
                                           " found, expected one below the vocabulary size " +
                                           std::to_string(vocab));
}

}  // namespace

struct Scheduler::Text {
  std::uint64_t id = 0;
  TextRequest request;
  Sampler sampler;
  std::unique_ptr<Constraint> constraint;  // Where there is a grammar.
  Answer answer;
  model::Session session;
  std::vector<std::uint32_t> tokens;  // The prompt's and the answer's: what the session shall hold.
  std::size_t remembered = 0;         // Blocks that prefixes_ was told of.
  std::vector<TokenScore> prompt_scores;
  std::vector<double> sum;  // Of hidden states, for kMean.
  std::vector<float> embedding;
  TextStatus status;
  double arrived, started = 0, first = 0;
  bool is_waiting = true, done = false;

  Text(TextRequest asked, std::unique_ptr<Constraint> held_to,
       const tokenizer::Tokenizer& tokenizer, model::KvPool& cache)
      : request(std::move(asked)),
        sampler(request.sampler),
        constraint(std::move(held_to)),
        answer(tokenizer, request.limits),
        session(cache),
        tokens(std::move(request.prompt)),
        arrived(monotonic_seconds()) {
    status.prompt_tokens = tokens.size();
    const std::size_t seen = std::min(tokens.size(), request.sampler.repeat_last_n);
    for (const std::uint32_t token : std::span(tokens).last(seen)) sampler.accept(token);
  }

  std::size_t pending() const { return tokens.size() - session.position(); }
  bool wants_all_rows() const { return request.prompt_scores || request.pooling == Pooling::kMean; }
};

Scheduler::Scheduler(const tokenizer::Tokenizer& tokenizer, const model::Model& model,
                     ThreadPool& pool, model::KvPool& cache, const SchedulerOptions& options)
    : tokenizer_(tokenizer),
      model_(model),
      pool_(pool),
      cache_(cache),
      options_(options),
      forward_(model, pool, options.slots + options.chunk),
      head_(model),
      prefixes_(cache) {
  if (options.slots == 0 || options.chunk == 0) {
    throw Error(ErrorCode::kBadArgument,
                "0 slots or a chunk of 0 tokens found, expected at least one of each");
  }
  state_.kv_blocks = cache.blocks();
  publish();
}

Scheduler::~Scheduler() = default;

std::optional<std::uint64_t> Scheduler::submit(TextRequest request) {
  const std::size_t length = request.prompt.size(), vocab = model_.config().vocab;
  if (length == 0) {
    throw Error(ErrorCode::kBadArgument, "an empty prompt found, expected at least one token");
  }
  for (const std::uint32_t id : request.prompt) require_known(id, vocab);
  for (const TokenBias& one : request.sampler.logit_bias) require_known(one.id, vocab);
  const std::size_t most = std::min(model_.context(), cache_.blocks() * kKvBlock);
  if (length > most) {
    throw Error(ErrorCode::kLimit, "a prompt of " + std::to_string(length) +
                                       " tokens found, expected at most " + std::to_string(most) +
                                       ", which is the context");
  }
  auto held_to = constraint(request);
  auto text = std::make_unique<Text>(std::move(request), std::move(held_to), tokenizer_, cache_);
  const std::lock_guard lock(mutex_);
  if (stopping_ || waiting_count_ >= options_.queue) return std::nullopt;
  const std::uint64_t id = next_text_++;
  text->id = id;
  arrived_.push_back(std::move(text));
  ++waiting_count_;
  wake_.notify_one();
  return id;
}

std::unique_ptr<Constraint> Scheduler::constraint(const TextRequest& request) {
  if (!request.grammar) return nullptr;
  std::call_once(trie_made_, [&] { trie_.emplace(tokenizer_); });
  const bool hides_blank = request.limits.at_text_start && tokenizer_.data().add_space_prefix;
  return std::make_unique<Constraint>(*trie_, request.grammar, hides_blank);
}

void Scheduler::cancel(std::uint64_t text) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(text);
  wake_.notify_one();
}

void Scheduler::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_one();
}

SchedulerState Scheduler::state() const {
  const std::lock_guard lock(mutex_);
  SchedulerState state = published_;
  state.queued = waiting_count_;
  return state;
}

void Scheduler::run() {
  for (;;) {
    if (!step()) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !arrived_.empty() || !cancelled_.empty(); });
    }
    const std::lock_guard lock(mutex_);
    if (stopping_) break;
  }
  end_all();
}

bool Scheduler::step() {
  receive();
  end_overdue();
  admit();
  compose();
  const bool any = !parts_.empty();
  if (any) {
    run_parts();
    choose();
    ++state_.steps;
  }
  sweep();
  publish();
  return any;
}

void Scheduler::receive() {
  std::vector<std::uint64_t> cancelled;
  {
    const std::lock_guard lock(mutex_);
    for (auto& text : arrived_) waiting_.push_back(std::move(text));
    arrived_.clear();
    cancelled.swap(cancelled_);
  }
  const auto end = [&](auto& texts) {
    for (auto& text : texts) {
      if (std::ranges::find(cancelled, text->id) == cancelled.end()) continue;
      ++state_.cancelled;
      finish(*text, StopReason::kInterrupted);
    }
  };
  if (!cancelled.empty()) {
    end(waiting_);
    end(running_);
    sweep();
  }
}

void Scheduler::end_overdue() {
  const double now = monotonic_seconds();
  const auto end = [&](auto& texts) {
    for (auto& text : texts) {
      if (text->request.deadline < now) finish(*text, StopReason::kDeadline);
    }
  };
  end(waiting_);
  end(running_);
  sweep();
}

// A text is let in where the cache has room for all that it holds today, and a block more for each
// that runs, so that it does not come in only to be put back.
void Scheduler::admit() {
  while (!waiting_.empty() && running_.size() < options_.slots) {
    Text& text = *waiting_.front();
    share_more(text);
    const std::size_t needed =
        blocks_of(text.tokens.size()) - text.session.blocks().size() + running_.size();
    if (!running_.empty() && needed > cache_.free_blocks() + prefixes_.evictable()) {
      text.session.truncate(0);
      break;
    }
    text.is_waiting = false;
    if (text.started == 0) {
      text.started = monotonic_seconds();
      text.status.queued_seconds = text.started - text.arrived;
      text.status.cached_tokens = text.session.position();
      state_.cached_tokens += text.session.position();
    }
    const auto place = std::ranges::upper_bound(running_, text.id, {},
                                                [](const auto& other) { return other->id; });
    running_.insert(place, std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

bool Scheduler::shares(const Text& text) const {
  return options_.share_prefixes && !text.wants_all_rows();
}

// What others have read by now of this text's beginning; its last token is always run, because
// somebody wants to know what follows.
void Scheduler::share_more(Text& text) {
  const std::size_t position = text.session.position();
  if (!shares(text) || position % kKvBlock != 0 || text.pending() <= kKvBlock) return;
  const auto found = prefixes_.find(std::span(text.tokens).first(text.tokens.size() - 1));
  if (found.size() <= position / kKvBlock) return;
  text.session.adopt(std::span(found).subspan(position / kKvBlock));
  text.remembered = std::max(text.remembered, found.size());
  if (text.started == 0 || text.first != 0) return;  // admit() counts the first ones.
  const std::size_t more = text.session.position() - position;
  text.status.cached_tokens += more;
  state_.cached_tokens += more;
}

void Scheduler::remember(Text& text) {
  const std::size_t whole = text.session.position() / kKvBlock;
  if (!options_.share_prefixes || whole <= text.remembered) return;
  prefixes_.insert(std::span(text.tokens).first(whole * kKvBlock),
                   std::span(text.session.blocks()).first(whole));
  text.remembered = whole;
}

// Room for the text's next tokens. Where there is none, the texts that came last make way; false
// where that was this one.
bool Scheduler::make_room(Text& text, std::size_t tokens) {
  for (;;) {
    const std::size_t held = text.session.blocks().size();
    const std::size_t all = blocks_of(text.session.position() + tokens);
    const std::size_t needed = all > held ? all - held : 0;
    const std::size_t free = cache_.free_blocks();
    if (needed <= free) {
      text.session.reserve(tokens);
      return true;
    }
    if (prefixes_.evict(needed - free) > 0) continue;
    Text& last = **std::ranges::find_if(running_.rbegin(), running_.rend(),
                                        [](const auto& other) { return !other->done; });
    if (&last != &text) {
      put_back(last);
    } else if (&last == running_.front().get()) {  // It has the whole cache.
      finish(text, StopReason::kContextFull);
      return false;
    } else {
      put_back(text);
      return false;
    }
  }
}

void Scheduler::put_back(Text& text) {
  std::erase_if(parts_, [&](const Part& part) { return part.text == &text; });
  text.session.truncate(0);
  text.remembered = 0;
  text.prompt_scores.clear();
  text.sum.clear();
  text.is_waiting = true;
  ++state_.put_back;
  const auto at = std::ranges::find_if(running_, [&](const auto& t) { return t.get() == &text; });
  const auto place =
      std::ranges::upper_bound(waiting_, text.id, {}, [](const auto& other) { return other->id; });
  waiting_.insert(place, std::move(*at));
  running_.erase(at);
}

void Scheduler::compose() {
  parts_.clear();
  std::vector<Text*> prompts;
  std::vector<Text*> order;
  for (const auto& text : running_) order.push_back(text.get());
  for (Text* text : order) {
    if (text->is_waiting || text->done) continue;  // Made way for an older one.
    if (text->pending() > 1) {
      prompts.push_back(text);
    } else if (make_room(*text, 1)) {
      parts_.push_back({text, 1, true});
    }
  }
  // Behind the one that was last.
  const auto next =
      std::ranges::upper_bound(prompts, turn_, {}, [](const Text* text) { return text->id; });
  std::ranges::rotate(prompts, next);
  std::size_t left = options_.chunk;
  for (Text* text : prompts) {
    if (left == 0) break;
    if (text->is_waiting || text->done) continue;
    share_more(*text);
    const std::size_t tokens = std::min(left, text->pending());
    if (!make_room(*text, tokens)) continue;
    parts_.push_back({text, tokens, tokens == text->pending()});
    left -= tokens;
    turn_ = text->id;
  }
}

void Scheduler::run_parts() {
  model::Batch batch;
  for (const Part& part : parts_) {
    const Text& text = *part.text;
    const bool whole = text.wants_all_rows() && text.answer.tokens() == 0;
    batch.push_back({&part.text->session,
                     std::span(text.tokens).subspan(text.session.position(), part.tokens),
                     whole             ? 0
                     : part.to_the_end ? part.tokens - 1
                                       : part.tokens});
  }
  std::span<const float> hidden = forward_.run(batch);
  const std::size_t width = model_.config().hidden;
  few_.clear();
  all_.clear();
  few_hidden_.clear();
  all_hidden_.clear();
  requests_.clear();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    Text& text = *part.text;
    const std::size_t rows = part.tokens - batch[i].wanted_from;
    const auto own = hidden.first(rows * width);
    hidden = hidden.subspan(rows * width);
    if (part.tokens > 1 || text.answer.tokens() == 0) state_.prompt_tokens += part.tokens;
    remember(text);
    if (rows > 0) keep_rows(text, own, text.session.position() - rows);
    if (!part.to_the_end || text.done) continue;
    const auto last = own.last(width);
    const bool needs_all = text.request.scores || text.constraint;
    const auto request = needs_all ? std::nullopt : text.sampler.request();
    auto& into = request ? few_hidden_ : all_hidden_;
    into.insert(into.end(), last.begin(), last.end());
    (request ? few_ : all_).push_back(&text);
    if (request) requests_.push_back(*request);
  }
}

// What a text wants of its prompt's hidden states, of tokens[first] and those behind it.
void Scheduler::keep_rows(Text& text, std::span<const float> rows, std::size_t first) {
  const std::size_t width = model_.config().hidden, vocab = model_.config().vocab;
  const std::size_t count = rows.size() / width, prompt = text.status.prompt_tokens;
  if (text.request.pooling) {
    text.sum.resize(width, 0.0);
    const bool mean = text.request.pooling == Pooling::kMean;
    for (std::size_t t = mean ? 0 : count - 1; t < count; ++t) {
      for (std::size_t i = 0; i < width; ++i)
        text.sum[i] += static_cast<double>(rows[t * width + i]);
    }
    if (text.pending() > 0) return;
    const double divisor = mean ? static_cast<double>(prompt) : 1.0;
    for (const double sum : text.sum) text.embedding.push_back(static_cast<float>(sum / divisor));
    finish(text, StopReason::kLength);
    return;
  }
  if (!text.request.prompt_scores || text.answer.tokens() > 0) return;
  if (first == 0) text.prompt_scores.push_back({text.tokens[0], std::nullopt, {}});
  for (std::size_t begin = 0; begin < count; begin += kRowsOfLogits) {
    const std::size_t n = std::min(kRowsOfLogits, count - begin);
    logits_.resize(n * vocab);
    head_.logits(rows.subspan(begin * width, n * width), logits_, pool_);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t next = first + begin + i + 1;
      if (next >= prompt) break;
      text.prompt_scores.push_back(
          score(text.tokens[next], std::span(logits_).subspan(i * vocab, vocab), text.request.top));
    }
  }
}

TokenScore Scheduler::score(std::uint32_t id, std::span<const float> logits, std::size_t top) {
  log_probs_.resize(logits.size());
  log_softmax(logits, log_probs_);
  TokenScore found{id, log_probs_[id], {}};
  std::vector<std::uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0u);
  const auto count = static_cast<std::ptrdiff_t>(std::min(top, ids.size()));
  std::ranges::partial_sort(ids, ids.begin() + count, [&](std::uint32_t a, std::uint32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  for (const std::uint32_t best : std::span(ids).first(static_cast<std::size_t>(count))) {
    found.top.push_back({best, log_probs_[best]});
  }
  return found;
}

void Scheduler::choose() {
  const std::size_t width = model_.config().hidden;
  lists_.resize(std::max(lists_.size(), few_.size()));
  if (!few_.empty()) {
    head_.best(few_hidden_, requests_, std::span(lists_).first(few_.size()), pool_);
  }
  const auto take = [&](Text& text, const auto& logits) {
    try {
      accept(text, pick(text, logits));
    } catch (const Error& e) {
      finish(text, StopReason::kInterrupted, e.what());
    }
  };
  for (std::size_t i = 0; i < few_.size(); ++i) {
    take(*few_[i], std::span<const model::TokenLogit>(lists_[i]));
  }
  const std::size_t vocab = model_.config().vocab;
  for (std::size_t begin = 0; begin < all_.size(); begin += kRowsOfLogits) {
    const std::size_t n = std::min(kRowsOfLogits, all_.size() - begin);
    logits_.resize(n * vocab);
    head_.logits(std::span(all_hidden_).subspan(begin * width, n * width), logits_, pool_);
    for (std::size_t i = 0; i < n; ++i) {
      take(*all_[begin + i], std::span<const float>(logits_).subspan(i * vocab, vocab));
    }
  }
}

TokenScore Scheduler::pick(Text& text, std::span<const model::TokenLogit> few) {
  return {text.sampler.sample(few), std::nullopt, {}};
}

TokenScore Scheduler::pick(Text& text, std::span<const float> logits) {
  Constraint* const held_to = text.constraint.get();
  if (held_to && held_to->finished()) {  // A grammar of the empty text alone.
    finish(text, StopReason::kEndToken);
    return {};
  }
  const std::uint32_t id =
      held_to ? text.sampler.sample(held_to->allowed_logits(logits)) : text.sampler.sample(logits);
  if (held_to) held_to->accept(id);
  return text.request.scores ? score(id, logits, text.request.top)
                             : TokenScore{id, std::nullopt, {}};
}

void Scheduler::accept(Text& text, const TokenScore& score) {
  if (text.done) return;
  const std::uint32_t id = score.id;
  if (text.first == 0) {
    text.first = monotonic_seconds();
    text.status.prompt_seconds = text.first - text.started;
  }
  if (text.answer.ended()) return tell(text, "", {});  // No token was asked for.
  const std::size_t before = text.answer.tokens();
  const bool whole = text.constraint && text.constraint->finished();
  std::string words = text.answer.push(id, whole);
  const bool counts = text.answer.tokens() > before;  // An end token does not.
  if (counts) {
    text.sampler.accept(id);
    text.tokens.push_back(id);
    ++text.status.answer_tokens;
    ++state_.answer_tokens;
    if (!text.answer.ended() && text.tokens.size() > model_.context()) {
      words += text.answer.end(StopReason::kContextFull);
    }
  }
  tell(text, words, std::span(&score, counts ? 1 : 0));
}

// An event; the last one where the answer has ended.
void Scheduler::tell(Text& text, std::string_view words, std::span<const TokenScore> tokens) {
  if (text.first != 0) text.status.generate_seconds = monotonic_seconds() - text.first;
  const auto& ended = text.answer.ended();
  if (ended) {
    text.done = true;
    ++state_.finished;
  }
  if (text.request.on_event) {
    text.request.on_event({words,
                           tokens,
                           text.prompt_scores,
                           text.embedding,
                           ended,
                           text.answer.stop(),
                           {},
                           text.status});
  }
  text.prompt_scores.clear();
}

void Scheduler::finish(Text& text, StopReason reason, std::string_view failure) {
  if (text.done) return;
  const std::string words = text.answer.end(reason);
  text.done = true;
  ++state_.finished;
  if (text.request.on_event) {
    text.request.on_event({words,
                           {},
                           text.prompt_scores,
                           text.embedding,
                           *text.answer.ended(),
                           text.answer.stop(),
                           failure,
                           text.status});
  }
}

void Scheduler::sweep() {
  const auto done = [](const auto& text) { return text->done; };
  std::erase_if(running_, done);
  std::erase_if(waiting_, done);
}

void Scheduler::end_all() {
  receive();
  for (auto& text : waiting_) finish(*text, StopReason::kInterrupted);
  for (auto& text : running_) finish(*text, StopReason::kInterrupted);
  sweep();
  publish();
}

void Scheduler::publish() {
  state_.running = running_.size();
  state_.kv_blocks_used = cache_.blocks() - cache_.free_blocks() - prefixes_.evictable();
  const std::lock_guard lock(mutex_);
  waiting_count_ = waiting_.size() + arrived_.size();
  published_ = state_;
}

}  // namespace tern::engine
