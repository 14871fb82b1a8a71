// What python3-jinja2 makes of templates and conversations (tests/make_chat_goldens.py), also where
// it refuses.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tern/base/error.h"
#include "tern/jinja/template.h"

namespace tern::jinja {
namespace {

std::string file_text(const std::string& name) {
  std::ifstream file(std::string(TERN_CHAT_GOLDENS "/") + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

RenderOptions options() {
  RenderOptions made;
  made.now = std::tm{};  // chat_oracle.py's NOW: Saturday 2024-07-06 09:05:03.
  made.now->tm_year = 124;
  made.now->tm_mon = 6;
  made.now->tm_mday = 6;
  made.now->tm_hour = 9;
  made.now->tm_min = 5;
  made.now->tm_sec = 3;
  made.now->tm_wday = 6;
  made.now->tm_yday = 187;
  return made;
}

const Value& at(const Value& dict, std::string_view key) {
  const Value* found = dict.as_dict().find(key);
  EXPECT_NE(found, nullptr) << key;
  return *found;
}

// A golden's row: the same text, or raise_exception's sentence, or a refusal.
void expect_row(const Value& row, const std::string& source, const Dict& variables) {
  std::string text;
  std::string error;
  try {
    text = Template(source).render(variables, options());
  } catch (const Error& e) {
    error = e.what();
  }
  if (const Value* output = row.as_dict().find("output")) {
    EXPECT_EQ(error, "");
    EXPECT_EQ(text, output->as_string());
  } else if (const Value* raised = row.as_dict().find("raised")) {
    EXPECT_EQ(text, "");
    EXPECT_EQ(error, raised->as_string());
  } else {
    EXPECT_NE(error, "") << "rendered: " << text << "\nPython: " << at(row, "error").as_string();
    EXPECT_TRUE(error.starts_with("chat template: line ")) << error;
  }
}

TEST(Golden, EverySnippet) {
  const Value golden = parse_value(file_text("snippets.json"), "snippets.json");
  const auto& snippets = at(golden, "snippets").as_sequence().items;
  ASSERT_GT(snippets.size(), 300U);
  for (const Value& row : snippets) {
    SCOPED_TRACE(at(row, "source").as_string());
    expect_row(row, at(row, "source").as_string(), at(golden, "variables").as_dict());
  }
}

TEST(Golden, EveryTemplateWithEveryConversation) {
  const Value golden = parse_value(file_text("conversations.json"), "conversations.json");
  const auto& cases = at(golden, "cases").as_sequence().items;
  ASSERT_GT(cases.size(), 500U);
  for (const Value& row : cases) {
    const std::string& name = at(row, "template").as_string();
    const std::string& conversation = at(row, "conversation").as_string();
    const std::string& way = at(row, "way").as_string();
    SCOPED_TRACE(name + ", " + conversation + ", " + way);
    Dict variables;
    variables.set("messages", at(at(golden, "conversations"), conversation));
    variables.set("tools", Value::none());
    variables.set("documents", Value::none());
    variables.set("bos_token", Value::text("<s>"));
    variables.set("eos_token", Value::text("</s>"));
    for (const auto& [key, value] : at(at(golden, "ways"), way).as_dict().entries()) {
      variables.set(key, value);
    }
    expect_row(row, file_text("templates/" + name + ".jinja"), variables);
  }
}

}  // namespace
}  // namespace tern::jinja
