// The end of an answer: its last token, a string in its text, or somebody's word.
#include "tern/engine/answer.h"

#include <algorithm>
#include <utility>

#include "tern/base/error.h"

namespace tern::engine {

std::string_view stop_reason_name(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::kEndToken:
      return "end";
    case StopReason::kStopString:
      return "stop";
    case StopReason::kLength:
      return "length";
    case StopReason::kContextFull:
      return "context_full";
    case StopReason::kInterrupted:
      return "interrupted";
    case StopReason::kDeadline:
      return "deadline";
  }
  return "";
}

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (std::ranges::any_of(stops_, &std::string::empty)) {
    throw Error(ErrorCode::kBadArgument, "an empty stop string found, expected some text");
  }
}

std::string StopFilter::push(std::string_view text) {
  if (stopped()) return "";
  held_ += text;
  std::size_t at = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t found = held_.find(stop);
    if (found >= at) continue;
    at = found;
    stop_ = stop;
  }
  if (at != std::string::npos) {
    return std::exchange(held_, "").substr(0, at);
  }
  // The longest end of what is held that begins a stop string stays back.
  std::size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopFilter::finish() { return std::exchange(held_, ""); }

Answer::Answer(const tokenizer::Tokenizer& tokenizer, AnswerLimits limits)
    : tokenizer_(&tokenizer),
      max_tokens_(limits.max_tokens),
      ignore_end_(limits.ignore_end),
      filter_(std::move(limits.stop)),
      decoder_(tokenizer, limits.at_text_start) {
  if (max_tokens_ == 0) ended_ = StopReason::kLength;
}

std::string Answer::push(std::uint32_t id, bool whole) {
  if (tokenizer_->is_end(id) && (whole || !ignore_end_)) return end(StopReason::kEndToken);
  ++tokens_;
  std::string text = filter_.push(decoder_.push(id));
  if (filter_.stopped()) {
    ended_ = StopReason::kStopString;
  } else if (whole) {
    text += end(StopReason::kEndToken);
  } else if (tokens_ >= max_tokens_) {
    text += end(StopReason::kLength);
  }
  return text;
}

std::string Answer::end(StopReason reason) {
  if (ended_) return "";
  ended_ = reason;
  std::string text = filter_.push(decoder_.finish());
  return text + filter_.finish();
}

}  // namespace tern::engine
