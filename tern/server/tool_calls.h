// Tool calls in the words of a model: how its template writes them, and how an answer is read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"
#include "tern/grammar/grammar.h"
#include "tern/tokenizer/chat_template.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::server {

// A call is a JSON object {"name": ..., <arguments_key>: {...}} between two texts, or a list of
// such objects.
struct ToolSyntax {
  std::string begin, end;     // "<tool_call>\n", "\n</tool_call>"; may be empty.
  std::string shown_begin;    // What of `begin` an answer shows: special tokens have no text.
  std::string arguments_key;  // "arguments" or "parameters".
  bool list = false;
};

// What the template makes of a call that is put before it; nullopt where that is not such JSON, or
// where the template refuses it.
std::optional<ToolSyntax> find_tool_syntax(const tokenizer::ChatTemplate& chat,
                                           const tokenizer::Tokenizer& tokenizer);

struct ToolCall {
  std::string name;
  std::string arguments;  // A JSON object as text.
};

// Answers that are one call of one of `tools` (OpenAI's list): what follows ToolSyntax::begin.
// Requires that each has a name. Throws what json_schema_to_grammar throws.
std::shared_ptr<const grammar::Grammar> call_grammar(const ToolSyntax& syntax,
                                                     const OrderedJson& tools);

// Reads an answer as it comes. Text that is no call comes out as it went in.
class ToolReader {
 public:
  struct Piece {
    std::string content;  // Or:
    std::optional<ToolCall> call;
  };

  // `inside`: `begin` stands in the prompt already.
  ToolReader(const ToolSyntax& syntax, bool inside);
  std::vector<Piece> push(std::string_view text);
  std::vector<Piece> finish();

 private:
  void look_for_begin(std::vector<Piece>& pieces);
  bool take_call(std::vector<Piece>& pieces, bool at_end);

  std::string begin_, end_;  // Without the white space around them.
  std::string held_;
  bool inside_, bare_, any_ = false;
  bool begin_held_ = false;  // begin_ came with the answer: it is given out where no call follows.
};

}  // namespace tern::server
