// A conversation as the text that a model was trained to go on from, by the model's own template.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/jinja/template.h"
#include "tern/jinja/value.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::tokenizer {

// One message as templates see it: a dict of role, content and whatever else it has.
struct ChatMessage {
  std::string role;      // "system", "user", "assistant", "tool".
  jinja::Value content;  // A text, none (where there are only calls), or a list of parts.
  jinja::Dict more;      // "tool_calls", "tool_call_id", "name", "reasoning_content" …

  static ChatMessage of_text(std::string_view role, std::string_view text);
};

struct ChatInput {
  std::vector<ChatMessage> messages;
  std::optional<jinja::Value> tools;  // A list of what OpenAI's API has in `tools`.
  bool add_generation_prompt = true;  // End with what begins the assistant's answer.
  jinja::Dict variables;              // More for the template: "enable_thinking" … These win.
};

// Const after construction and then shared by threads.
class ChatTemplate {
 public:
  // `source`: Checkpoint::chat_template(). `name` stands in front of errors. The templates see the
  // beginning and end tokens of `tokenizer` as bos_token and eos_token, where it has them. Throws
  // what jinja::Template throws, and Error(kUnsupported) for an empty source.
  ChatTemplate(std::string_view source, const TokenizerData& tokenizer,
               std::string_view name = "chat template");

  // What transformers' apply_chat_template gives: to be encoded with special tokens parsed and
  // without a further BOS. The same text in a message is not told apart from a special token. As
  // there, `tools` and `documents` are none where they are not given. Throws what
  // jinja::Template::render throws.
  std::string render(const ChatInput& input, const jinja::RenderOptions& options = {}) const;

 private:
  jinja::Template template_;
  jinja::Dict special_tokens_;
};

}  // namespace tern::tokenizer
