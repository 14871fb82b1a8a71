// POST /v1/messages and /v1/messages/count_tokens: Anthropic's interface, for text.
#include <memory>

#include "tern/server/answers.h"
#include "tern/server/chat_request.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/text_fields.h"
#include "tern/server/texts.h"

namespace tern::server {
namespace {

using engine::StopReason;

// The system's words stand beside the messages here.
tokenizer::ChatInput read_input(const Fields& fields) {
  if (const OrderedJson* tools = fields.array("tools"); tools != nullptr && !tools->empty()) {
    throw fields.wrong("tools", "none here: /v1/chat/completions calls tools");
  }
  tokenizer::ChatInput input = read_chat_input(fields);
  for (std::size_t i = 0; i < input.messages.size(); ++i) {
    const std::string& role = input.messages[i].role;
    if (role == "user" || role == "assistant") continue;
    const std::string name = "messages[" + std::to_string(i) + "].role";
    throw wrong_field(name, role, "\"user\" or \"assistant\"");
  }
  if (const OrderedJson* system = fields.find("system")) {
    input.messages.insert(input.messages.begin(), tokenizer::ChatMessage::of_text(
                                                      "system", read_content(*system, "system")));
  }
  return input;
}

const char* stop_reason(StopReason reason) {
  switch (reason) {
    case StopReason::kEndToken:
      return "end_turn";
    case StopReason::kStopString:
      return "stop_sequence";
    default:
      return "max_tokens";
  }
}

class MessageSink final : public TextSink {
 public:
  MessageSink(ExchangePtr exchange, const ServedModel& model, bool stream)
      : exchange_(std::move(exchange)), model_(model), stream_(stream) {}

  void on_output(TextOutput&& output) override {
    ended_ = output.ended;
    status_ = output.status;
    stop_ = output.stop;
    if (!stream_) {
      text_ += output.text;
      return;
    }
    if (!streaming_) begin();
    if (!output.text.empty()) {
      event("content_block_delta",
            {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", output.text}}}});
    }
  }

  void on_all_ended() override {
    if (!stream_) {
      const OrderedJson content =
          OrderedJson::array({OrderedJson{{"type", "text"}, {"text", text_}}});
      return reply_json(*exchange_, message(content, true));
    }
    event("content_block_stop", {{"index", 0}});
    event("message_delta",
          {{"delta", {{"stop_reason", stop_reason(*ended_)}, {"stop_sequence", stop_json()}}},
           {"usage", usage()}});
    event("message_stop", OrderedJson::object());
    exchange_->end();
  }

  void on_failure(const HttpError& error) override {
    if (!streaming_) {
      return exchange_->reply(
          {error.status(), "application/json", anthropic_error_body(error), {}});
    }
    exchange_->write("event: error\ndata: " + anthropic_error_body(error) + "\n\n");
    exchange_->end();
  }

 private:
  void event(std::string_view type, const OrderedJson& more) {
    OrderedJson json{{"type", type}};
    json.update(more);
    exchange_->write(sse(type, json));
  }

  OrderedJson stop_json() const { return stop_.empty() ? OrderedJson() : OrderedJson(stop_); }

  OrderedJson usage() const {
    return {{"input_tokens", status_.prompt_tokens - status_.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", status_.cached_tokens},
            {"output_tokens", status_.answer_tokens}};
  }

  OrderedJson message(const OrderedJson& content, bool done) const {
    OrderedJson json{{"id", id_},
                     {"type", "message"},
                     {"role", "assistant"},
                     {"model", model_.id},
                     {"content", content}};
    json["stop_reason"] = done ? OrderedJson(stop_reason(*ended_)) : OrderedJson();
    json["stop_sequence"] = done ? stop_json() : OrderedJson();
    json["usage"] = usage();
    return json;
  }

  void begin() {
    streaming_ = true;
    exchange_->begin_stream(kEventStream);
    event("message_start", {{"message", message(OrderedJson::array(), false)}});
    event("content_block_start",
          {{"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}});
    event("ping", OrderedJson::object());
  }

  ExchangePtr exchange_;
  const ServedModel& model_;
  const bool stream_;
  const std::string id_ = fresh_id("msg_");
  std::string text_, stop_;
  engine::TextStatus status_;
  std::optional<StopReason> ended_;
  bool streaming_ = false;
};

}  // namespace

void post_messages(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  const Fields fields(body);
  check_model_name(fields, model);
  std::vector<engine::TextRequest> texts;
  engine::TextRequest& text = texts.emplace_back(read_text_fields(fields, model, service.limits));
  const auto tokens = fields.integer("max_tokens", 1, INT64_MAX);
  if (!tokens) throw fields.missing("max_tokens", "a whole number of at least 1");
  text.limits.max_tokens = static_cast<std::size_t>(*tokens);
  text.limits.stop = read_stops(fields, "stop_sequences", service.limits);
  const bool stream = fields.flag("stream").value_or(false);
  set_prompt(text, read_input(fields), "", model);
  run_texts(service, exchange, std::move(texts),
            std::make_shared<MessageSink>(exchange, model, stream));
}

void post_count_tokens(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  engine::TextRequest text;
  set_prompt(text, read_input(Fields(body)), "", model);
  send_json(exchange, {{"input_tokens", text.prompt.size()}});
}

}  // namespace tern::server
