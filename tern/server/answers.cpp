// Answers to JSON and events.
#include "tern/server/answers.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "tern/base/system.h"
#include "tern/base/utf8.h"
#include "tern/server/http_error.h"

namespace tern::server {
namespace {

// JSON has no infinity; OpenAI writes this for what cannot come.
constexpr double kLeastLogprob = -9999;

OrderedJson one_logprob(const engine::TokenLogprob& token, const ServedModel& model) {
  const std::string text = model.token_text(token.id);
  OrderedJson bytes = OrderedJson::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", valid_utf8(text)},
          {"logprob", std::max(token.logprob, kLeastLogprob)},
          {"bytes", std::move(bytes)}};
}

}  // namespace

std::int64_t now_seconds() { return static_cast<std::int64_t>(std::time(nullptr)); }

std::string fresh_id(std::string_view prefix) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(random_seed()));
  return std::string(prefix) + text;
}

std::string sse(const OrderedJson& data) { return "data: " + dump_ordered_json(data) + "\n\n"; }

std::string sse(std::string_view event, const OrderedJson& data) {
  return "event: " + std::string(event) + "\n" + sse(data);
}

void Usage::add(const engine::TextStatus& status) {
  prompt += status.prompt_tokens;
  cached += status.cached_tokens;
  answer += status.answer_tokens;
}

void Usage::add_choice(const engine::TextStatus& status) {
  cached = prompt == 0 ? status.cached_tokens : std::min(cached, status.cached_tokens);
  prompt = status.prompt_tokens;
  answer += status.answer_tokens;
}

OrderedJson usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt},
          {"completion_tokens", usage.answer},
          {"total_tokens", usage.prompt + usage.answer},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached}}}};
}

OrderedJson timings_json(const engine::TextStatus& status) {
  const auto rate = [](std::size_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  const std::size_t read = status.prompt_tokens - status.cached_tokens;
  // The first token comes out of the prompt.
  const std::size_t made = status.answer_tokens > 0 ? status.answer_tokens - 1 : 0;
  return {{"prompt_n", read},
          {"cache_n", status.cached_tokens},
          {"queued_ms", 1e3 * status.queued_seconds},
          {"prompt_ms", 1e3 * status.prompt_seconds},
          {"prompt_per_second", rate(read, status.prompt_seconds)},
          {"predicted_n", status.answer_tokens},
          {"predicted_ms", 1e3 * status.generate_seconds},
          {"predicted_per_second", rate(made, status.generate_seconds)}};
}

OrderedJson chat_logprobs(const std::vector<engine::TokenScore>& tokens, const ServedModel& model) {
  OrderedJson list = OrderedJson::array();
  for (const engine::TokenScore& token : tokens) {
    OrderedJson one = one_logprob({token.id, token.logprob.value_or(0)}, model);
    one["top_logprobs"] = OrderedJson::array();
    for (const auto& other : token.top) one["top_logprobs"].push_back(one_logprob(other, model));
    list.push_back(std::move(one));
  }
  return list;
}

void reply_json(Exchange& exchange, const OrderedJson& json) {
  exchange.reply({200, "application/json", dump_ordered_json(json), {}});
}

void send_json(const ExchangePtr& exchange, const OrderedJson& json) {
  exchange->post([exchange, text = dump_ordered_json(json)]() mutable {
    exchange->reply({200, "application/json", std::move(text), {}});
  });
}

void reply_error(Exchange& exchange, const HttpError& error, bool streaming) {
  if (streaming) {
    exchange.write("data: " + error_body(error) + "\n\n");
    return exchange.end();
  }
  Response response{error.status(), "application/json", error_body(error), {}};
  if (error.status() == 429 || error.status() == 503) {
    response.headers.emplace_back("Retry-After", "1");
  }
  exchange.reply(std::move(response));
}

}  // namespace tern::server
