// The variables of a chat template, as transformers name them.
#include "tern/tokenizer/chat_template.h"

#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"

namespace tern::tokenizer {
namespace {

using jinja::Dict;
using jinja::Value;

std::string_view checked(std::string_view source, std::string_view name) {
  if (source.empty()) {
    throw Error(ErrorCode::kUnsupported,
                std::string(name) + ": the model's files have none, expected one for a chat");
  }
  return source;
}

Value message_value(const ChatMessage& message) {
  Dict fields;
  fields.set("role", Value::text(valid_utf8(message.role)));
  fields.set("content", message.content);
  for (const auto& [key, value] : message.more.entries()) fields.set(key, value);
  return Value::dict(std::move(fields));
}

}  // namespace

ChatMessage ChatMessage::of_text(std::string_view role, std::string_view text) {
  return {std::string(role), Value::text(valid_utf8(text)), {}};
}

ChatTemplate::ChatTemplate(std::string_view source, const TokenizerData& tokenizer,
                           std::string_view name)
    : template_(checked(source, name), name) {
  const auto add = [&](const char* variable, const std::optional<std::uint32_t>& id) {
    if (!id || *id >= tokenizer.pieces.size()) return;
    special_tokens_.set(variable, Value::text(tokenizer.pieces[*id]));
  };
  add("bos_token", tokenizer.bos);
  add("eos_token", tokenizer.eos);
  add("unk_token", tokenizer.unk);
  add("pad_token", tokenizer.pad);
}

std::string ChatTemplate::render(const ChatInput& input,
                                 const jinja::RenderOptions& options) const {
  std::vector<Value> messages;
  for (const ChatMessage& message : input.messages) messages.push_back(message_value(message));
  Dict variables = special_tokens_;
  variables.set("messages", Value::list(std::move(messages)));
  variables.set("tools", input.tools ? *input.tools : Value::none());
  variables.set("documents", Value::none());
  variables.set("add_generation_prompt", Value::boolean(input.add_generation_prompt));
  for (const auto& [key, value] : input.variables.entries()) variables.set(key, value);
  return template_.render(variables, options);
}

}  // namespace tern::tokenizer
