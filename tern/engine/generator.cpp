// The loop: forward, head, sampler, text.
#include "tern/engine/generator.h"

#include <algorithm>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::engine {

Generator::Generator(const tokenizer::Tokenizer& tokenizer, model::Forward& forward,
                     model::Session& session, ThreadPool& pool)
    : tokenizer_(tokenizer),
      forward_(forward),
      session_(session),
      pool_(pool),
      head_(forward.model()) {}

std::span<const float> Generator::read_prompt(const GenerateRequest& request) {
  const std::size_t total = request.prompt.size();
  if (total == 0) {
    throw Error(ErrorCode::kBadArgument, "an empty prompt found, expected at least one token");
  }
  if (session_.position() + total > forward_.model().context()) {
    throw Error(ErrorCode::kLimit, "a prompt of " + std::to_string(total) + " tokens after " +
                                       std::to_string(session_.position()) +
                                       " found, expected at most the context of " +
                                       std::to_string(forward_.model().context()) + " in all");
  }
  std::span<const float> hidden;
  for (std::size_t begin = 0; begin < total; begin += forward_.max_tokens()) {
    if (request.keep_going && !request.keep_going()) return {};
    const std::size_t count = std::min(forward_.max_tokens(), total - begin);
    const bool last = begin + count == total;
    hidden =
        forward_.run({{&session_, request.prompt.subspan(begin, count), last ? count - 1 : count}});
    if (request.progress && total > forward_.max_tokens()) {
      request.progress("reading the prompt",
                       static_cast<double>(begin + count) / static_cast<double>(total));
    }
  }
  return hidden;
}

std::uint32_t Generator::pick(Sampler& sampler, Constraint* constraint,
                              std::span<const float> hidden) {
  const auto request = constraint ? std::nullopt : sampler.request();
  if (request) {
    head_.best(hidden, {&*request, 1}, {&few_, 1}, pool_);
    return sampler.sample(std::span<const model::TokenLogit>(few_));
  }
  logits_.resize(forward_.model().config().vocab);
  head_.logits(hidden, logits_, pool_);
  if (constraint) return sampler.sample(constraint->allowed_logits(logits_));
  return sampler.sample(std::span<const float>(logits_));
}

GenerateResult Generator::generate(const GenerateRequest& request) {
  GenerateResult result;
  Sampler sampler(request.sampler);
  Answer answer(tokenizer_, request.limits);
  const auto emit = [&](const std::string& text) {
    result.text += text;
    if (request.on_text && !text.empty()) request.on_text(text);
  };

  const double start = monotonic_seconds();
  std::span<const float> hidden = read_prompt(request);
  result.prompt_tokens = request.prompt.size();
  if (hidden.empty()) {
    result.prompt_seconds = monotonic_seconds() - start;
    result.reason = StopReason::kInterrupted;
    return result;
  }
  for (const std::uint32_t id : request.past) sampler.accept(id);
  for (const std::uint32_t id : request.prompt) sampler.accept(id);
  Constraint* const constraint = request.constraint;
  if (constraint && constraint->finished()) {  // A grammar of the empty text alone.
    result.prompt_seconds = monotonic_seconds() - start;
    result.reason = StopReason::kEndToken;
    return result;
  }
  std::uint32_t next = pick(sampler, constraint, hidden);
  const double first = monotonic_seconds();
  result.prompt_seconds = first - start;

  while (!answer.ended()) {
    if (request.keep_going && !request.keep_going()) {
      emit(answer.end(StopReason::kInterrupted));
      break;
    }
    const std::uint32_t id = next;
    if (constraint) constraint->accept(id);
    const std::size_t before = answer.tokens();
    emit(answer.push(id, constraint && constraint->finished()));
    if (answer.tokens() == before) break;  // An end token.
    sampler.accept(id);
    result.tokens.push_back(id);
    if (answer.ended()) break;
    if (session_.position() + 1 > forward_.model().context()) {
      emit(answer.end(StopReason::kContextFull));
      break;
    }
    hidden = forward_.run({{&session_, {&id, 1}, 0}});
    next = pick(sampler, constraint, hidden);
    ++result.decode_steps;
  }
  result.generate_seconds = monotonic_seconds() - first;
  result.reason = *answer.ended();
  return result;
}

}  // namespace tern::engine
