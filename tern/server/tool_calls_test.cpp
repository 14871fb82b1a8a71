// Calls are read out of answers however they come in pieces, and texts stay what they are.
#include "tern/server/tool_calls.h"

#include <gtest/gtest.h>

#include "tern/base/atomic_file.h"
#include "tern/engine/engine_test_util.h"
#include "tern/grammar/matcher.h"

namespace tern::server {
namespace {

// The content and, in brackets, the calls.
std::string read(const ToolSyntax& syntax, bool inside, std::string_view text, std::size_t step) {
  ToolReader reader(syntax, inside);
  std::string all;
  const auto add = [&](const std::vector<ToolReader::Piece>& pieces) {
    for (const auto& piece : pieces) {
      all += piece.call ? "[" + piece.call->name + piece.call->arguments + "]" : piece.content;
    }
  };
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
    add(reader.push(text.substr(0, step)));
  }
  add(reader.finish());
  return all;
}

TEST(ToolReader, ReadsCallsInAnyPieces) {
  const ToolSyntax marked{"<call>\n", "\n</call>", "<call>\n", "arguments", false};
  const ToolSyntax bare{"", "", "", "parameters", false};
  const struct {
    const ToolSyntax& syntax;
    bool inside;
    const char *text, *expected;
  } kCases[] = {
      {marked, false, "plain", "plain"},
      {marked, false, R"(Hm <call>{"name":"f","arguments":{"a":1}}</call> so)",
       R"(Hm [f{"a":1}] so)"},
      {marked, false,
       R"(<call>{"name":"f","arguments":{}}</call><call>{"name":"g","arguments":{}}</call>)",
       "[f{}][g{}]"},
      {marked, false, R"(<call>{"name":"f","arguments":{}})", "[f{}]"},
      {marked, false, "a < b <cal <<call", "a < b <cal <<call"},
      {marked, false, "<call>no json</call> x", "<call>no json</call> x"},
      {marked, false, R"(<call>{"name":1,"arguments":{}}</call>)",
       R"(<call>{"name":1,"arguments":{}}</call>)"},
      {marked, false, R"(<call>{"name":"f"}</call>)", R"(<call>{"name":"f"}</call>)"},
      {marked, true, R"({"name":"f","arguments":"{}"}</call>)", "[f{}]"},
      {marked, true, R"({"name":"f","argu)", R"({"name":"f","argu)"},
      {bare, false, R"( {"name":"f","parameters":{}} )", "[f{}]"},
      {bare, false, R"(So {"name":"f","parameters":{}})", R"(So {"name":"f","parameters":{}})"},
      {bare, false, R"({"a":1})", R"({"a":1})"},
      {bare, false, " \n", " \n"},
  };
  for (const auto& one : kCases) {
    for (const std::size_t step : {1u, 2u, 3u, 7u, 1000u}) {
      EXPECT_EQ(read(one.syntax, one.inside, one.text, step), one.expected) << step;
    }
  }
}

std::optional<ToolSyntax> syntax_of(const std::string& name) {
  const tokenizer::Tokenizer letters(engine::letters(64));
  const std::string text =
      read_text_file(std::string(TERN_GOLDEN_DIR) + "/chat/templates/" + name + ".jinja");
  return find_tool_syntax(tokenizer::ChatTemplate(text, letters.data()), letters);
}

TEST(ToolSyntax, IsWhatTheTemplateWrites) {
  const auto marked = syntax_of("im_markers");
  ASSERT_TRUE(marked);
  EXPECT_EQ(marked->begin, "<call>");
  EXPECT_EQ(marked->end, "</call>");
  EXPECT_EQ(marked->arguments_key, "arguments");
  EXPECT_FALSE(marked->list);
  const auto bare = syntax_of("header_ids");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->begin, "");
  EXPECT_EQ(bare->end, "");
  EXPECT_EQ(bare->arguments_key, "parameters");
  const auto list = syntax_of("bracket_tools");
  ASSERT_TRUE(list);
  EXPECT_TRUE(list->list);
  EXPECT_EQ(list->end, "");
  // Templates that write calls otherwise, or none.
  for (const char* name : {"distilled", "plain_chatml", "turns", "role_colon"}) {
    EXPECT_FALSE(syntax_of(name)) << name;
  }
}

TEST(ToolSyntax, GrammarsAllowOneCallThatFits) {
  const OrderedJson tools = parse_ordered_json(R"([
      {"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"a": {"$ref": "#/$defs/few"}}, "required": ["a"],
        "additionalProperties": false, "$defs": {"few": {"enum": [1, 2]}}}}},
      {"type": "function", "function": {"name": "g"}}])",
                                               "tools");
  for (const bool list : {false, true}) {
    const ToolSyntax syntax{"", "", "", "arguments", list};
    const auto wrap = [&](std::string text) { return list ? "[" + text + "]" : text; };
    const auto fits = [&](const std::string& text, const OrderedJson& some) {
      grammar::Matcher matcher(call_grammar(syntax, some));
      return matcher.accept(wrap(text)) && matcher.can_end();
    };
    OrderedJson one = OrderedJson::array({tools[0]});
    EXPECT_TRUE(fits(R"({"name":"f","arguments":{"a":1}})", tools));
    EXPECT_TRUE(fits(R"({"name":"f","arguments":{"a":2}})", one));
    EXPECT_TRUE(fits(R"({"name":"g","arguments":{"any":[null]}})", tools));
    EXPECT_FALSE(fits(R"({"name":"f","arguments":{"a":3}})", tools));
    EXPECT_FALSE(fits(R"({"name":"g","arguments":{}})", one));
    EXPECT_FALSE(fits(R"({"name":"h","arguments":{}})", tools));
  }
}

}  // namespace
}  // namespace tern::server
