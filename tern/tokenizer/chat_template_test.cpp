// Chat templates get the variables that transformers give them.
#include "tern/tokenizer/chat_template.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"

namespace tern::tokenizer {
namespace {

TokenizerData data() {
  TokenizerData made;
  made.pieces = {"<unk>", "<|begin|>", "<|end|>"};
  made.bos = 1;
  made.eos = 2;
  return made;
}

ChatInput question() {
  ChatInput input;
  input.messages = {ChatMessage::of_text("system", "Be kind."),
                    ChatMessage::of_text("user", "Hi ")};
  return input;
}

TEST(ChatTemplate, RendersAConversation) {
  const ChatTemplate chat(
      "{{ bos_token }}{% for m in messages %}{{ m['role']|capitalize + ': ' + m['content']|trim + "
      "'<|eot|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
      data());
  ChatInput input = question();
  EXPECT_EQ(chat.render(input), "<|begin|>System: Be kind.<|eot|>User: Hi<|eot|>Assistant: ");
  input.add_generation_prompt = false;
  EXPECT_EQ(chat.render(input), "<|begin|>System: Be kind.<|eot|>User: Hi<|eot|>");
}

TEST(ChatTemplate, SaysWhatIsThereAndWhatIsNot) {
  const ChatTemplate chat(
      "{{ eos_token }}{{ pad_token is defined }}{{ tools is none }}{{ documents is none }}"
      "{{ enable_thinking is defined }}{{ messages[1].keys()|list }}{{ tools|tojson }}",
      data());
  ChatInput input = question();
  EXPECT_EQ(chat.render(input), "<|end|>FalseTrueTrueFalse['role', 'content']null");
  input.tools = jinja::parse_value(R"([{"type": "function", "function": {"name": "f"}}])", "x");
  input.variables.set("enable_thinking", jinja::Value::boolean(false));
  input.messages[1].more.set("name", jinja::Value::text("Eve"));
  EXPECT_EQ(chat.render(input),
            "<|end|>FalseFalseTrueTrue['role', 'content', 'name']"
            R"([{"type": "function", "function": {"name": "f"}}])");
}

TEST(ChatTemplate, TheTemplatesOwnSentenceComesThrough) {
  const ChatTemplate chat("{{ raise_exception('No system message here') }}", data());
  try {
    chat.render(question());
    FAIL() << "rendered";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "No system message here");
  }
}

TEST(ChatTemplate, AModelWithoutOneIsRefused) {
  try {
    const ChatTemplate chat("", data(), "model.gguf: chat template");
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "model.gguf: chat template: the model's files have none, expected one for a chat");
  }
}

TEST(ChatTemplate, BrokenUtf8InAMessageIsReplaced) {
  const ChatTemplate chat("{{ messages[0].content|length }}{{ messages[0].content }}", data());
  ChatInput input;
  input.messages = {ChatMessage::of_text("user", "a\xE3\x81")};
  EXPECT_EQ(chat.render(input), "2a\xEF\xBF\xBD");
}

}  // namespace
}  // namespace tern::tokenizer
