// POST /v1/responses: OpenAI's newer interface, for text. Nothing is stored.
#include <memory>

#include "tern/server/answers.h"
#include "tern/server/chat_request.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/text_fields.h"
#include "tern/server/texts.h"

namespace tern::server {
namespace {

struct ResponseRequest {
  engine::TextRequest text;
  bool stream = false;
  OrderedJson instructions;  // Null where there are none.
};

tokenizer::ChatInput read_input(const Fields& fields, ResponseRequest& request) {
  tokenizer::ChatInput input;
  if (const auto instructions = fields.text("instructions")) {
    request.instructions = *instructions;
    input.messages.push_back(tokenizer::ChatMessage::of_text("system", *instructions));
  }
  const OrderedJson* said = fields.find("input");
  if (said == nullptr) throw fields.missing("input", "a text or a list of messages");
  if (said->is_string()) {
    input.messages.push_back(
        tokenizer::ChatMessage::of_text("user", said->get_ref<const std::string&>()));
    return input;
  }
  if (!said->is_array() || said->empty()) {
    throw fields.wrong("input", "a text or a list of messages");
  }
  for (std::size_t i = 0; i < said->size(); ++i) {
    const std::string name = "input[" + std::to_string(i) + "]";
    const Fields item((*said)[i], name + ".");
    if (item.text("type").value_or("message") != "message") {
      throw item.wrong("type", "\"message\"");
    }
    input.messages.push_back(read_message((*said)[i], name));
  }
  return input;
}

ResponseRequest read_request(const OrderedJson& body, const ServedModel& model,
                             const Limits& limits) {
  const Fields fields(body);
  check_model_name(fields, model);
  if (const OrderedJson* tools = fields.array("tools"); tools != nullptr && !tools->empty()) {
    throw fields.wrong("tools", "none here: /v1/chat/completions calls tools");
  }
  if (fields.find("previous_response_id") != nullptr) {
    throw fields.wrong("previous_response_id", "none: this server stores no responses");
  }
  ResponseRequest request;
  request.text = read_text_fields(fields, model, limits);
  request.text.limits.max_tokens = read_max_tokens(fields, {"max_output_tokens"}, SIZE_MAX);
  request.stream = fields.flag("stream").value_or(false);
  if (const OrderedJson* text = fields.object("text")) {
    if (const OrderedJson* format = Fields(*text, "text.").object("format")) {
      request.text.grammar = read_response_format(*format, "text.format");
    }
  }
  set_prompt(request.text, read_input(fields, request), "", model);
  return request;
}

class ResponseSink final : public TextSink {
 public:
  ResponseSink(ExchangePtr exchange, const ServedModel& model, const ResponseRequest& request)
      : exchange_(std::move(exchange)),
        model_(model),
        stream_(request.stream),
        instructions_(request.instructions),
        temperature_(request.text.sampler.temperature),
        top_p_(request.text.sampler.top_p) {}

  void on_output(TextOutput&& output) override {
    text_ += output.text;
    ended_ = output.ended;
    usage_ = {};
    usage_.add(output.status);
    if (!stream_) return;
    if (!streaming_) begin();
    if (!output.text.empty()) {
      event("response.output_text.delta", place({{"content_index", 0},
                                                 {"delta", output.text},
                                                 {"logprobs", OrderedJson::array()}}));
    }
  }

  void on_all_ended() override {
    if (!stream_) return reply_json(*exchange_, response(true));
    event("response.output_text.done",
          place({{"content_index", 0}, {"text", text_}, {"logprobs", OrderedJson::array()}}));
    event("response.content_part.done", place({{"content_index", 0}, {"part", part()}}));
    event("response.output_item.done", {{"output_index", 0}, {"item", item(true)}});
    event(whole() ? "response.completed" : "response.incomplete", {{"response", response(true)}});
    exchange_->end();
  }

  void on_failure(const HttpError& error) override {
    if (!streaming_) return reply_error(*exchange_, error, false);
    event("error",
          {{"code", error_type(error.status())}, {"message", error.what()}, {"param", nullptr}});
    exchange_->end();
  }

 private:
  bool whole() const { return std::string_view(finish_reason(*ended_)) == "stop"; }

  void event(std::string_view type, OrderedJson more) {
    OrderedJson json{{"type", type}, {"sequence_number", sequence_++}};
    json.update(more);
    exchange_->write(sse(type, json));
  }

  OrderedJson place(OrderedJson more) const {
    OrderedJson json{{"item_id", item_id_}, {"output_index", 0}};
    json.update(more);
    return json;
  }

  OrderedJson part() const {
    return {{"type", "output_text"},
            {"text", text_},
            {"annotations", OrderedJson::array()},
            {"logprobs", OrderedJson::array()}};
  }

  OrderedJson item(bool done) const {
    OrderedJson content = OrderedJson::array();
    if (done) content.push_back(part());
    const char* status = !done ? "in_progress" : whole() ? "completed" : "incomplete";
    return {{"id", item_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  OrderedJson response(bool done) const {
    OrderedJson json{{"id", id_}, {"object", "response"}, {"created_at", created_}};
    json["status"] = !done ? "in_progress" : whole() ? "completed" : "incomplete";
    json["error"] = nullptr;
    json["incomplete_details"] = nullptr;
    if (done && !whole()) json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    json["instructions"] = instructions_;
    json["metadata"] = OrderedJson::object();
    json["model"] = model_.id;
    json["output"] = OrderedJson::array();
    if (done) json["output"].push_back(item(true));
    json["parallel_tool_calls"] = false;
    json["store"] = false;
    json["temperature"] = temperature_;
    json["tool_choice"] = "none";
    json["tools"] = OrderedJson::array();
    json["top_p"] = top_p_;
    json["usage"] = nullptr;
    if (done) {
      json["usage"] = {{"input_tokens", usage_.prompt},
                       {"input_tokens_details", {{"cached_tokens", usage_.cached}}},
                       {"output_tokens", usage_.answer},
                       {"output_tokens_details", {{"reasoning_tokens", 0}}},
                       {"total_tokens", usage_.prompt + usage_.answer}};
    }
    return json;
  }

  void begin() {
    streaming_ = true;
    exchange_->begin_stream(kEventStream);
    event("response.created", {{"response", response(false)}});
    event("response.in_progress", {{"response", response(false)}});
    event("response.output_item.added", {{"output_index", 0}, {"item", item(false)}});
    OrderedJson empty = part();
    empty["text"] = "";
    event("response.content_part.added", place({{"content_index", 0}, {"part", empty}}));
  }

  ExchangePtr exchange_;
  const ServedModel& model_;
  const bool stream_;
  const OrderedJson instructions_;
  const double temperature_, top_p_;
  const std::string id_ = fresh_id("resp_"), item_id_ = fresh_id("msg_");
  const std::int64_t created_ = now_seconds();
  std::string text_;
  Usage usage_;
  std::optional<engine::StopReason> ended_;
  std::size_t sequence_ = 0;
  bool streaming_ = false;
};

}  // namespace

void post_responses(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  ResponseRequest request =
      read_request(parse_body(exchange->request().body), model, service.limits);
  auto sink = std::make_shared<ResponseSink>(exchange, model, request);
  std::vector<engine::TextRequest> texts;
  texts.push_back(std::move(request.text));
  run_texts(service, exchange, std::move(texts), std::move(sink));
}

}  // namespace tern::server
