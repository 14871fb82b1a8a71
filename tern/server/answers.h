// JSON that several kinds of answers share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"
#include "tern/engine/scheduler.h"
#include "tern/server/exchange.h"
#include "tern/server/http_error.h"
#include "tern/server/served_model.h"

namespace tern::server {

inline constexpr std::string_view kEventStream = "text/event-stream";

std::int64_t now_seconds();  // Since 1970.
// "chatcmpl-" and a number that nobody has had before.
std::string fresh_id(std::string_view prefix);

// A server-sent event.
std::string sse(const OrderedJson& data);
// With a name, as Anthropic's and OpenAI's responses have it.
std::string sse(std::string_view event, const OrderedJson& data);

// Tokens of all texts of a request. The prompt of several choices is one.
struct Usage {
  std::size_t prompt = 0, cached = 0, answer = 0;
  void add(const engine::TextStatus& status);         // Of a text with a prompt of its own.
  void add_choice(const engine::TextStatus& status);  // Of one with the same prompt.
};
OrderedJson usage_json(const Usage& usage);
// llama.cpp's names: how long the prompt and the answer took, of one text.
OrderedJson timings_json(const engine::TextStatus& status);

// OpenAI's logprobs of a chat: [{token, logprob, bytes, top_logprobs}].
OrderedJson chat_logprobs(const std::vector<engine::TokenScore>& tokens, const ServedModel& model);

// In the I/O thread; and from any.
void reply_json(Exchange& exchange, const OrderedJson& json);
void send_json(const ExchangePtr& exchange, const OrderedJson& json);
// OpenAI's shape; a stream that has begun ends with it.
void reply_error(Exchange& exchange, const HttpError& error, bool streaming);

}  // namespace tern::server
