// What requests are read against: the model's names, words and limits. Without its weights, so that
// reading can be tested and fuzzed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/engine/sampler.h"
#include "tern/server/tool_calls.h"
#include "tern/tokenizer/chat_template.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::server {

// Const once it is served and then shared by threads. `tokenizer` outlives it.
class ServedModel {
 public:
  // `chat_text` and `tool_text`: the templates as Checkpoint has them; empty: none. Throws what
  // ChatTemplate throws for a template that cannot be read.
  ServedModel(std::string name, const tokenizer::Tokenizer& words, const std::string& chat_text,
              const std::string& tool_text, std::size_t context_size,
              const engine::SamplerParams& sampling);

  const std::string id;
  const tokenizer::Tokenizer& tokenizer;
  const std::size_t context;  // Positions that one text may have.
  const engine::SamplerParams defaults;
  const std::string chat_template;
  const std::int64_t created;  // Seconds since 1970.

  bool chats() const noexcept { return chat_.has_value(); }
  bool calls_tools() const noexcept { return tools_.has_value(); }
  // Requires calls_tools().
  const ToolSyntax& tools() const { return *tools_; }

  // The conversation as the model's template writes it; without a template the contents of the
  // messages with empty lines between them. Throws HttpError(400) with the template's sentence.
  std::string render(const tokenizer::ChatInput& input) const;

  // Ids of a text, with BOS where `begin` asks for what the model's files want in front. Throws
  // HttpError(400, context_length_exceeded) for a text that is certainly longer than the context,
  // without reading all of it.
  std::vector<std::uint32_t> encode(std::string_view text, bool begin, bool parse_special) const;
  // Throws the same for so many ids.
  void require_fitting(std::size_t tokens) const;

  // The text of one id alone, as logprobs show it: special tokens too.
  std::string token_text(std::uint32_t id) const;

 private:
  std::optional<tokenizer::ChatTemplate> chat_, tool_chat_;
  std::optional<ToolSyntax> tools_;
  std::size_t longest_piece_ = 1;
};

}  // namespace tern::server
