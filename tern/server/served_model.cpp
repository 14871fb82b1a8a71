// Templates and limits of the model that is served.
#include "tern/server/served_model.h"

#include <algorithm>
#include <ctime>

#include "tern/base/error.h"
#include "tern/server/http_error.h"
#include "tern/tokenizer/prompt_tokens.h"

namespace tern::server {
namespace {

// A text may become shorter before it is cut into pieces (Unicode's composed forms).
constexpr std::size_t kMostShrinking = 4;

std::string content_of(const tokenizer::ChatMessage& message) {
  return message.content.is_string() ? message.content.as_string() : "";
}

}  // namespace

ServedModel::ServedModel(std::string name, const tokenizer::Tokenizer& words,
                         const std::string& chat_text, const std::string& tool_text,
                         std::size_t context_size, const engine::SamplerParams& sampling)
    : id(std::move(name)),
      tokenizer(words),
      context(context_size),
      defaults(sampling),
      chat_template(chat_text),
      created(static_cast<std::int64_t>(std::time(nullptr))) {
  const auto& data = words.data();
  if (!chat_text.empty()) chat_.emplace(chat_text, data, id + ": chat template");
  if (!tool_text.empty()) tool_chat_.emplace(tool_text, data, id + ": tool template");
  if (tool_chat_) {
    tools_ = find_tool_syntax(*tool_chat_, words);
  } else if (chat_) {
    tools_ = find_tool_syntax(*chat_, words);
  }
  for (const std::string& piece : data.pieces) {
    longest_piece_ = std::max(longest_piece_, piece.size());
  }
}

std::string ServedModel::render(const tokenizer::ChatInput& input) const {
  if (chat_) {
    try {
      return (input.tools && tool_chat_ ? *tool_chat_ : *chat_).render(input);
    } catch (const Error& e) {
      throw HttpError(400, std::string("messages: ") + e.what(), "messages");
    }
  }
  std::string text;
  for (const auto& message : input.messages) {
    if (!text.empty()) text += "\n\n";
    text += content_of(message);
  }
  return text;
}

std::vector<std::uint32_t> ServedModel::encode(std::string_view text, bool begin,
                                               bool parse_special) const {
  require_fitting(text.size() / (kMostShrinking * longest_piece_));
  return begin ? tokenizer::prompt_tokens(tokenizer, text, parse_special)
               : tokenizer.encode(text, parse_special);
}

void ServedModel::require_fitting(std::size_t tokens) const {
  if (tokens <= context) return;
  throw HttpError(400,
                  "a prompt of at least " + std::to_string(tokens) +
                      " tokens found, expected at most the context of " + std::to_string(context),
                  "", "context_length_exceeded");
}

std::string ServedModel::token_text(std::uint32_t token) const {
  return token < tokenizer.vocab_size() ? tokenizer.piece(token, true) : "";
}

}  // namespace tern::server
