// A conversation with tools, as OpenAI's chat interface says it, made ready for the scheduler.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tern/engine/scheduler.h"
#include "tern/server/fields.h"
#include "tern/server/served_model.h"
#include "tern/server/service.h"
#include "tern/tokenizer/chat_template.h"

namespace tern::server {

struct ChatRequest {
  std::vector<engine::TextRequest> texts;  // `n` choices.
  bool stream = false, include_usage = false;
  bool logprobs = false;
  bool tools = false;        // Calls are read out of the answers.
  bool inside_call = false;  // The prompt ends with what begins a call.
};

// `body` is the request's. Throws HttpError.
ChatRequest read_chat_request(const OrderedJson& body, const ServedModel& model,
                              const Limits& limits);

// `messages` alone, with `tools`, `add_generation_prompt` and `chat_template_kwargs`: what
// /apply-template renders.
tokenizer::ChatInput read_chat_input(const Fields& fields);

// One of OpenAI's messages; `where` is its name in errors ("messages[2]").
tokenizer::ChatMessage read_message(const OrderedJson& message, const std::string& where);
// A text, or a list of parts that are texts, joined. `where` as above.
std::string read_content(const OrderedJson& content, const std::string& where);

// Sets text.prompt: the conversation as the model's template writes it, with `more` behind it.
// Throws HttpError where the template refuses it or it does not fit into the context.
void set_prompt(engine::TextRequest& text, const tokenizer::ChatInput& input,
                const std::string& more, const ServedModel& model);

}  // namespace tern::server
