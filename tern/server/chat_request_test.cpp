// A chat's body becomes what the scheduler is asked for; what is wrong is named.
#include "tern/server/chat_request.h"

#include <gtest/gtest.h>

#include "tern/engine/engine_test_util.h"

namespace tern::server {
namespace {

constexpr const char* kTemplate =
    "{% for m in messages %}[{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}<call>{{ "
    "{'name': c.function.name, 'arguments': c.function.arguments} | tojson }}</call>{% endfor %}]"
    "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}[A:"
    "{% endif %}";

class ChatRequestTest : public testing::Test {
 protected:
  ChatRequest read(const std::string& more) { return read(more, chatting_); }
  ChatRequest read(const std::string& more, const ServedModel& model) {
    const std::string body = R"({"messages":[{"role":"user","content":"B"}])" + more + "}";
    return read_chat_request(parse_body(body), model, {});
  }
  std::string prompt(const std::string& messages) {
    const OrderedJson body = parse_body(R"({"messages":)" + messages + "}");
    return chatting_.render(read_chat_input(Fields(body)));
  }
  // The field at fault.
  std::string fault(const std::string& more) {
    try {
      read(more);
    } catch (const HttpError& e) {
      EXPECT_EQ(e.status(), 400u);
      return e.param();
    }
    return "none";
  }

  tokenizer::Tokenizer letters_{engine::letters(65)};
  ServedModel chatting_{"m", letters_, kTemplate, "", 512, {}};
  ServedModel plain_{"m", letters_, "", "", 512, {}};
};

TEST_F(ChatRequestTest, FieldsArriveWhereTheyBelong) {
  const ChatRequest r = read(
      R"(,"max_tokens":7,"temperature":0.5,"top_p":0,"top_k":-1,"min_p":0.1,"seed":9,"n":3,
         "stop":["X","Y"],"logprobs":true,"top_logprobs":4,"logit_bias":{"5":-100},"unknown":[1],
         "repetition_penalty":1.5,"stream":true,"stream_options":{"include_usage":true})");
  ASSERT_EQ(r.texts.size(), 3u);
  EXPECT_TRUE(r.stream && r.include_usage && r.logprobs && !r.tools);
  const engine::TextRequest& text = r.texts[2];
  EXPECT_EQ(text.sampler.seed, 11u);  // Each choice has its own.
  EXPECT_EQ(text.sampler.temperature, 0.5);
  EXPECT_EQ(text.sampler.top_k, 0u);
  EXPECT_GT(text.sampler.top_p, 0);  // 0 is the best token alone.
  EXPECT_EQ(text.sampler.min_p, 0.1);
  EXPECT_EQ(text.sampler.repeat_penalty, 1.5);
  ASSERT_EQ(text.sampler.logit_bias.size(), 1u);
  EXPECT_EQ(text.sampler.logit_bias[0].id, 5u);
  EXPECT_EQ(text.limits.max_tokens, 7u);
  EXPECT_EQ(text.limits.stop, (std::vector<std::string>{"X", "Y"}));
  EXPECT_TRUE(text.scores);
  EXPECT_EQ(text.top, 4u);
  EXPECT_EQ(letters_.decode(text.prompt), "[userB][A");  // It has no colon.
  EXPECT_EQ(letters_.decode(read("", plain_).texts[0].prompt), "B");
}

TEST_F(ChatRequestTest, MessagesInAllTheirForms) {
  EXPECT_EQ(prompt(R"([{"role":"developer","content":"S"},
                       {"role":"user","content":[{"type":"text","text":"A"},{"text":"B"}]}])"),
            "[system:S][user:AB][A:");
  // Arguments are a text to OpenAI and an object to templates, in the order of the request.
  EXPECT_EQ(prompt(R"([{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",
                       "function":{"name":"f","arguments":"{\"z\":1,\"a\":2}"}}]}])"),
            R"([assistant:<call>{"name": "f", "arguments": {"z": 1, "a": 2}}</call>][A:)");
  EXPECT_EQ(prompt(R"([{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",
                       "arguments":"no json"}}]}])"),
            R"([assistant:<call>{"name": "f", "arguments": "no json"}</call>][A:)");
}

TEST_F(ChatRequestTest, ToolsAreHeldTo) {
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"f"}},
                   {"type":"function","function":{"name":"g"}}])";
  EXPECT_TRUE(read(tools).tools);
  EXPECT_FALSE(read(tools).texts[0].grammar);
  EXPECT_FALSE(read(tools + R"(,"tool_choice":"none")").tools);
  const ChatRequest required = read(tools + R"(,"tool_choice":"required")");
  EXPECT_TRUE(required.inside_call && required.texts[0].grammar);
  EXPECT_EQ(chatting_.tools().begin, "<call>");
  EXPECT_TRUE(letters_.decode(required.texts[0].prompt).ends_with("[Acall"));  // Less the signs.
  EXPECT_TRUE(
      read(tools + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})").inside_call);
  EXPECT_THROW(read(tools, plain_), HttpError);
  EXPECT_EQ(fault(tools + R"(,"tool_choice":{"function":{"name":"h"}})"), "tool_choice");
  EXPECT_EQ(fault(tools + R"(,"tool_choice":"some")"), "tool_choice");
  EXPECT_EQ(fault(R"(,"tool_choice":"required")"), "tools");
  EXPECT_EQ(fault(tools + R"(,"response_format":{"type":"json_object"})"), "tools");
  EXPECT_EQ(fault(R"(,"tools":[{"type":"function"}])"), "tools[0].function");
  EXPECT_EQ(fault(R"(,"tools":[{"type":"web_search"}])"), "tools[0].type");
}

TEST_F(ChatRequestTest, WhatIsWrongIsNamed) {
  for (const auto& [more, param] : std::vector<std::pair<std::string, std::string>>{
           {R"(,"temperature":[])", "temperature"},
           {R"(,"max_tokens":1e30)", "max_tokens"},
           {R"(,"n":2.5)", "n"},
           {R"(,"seed":18446744073709551615)", "seed"},
           {R"(,"stop":5)", "stop"},
           {R"(,"logit_bias":{"1":1,"01":2})", "logit_bias"},
           {R"(,"logit_bias":[[1]])", "logit_bias"},
           {R"(,"logit_bias":{"1":1e300})", "logit_bias"},
           {R"(,"chat_template_kwargs":[])", "chat_template_kwargs"},
           {R"(,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
           {R"(,"response_format":{"type":"json_schema"})", "response_format.schema"},
           {R"(,"grammar":5)", "grammar"}}) {
    EXPECT_EQ(fault(more), param) << more;
  }
  EXPECT_EQ(fault(R"(,"temperature":null,"seed":-1,"stop":null)"), "none");
}

}  // namespace
}  // namespace tern::server
