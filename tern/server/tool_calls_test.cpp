// Calls are read out of answers however they come in pieces, and texts stay what they are.
#include "tern/server/tool_calls.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tern::server
