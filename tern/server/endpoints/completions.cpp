// POST /v1/completions: OpenAI's older interface, with echo and logprobs as the LM evaluation
// harness asks for them.
#include <algorithm>
#include <memory>
#include <vector>

#include "tern/base/utf8.h"
#include "tern/server/answers.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/prompts.h"
#include "tern/server/text_fields.h"
#include "tern/server/texts.h"

namespace tern::server {
namespace {

struct CompletionRequest {
  std::vector<engine::TextRequest> texts;
  std::vector<std::vector<std::uint32_t>> prompts;  // Of each text, where it is echoed.
  bool stream = false, include_usage = false, echo = false;
  bool logprobs = false;
  std::size_t choices = 1;
};

CompletionRequest read_request(const OrderedJson& body, const ServedModel& model,
                               const Limits& limits) {
  const Fields fields(body);
  check_model_name(fields, model);
  if (const auto suffix = fields.text("suffix"); suffix && !suffix->empty()) {
    throw fields.wrong("suffix", "none: this model goes on with a text, but fills no gaps");
  }
  CompletionRequest request;
  engine::TextRequest text = read_text_fields(fields, model, limits);
  // OpenAI's own default.
  text.limits.max_tokens = read_max_tokens(fields, {"max_tokens", "n_predict"}, 16);
  text.grammar = read_grammar(fields, limits);
  request.echo = fields.flag("echo").value_or(false);
  request.stream = fields.flag("stream").value_or(false);
  if (const OrderedJson* options = fields.object("stream_options")) {
    request.include_usage =
        Fields(*options, "stream_options.").flag("include_usage").value_or(false);
  }
  const auto top = fields.integer("logprobs", 0, 20);
  request.logprobs = top.has_value();
  text.scores = request.logprobs;
  text.prompt_scores = request.logprobs && request.echo;
  text.top = static_cast<std::size_t>(top.value_or(0));
  request.choices = static_cast<std::size_t>(
      fields.integer("n", 1, static_cast<std::int64_t>(limits.choices)).value_or(1));
  for (auto& prompt : read_prompts(fields, "prompt", model, limits)) {
    if (request.texts.size() + request.choices > limits.prompts) {
      throw fields.wrong("prompt",
                         "at most " + std::to_string(limits.prompts) + " prompts times choices");
    }
    text.prompt = prompt;
    copy_choices(request.texts, text, request.choices);
    if (request.echo) {
      for (std::size_t i = 0; i < request.choices; ++i) request.prompts.push_back(prompt);
    }
  }
  return request;
}

// Those that begin in `bytes`, so that pieces of one count once.
std::size_t characters(std::string_view bytes) {
  return static_cast<std::size_t>(std::ranges::count_if(
      bytes, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// OpenAI's four lists, side by side.
class LegacyLogprobs {
 public:
  void add(const engine::TokenScore& token, const ServedModel& model) {
    tokens_.push_back(valid_utf8(model.token_text(token.id)));
    token_logprobs_.push_back(token.logprob ? OrderedJson(*token.logprob) : OrderedJson());
    OrderedJson top;
    for (const auto& other : token.top) {
      // Pieces that cut a character may look alike; the best of them stays.
      const std::string key = valid_utf8(model.token_text(other.id));
      if (!top.contains(key)) top[key] = other.logprob;
    }
    top_logprobs_.push_back(std::move(top));
    text_offset_.push_back(offset_);
    // In characters, as Python counts them; what a text does not show takes none.
    const std::string seen =
        token.id < model.tokenizer.vocab_size() ? model.tokenizer.piece(token.id) : "";
    offset_ += characters(seen);
  }
  OrderedJson take() {
    OrderedJson json{{"tokens", std::move(tokens_)},
                     {"token_logprobs", std::move(token_logprobs_)},
                     {"top_logprobs", std::move(top_logprobs_)},
                     {"text_offset", std::move(text_offset_)}};
    tokens_ = token_logprobs_ = top_logprobs_ = text_offset_ = OrderedJson::array();
    return json;
  }

 private:
  OrderedJson tokens_ = OrderedJson::array(), token_logprobs_ = OrderedJson::array(),
              top_logprobs_ = OrderedJson::array(), text_offset_ = OrderedJson::array();
  std::size_t offset_ = 0;
};

struct Choice {
  std::string text;
  LegacyLogprobs logprobs;
  std::optional<engine::StopReason> ended;
  engine::TextStatus status;
  bool begun = false;
};

class CompletionSink final : public TextSink {
 public:
  CompletionSink(ExchangePtr exchange, const ServedModel& model, const CompletionRequest& request)
      : exchange_(std::move(exchange)),
        model_(model),
        stream_(request.stream),
        include_usage_(request.include_usage),
        logprobs_(request.logprobs),
        per_prompt_(request.choices),
        choices_(request.texts.size()),
        prompts_(request.prompts),
        id_(fresh_id("cmpl-")) {}

  void on_output(TextOutput&& output) override {
    Choice& choice = choices_[output.index];
    choice.ended = output.ended;
    choice.status = output.status;
    if (!choice.begun && !prompts_.empty()) {
      choice.text += valid_utf8(model_.tokenizer.decode(prompts_[output.index]));
    }
    choice.begun = true;
    choice.text += output.text;
    if (logprobs_) {
      for (const auto& token : output.prompt) choice.logprobs.add(token, model_);
      for (const auto& token : output.tokens) choice.logprobs.add(token, model_);
    }
    if (!stream_) return;
    if (!streaming_) {
      streaming_ = true;
      exchange_->begin_stream(kEventStream);
    }
    const bool any = !choice.text.empty() || !output.tokens.empty() || !output.prompt.empty();
    if (!any && !choice.ended) return;
    OrderedJson json = envelope();
    json["choices"] = OrderedJson::array({choice_json(output.index)});
    if (choice.ended) json["timings"] = timings_json(choice.status);
    exchange_->write(sse(json));
    choice.text.clear();
  }

  void on_all_ended() override {
    Usage usage;
    for (std::size_t begin = 0; begin < choices_.size(); begin += per_prompt_) {
      Usage one;
      for (std::size_t i = 0; i < per_prompt_; ++i) one.add_choice(choices_[begin + i].status);
      usage.prompt += one.prompt;
      usage.cached += one.cached;
      usage.answer += one.answer;
    }
    OrderedJson json = envelope();
    json["choices"] = OrderedJson::array();
    if (!stream_) {
      for (std::size_t i = 0; i < choices_.size(); ++i) json["choices"].push_back(choice_json(i));
      json["usage"] = usage_json(usage);
      json["timings"] = timings_json(choices_[0].status);
      return reply_json(*exchange_, json);
    }
    if (include_usage_) {
      json["usage"] = usage_json(usage);
      exchange_->write(sse(json));
    }
    exchange_->write("data: [DONE]\n\n");
    exchange_->end();
  }

  void on_failure(const HttpError& error) override { reply_error(*exchange_, error, streaming_); }

 private:
  OrderedJson envelope() const {
    return {
        {"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_.id}};
  }

  OrderedJson choice_json(std::size_t index) {
    Choice& choice = choices_[index];
    OrderedJson json{{"text", choice.text}, {"index", index}, {"logprobs", nullptr}};
    if (logprobs_) json["logprobs"] = choice.logprobs.take();
    json["finish_reason"] =
        choice.ended ? OrderedJson(finish_reason(*choice.ended)) : OrderedJson();
    return json;
  }

  ExchangePtr exchange_;
  const ServedModel& model_;
  const bool stream_, include_usage_, logprobs_;
  const std::size_t per_prompt_;
  std::vector<Choice> choices_;
  const std::vector<std::vector<std::uint32_t>> prompts_;
  const std::string id_;
  const std::int64_t created_ = now_seconds();
  bool streaming_ = false;
};

}  // namespace

void post_completions(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  CompletionRequest request =
      read_request(parse_body(exchange->request().body), model, service.limits);
  auto sink = std::make_shared<CompletionSink>(exchange, model, request);
  run_texts(service, exchange, std::move(request.texts), std::move(sink));
}

}  // namespace tern::server
