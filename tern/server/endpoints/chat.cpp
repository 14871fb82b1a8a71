// POST /v1/chat/completions: OpenAI's chat, whole or as a stream, with logprobs and tool calls.
#include <map>
#include <memory>
#include <vector>

#include "tern/server/answers.h"
#include "tern/server/chat_request.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/texts.h"
#include "tern/server/tool_calls.h"

namespace tern::server {
namespace {

struct Choice {
  std::string content;
  std::vector<engine::TokenScore> tokens;
  std::vector<ToolCall> calls;
  std::optional<ToolReader> reader;
  std::optional<engine::StopReason> ended;
  engine::TextStatus status;
  bool begun = false;
};

class ChatSink final : public TextSink {
 public:
  ChatSink(ExchangePtr exchange, const ServedModel& model, const ChatRequest& request)
      : exchange_(std::move(exchange)),
        model_(model),
        stream_(request.stream),
        include_usage_(request.include_usage),
        logprobs_(request.logprobs),
        choices_(request.texts.size()),
        id_(fresh_id("chatcmpl-")) {
    for (Choice& choice : choices_) {
      if (request.tools) choice.reader.emplace(model.tools(), request.inside_call);
    }
  }

  void on_output(TextOutput&& output) override {
    Choice& choice = choices_[output.index];
    choice.ended = output.ended;
    choice.status = output.status;
    std::vector<ToolReader::Piece> pieces;
    if (choice.reader) {
      pieces = choice.reader->push(output.text);
      if (output.ended) {
        for (auto& piece : choice.reader->finish()) pieces.push_back(std::move(piece));
      }
    } else if (!output.text.empty()) {
      pieces.push_back({std::move(output.text), std::nullopt});
    }
    if (stream_) return stream(output.index, choice, pieces, output.tokens);
    for (auto& piece : pieces) {
      choice.content += piece.content;
      if (piece.call) choice.calls.push_back(std::move(*piece.call));
    }
    if (logprobs_) {
      for (auto& token : output.tokens) choice.tokens.push_back(std::move(token));
    }
  }

  void on_all_ended() override {
    for (const Choice& choice : choices_) usage_.add_choice(choice.status);
    if (!stream_) return reply_whole();
    if (include_usage_) {
      OrderedJson chunk = envelope();
      chunk["choices"] = OrderedJson::array();
      chunk["usage"] = usage_json(usage_);
      exchange_->write(sse(chunk));
    }
    exchange_->write("data: [DONE]\n\n");
    exchange_->end();
  }

  void on_failure(const HttpError& error) override { reply_error(*exchange_, error, streaming_); }

 private:
  OrderedJson envelope() const {
    return {{"id", id_},
            {"object", stream_ ? "chat.completion.chunk" : "chat.completion"},
            {"created", created_},
            {"model", model_.id}};
  }

  static OrderedJson call_json(const ToolCall& call, std::size_t index, bool with_index) {
    OrderedJson json;
    if (with_index) json["index"] = index;
    json["id"] = fresh_id("call_");
    json["type"] = "function";
    json["function"] = {{"name", call.name}, {"arguments", call.arguments}};
    return json;
  }

  static std::string reason(const Choice& choice) {
    return choice.calls.empty() ? finish_reason(*choice.ended) : "tool_calls";
  }

  void chunk(std::size_t index, OrderedJson delta, const OrderedJson& logprobs,
             const OrderedJson& finish, const Choice* timed) {
    OrderedJson json = envelope();
    json["choices"] =
        OrderedJson::array({OrderedJson{{"index", index}, {"delta", std::move(delta)}}});
    if (logprobs_) json["choices"][0]["logprobs"] = logprobs;
    json["choices"][0]["finish_reason"] = finish;
    if (include_usage_) json["usage"] = nullptr;
    if (timed != nullptr) json["timings"] = timings_json(timed->status);
    exchange_->write(sse(json));
  }

  // The headers go out with the first token, so that a proxy can ask elsewhere until then.
  void stream(std::size_t index, Choice& choice, std::vector<ToolReader::Piece>& pieces,
              const std::vector<engine::TokenScore>& tokens) {
    if (!streaming_) {
      streaming_ = true;
      exchange_->begin_stream(kEventStream);
    }
    if (!choice.begun) {
      choice.begun = true;
      chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr, nullptr);
    }
    OrderedJson logprobs;
    if (logprobs_ && !tokens.empty()) logprobs = {{"content", chat_logprobs(tokens, model_)}};
    if (pieces.empty() && !logprobs.is_null()) pieces.push_back({"", std::nullopt});
    for (auto& piece : pieces) {
      OrderedJson delta = OrderedJson::object();
      if (piece.call) {
        const OrderedJson call = call_json(*piece.call, choice.calls.size(), true);
        delta["tool_calls"] = OrderedJson::array({call});
        choice.calls.push_back(std::move(*piece.call));
      } else {
        delta["content"] = piece.content;
      }
      chunk(index, std::move(delta), logprobs, nullptr, nullptr);
      logprobs = nullptr;
    }
    if (choice.ended) chunk(index, OrderedJson::object(), nullptr, reason(choice), &choice);
  }

  void reply_whole() {
    OrderedJson json = envelope();
    json["choices"] = OrderedJson::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      OrderedJson message{{"role", "assistant"}, {"content", choice.content}};
      if (!choice.calls.empty()) {
        if (choice.content.empty()) message["content"] = nullptr;
        message["tool_calls"] = OrderedJson::array();
        for (const ToolCall& call : choice.calls) {
          message["tool_calls"].push_back(call_json(call, 0, false));
        }
      }
      OrderedJson one{{"index", i}, {"message", std::move(message)}, {"logprobs", nullptr}};
      if (logprobs_) one["logprobs"] = {{"content", chat_logprobs(choice.tokens, model_)}};
      one["finish_reason"] = reason(choice);
      json["choices"].push_back(std::move(one));
    }
    json["usage"] = usage_json(usage_);
    json["timings"] = timings_json(choices_[0].status);
    reply_json(*exchange_, json);
  }

  ExchangePtr exchange_;
  const ServedModel& model_;
  const bool stream_, include_usage_, logprobs_;
  std::vector<Choice> choices_;
  const std::string id_;
  const std::int64_t created_ = now_seconds();
  Usage usage_;
  bool streaming_ = false;
};

}  // namespace

void post_chat(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  ChatRequest request =
      read_chat_request(parse_body(exchange->request().body), model, service.limits);
  auto sink = std::make_shared<ChatSink>(exchange, model, request);
  run_texts(service, exchange, std::move(request.texts), std::move(sink));
}

}  // namespace tern::server
