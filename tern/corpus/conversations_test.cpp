// What of a conversation is learnt, by the templates of models; lines that are none.
#include "tern/corpus/conversations.h"

#include <gtest/gtest.h>

#include <random>

#include "tern/corpus/corpus_test_util.h"

namespace tern::corpus {
namespace {

using test::chat_vocabulary;
using test::has;
using test::refusal;
using test::shown;
using test::slurp;
using tokenizer::ChatTemplate;
using tokenizer::Tokenizer;
using tokenizer::TokenizerData;

using Texts = std::vector<std::string>;

std::string golden(const std::string& name) {
  return slurp(std::string(TERN_SOURCE_DIR) + "/tests/golden/chat/templates/" + name + ".jinja");
}

// Roles and contents by turns as a line of JSON.
std::string line(const Texts& words) {
  Json messages = Json::array();
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    messages.push_back({{"role", words[i]}, {"content", words[i + 1]}});
  }
  return dump_json({{"messages", messages}});
}

// A template with its special tokens, the last of which ends a turn ("</s>" does always).
class Learner {
 public:
  Learner(const std::string& source, const Texts& special)
      : Learner(source, chat_vocabulary(special)) {}
  Learner(const std::string& source, TokenizerData data)
      : tokenizer_(std::move(data)), chat_(source, tokenizer_.data()), maker_(tokenizer_, chat_) {}

  std::vector<Example> make(const std::string& text) {
    return maker_.make(parse_conversation(text, "messages", "chat.jsonl: line 7"),
                       "chat.jsonl: line 7");
  }
  // Each example as its pieces, what is learnt in [[brackets]].
  Texts learn(const Texts& words) {
    Texts out;
    for (const Example& example : make(line(words))) out.push_back(shown(tokenizer_, example));
    return out;
  }
  std::string refuse(const Texts& words) {
    return refusal([&] { learn(words); });
  }
  const ExampleMaker& maker() const { return maker_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  Tokenizer tokenizer_;
  ChatTemplate chat_;
  ExampleMaker maker_;
};

const Texts kTwoTurns{"user", "Hi", "assistant", "Yo!", "user", "So?", "assistant", "No."};
const Texts kWithSystem{"system", "Be.", "user", "Hi", "assistant", "Yo!"};

TEST(Learnt, ChatMl) {
  Learner chat(golden("plain_chatml"), {"<|a|>", "<|z|>"});
  EXPECT_EQ(chat.learn(kTwoTurns),
            Texts{"<|a|>system\nYou are a small friend.<|z|>\n<|a|>user\nHi<|z|>\n"
                  "<|a|>assistant\n[[Yo!<|z|>]]\n<|a|>user\nSo?<|z|>\n"
                  "<|a|>assistant\n[[No.<|z|>]]"});
  EXPECT_EQ(chat.learn(kWithSystem),
            Texts{"<|a|>system\nBe.<|z|>\n<|a|>user\nHi<|z|>\n<|a|>assistant\n[[Yo!<|z|>]]"});
  EXPECT_EQ(chat.maker().answers_without_end(), 0u);
  EXPECT_EQ(chat.maker().conversations_split(), 0u);
}

TEST(Learnt, OnlyTheWordsAndTheEndTokenCountAndTheirBytesAreThoseOfTheWords) {
  Learner chat(golden("plain_chatml"), {"<|a|>", "<|z|>"});
  const std::vector<Example> made = chat.make(line({"user", "a", "assistant", "abあ"}));
  ASSERT_EQ(made.size(), 1u);
  // ab, three bytes of a character, <|z|> (ids 262 and 263 are the special tokens).
  const std::vector<std::uint32_t> learnt{261, 3 + 0xE3, 3 + 0x81, 3 + 0x82, 263};
  ASSERT_GE(made[0].ids.size(), learnt.size());
  EXPECT_EQ(std::vector(made[0].ids.end() - 5, made[0].ids.end()), learnt);
  EXPECT_EQ(made[0].target_count(), 5u);
  EXPECT_EQ(made[0].answer_bytes, 5u);
  EXPECT_EQ(made[0].targets.size(), made[0].ids.size());
}

TEST(Learnt, Llama3) {
  Learner chat(golden("header_ids"), {"<|head|>", "<|body|>", "<|stop|>"});
  const Texts made = chat.learn(kTwoTurns);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(made[0].starts_with("<s><|head|>system<|body|>\n\nToday: ")) << made[0];
  EXPECT_TRUE(
      made[0].ends_with("<|stop|><|head|>user<|body|>\n\nHi<|stop|><|head|>assistant<|body|>"
                        "\n\n[[Yo!<|stop|>]]<|head|>user<|body|>\n\nSo?<|stop|>"
                        "<|head|>assistant<|body|>\n\n[[No.<|stop|>]]"))
      << made[0];
}

// Its first template asks for an answer always, also behind the last one.
TEST(Learnt, Llama3sFirstTemplate) {
  Learner chat(
      "{% for message in messages %}{% set content = '<|head|>' + message['role'] + '<|body|>' + "
      "message['content'] | trim + '<|stop|>' %}{% if loop.index0 == 0 %}{% set content = "
      "bos_token + content %}{% endif %}{{ content }}{% endfor %}{{ '<|head|>assistant<|body|>' }}",
      {"<|head|>", "<|body|>", "<|stop|>"});
  EXPECT_EQ(chat.learn(kTwoTurns),
            Texts{"<s><|head|>user<|body|>Hi<|stop|><|head|>assistant<|body|>[[Yo!<|stop|>]]"
                  "<|head|>user<|body|>So?<|stop|><|head|>assistant<|body|>[[No.<|stop|>]]"});
}

TEST(Learnt, BitNet2B4T) {
  Learner chat(golden("role_colon"), {"<|end|>"});
  EXPECT_EQ(chat.learn({"system", "Be.", "user", "Hi", "assistant", " Yo! \n", "user", "So?",
                        "assistant", "No."}),
            Texts{"<s>System: Be.<|end|>User: Hi<|end|>Assistant: [[Yo!<|end|>]]User: So?<|end|>"
                  "Assistant: [[No.<|end|>]]"});
}

// Llama 2: nothing asks for an answer, and the template puts a blank in front of it.
TEST(Learnt, Llama2AndMistral) {
  Learner inst(golden("inst_blocks"), Texts{});
  EXPECT_EQ(inst.learn(kTwoTurns),
            Texts{"<s>[ASK] Hi [/ASK][[ Yo! </s>]]<s>[ASK] So? [/ASK][[ No. </s>]]"});
  Learner brackets(golden("bracket_tools"), Texts{});
  EXPECT_EQ(brackets.learn(kTwoTurns),
            Texts{"<s>[ASK] Hi[/ASK][[ Yo!</s>]][ASK] So?[/ASK][[ No.</s>]]"});
  // This one writes the system's words before the last question, and nowhere once it is answered.
  EXPECT_EQ(
      brackets.refuse(kWithSystem),
      "chat.jsonl: line 7: message 2: the chat template asks for an answer with "
      "\"Be.\\n\\nHi[/ASK]\", but writes this answer with \"Hi[/ASK] Yo!</s>\" in that place, "
      "so that the assistant's words cannot be told from the rest");
}

// Qwen3 writes an empty block of thoughts before the last answer, and none before earlier ones.
TEST(Learnt, Qwen3HasAnExampleForEachAnswer) {
  Learner chat(golden("im_markers"), {"<|im|>", "<|mi|>"});
  EXPECT_EQ(chat.learn(kTwoTurns),
            (Texts{"<|im|>user\nHi<|mi|>\n<|im|>assistant\n[[<muse>\n\n</muse>\n\nYo!<|mi|>]]",
                   "<|im|>user\nHi<|mi|>\n<|im|>assistant\nYo!<|mi|>\n<|im|>user\nSo?<|mi|>\n"
                   "<|im|>assistant\n[[<muse>\n\n</muse>\n\nNo.<|mi|>]]"}));
  EXPECT_EQ(chat.maker().conversations_split(), 1u);
  EXPECT_EQ(chat.learn({"user", "Hi", "assistant", "<muse>\nhm\n</muse>\n\nYo!"}),
            Texts{"<|im|>user\nHi<|mi|>\n<|im|>assistant\n[[<muse>\nhm\n</muse>\n\nYo!<|mi|>]]"});
  const std::vector<Example> given = chat.make(
      R"({"messages": [{"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Yo!", "reasoning_content": "hm", "name": null}]})");
  EXPECT_EQ(shown(chat.tokenizer(), given[0]),
            "<|im|>user\nHi<|mi|>\n<|im|>assistant\n[[<muse>\nhm\n</muse>\n\nYo!<|mi|>]]");
}

// DeepSeek's asks for thoughts, which it leaves out of the answer that it writes.
TEST(Learnt, NothingOfATemplateThatAsksForOtherThanItWrites) {
  Learner chat(golden("distilled"), {"<｜Reader｜>", "<｜Writer｜>", "<｜over｜>"});
  EXPECT_EQ(chat.refuse({"user", "Hi", "assistant", "<muse>\nhm</muse>Yo!"}),
            "chat.jsonl: line 7: message 1: the chat template asks for an answer with "
            "\"<muse>\\n\", but writes this answer with \"Yo!<｜over｜>\" in that place, so that "
            "the assistant's words cannot be told from the rest");
}

TEST(Learnt, OtherTemplates) {
  Learner turns(golden("turns"), {"<turn>", "</turn>"});  // Gemma's.
  EXPECT_EQ(turns.learn(kTwoTurns),
            Texts{"<s><turn>user\nHi</turn>\n<turn>model\n[[Yo!</turn>]]\n<turn>user\nSo?</turn>\n"
                  "<turn>model\n[[No.</turn>]]"});
  Learner bars(golden("bar_roles"), {"<|user|>", "<|assistant|>", "<|fin|>"});  // Zephyr's.
  EXPECT_EQ(bars.learn(kTwoTurns),
            Texts{"<|user|>\nHi<|fin|>\n<|assistant|>\n[[Yo!</s>]]\n<|user|>\n"
                  "So?<|fin|>\n<|assistant|>\n[[No.</s>]]"});
  Learner roles(golden("role_of_text"), {"<|who|>", "<|/who|>", "<|over|>"});
  EXPECT_EQ(roles.learn(kTwoTurns),
            Texts{"<|who|>user<|/who|>Hi<|over|>\n<|who|>assistant<|/who|>[[Yo!<|over|>]]\n"
                  "<|who|>user<|/who|>So?<|over|>\n<|who|>assistant<|/who|>[[No.<|over|>]]"});
  Learner commands(golden("command_macros"), {"<|start|>", "<|bot|>", "<|end|>"});
  const Texts made = commands.learn(kTwoTurns);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(
      made[0].ends_with("Hi<|end|><|start|><|bot|>[[Yo!<|end|>]]<|start|><|reader|>So?"
                        "<|end|><|start|><|bot|>[[No.<|end|>]]"))
      << made[0];
}

TEST(Learnt, AllOfAnAnswerThatNoTokenEnds) {
  Learner chat(golden("parts"), Texts{});
  EXPECT_EQ(chat.learn(kTwoTurns), Texts{"{U|Hi|}\n{A|[[Yo!|}\n]]{U|So?|}\n{A|[[No.|}\n]]"});
  EXPECT_EQ(chat.maker().answers_without_end(), 2u);
}

TEST(Learnt, EachAnswerOfTwoAndNotWhatFollowsTheLast) {
  Learner chat(golden("role_colon"), {"<|end|>"});
  EXPECT_EQ(chat.learn({"user", "Hi", "assistant", "a", "assistant", "b", "user", "unheard"}),
            Texts{"<s>User: Hi<|end|>Assistant: [[a<|end|>]]Assistant: [[b<|end|>]]"});
  EXPECT_EQ(chat.learn({"user", "", "assistant", ""}),
            Texts{"<s>User: <|end|>Assistant: [[<|end|>]]"});
}

TEST(Learnt, NotAnswersOfWeightZero) {
  Learner chat(golden("role_colon"), {"<|end|>"});
  const std::vector<Example> made = chat.make(
      R"({"messages": [{"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "bad", "weight": 0}, {"role": "user", "content": "So?"},
          {"role": "assistant", "content": "good", "weight": 1}]})");
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(shown(chat.tokenizer(), made[0]),
            "<s>User: Hi<|end|>Assistant: bad<|end|>User: So?<|end|>Assistant: [[good<|end|>]]");
}

// Special tokens that a message spells out are special, as they are to the engine; an answer does
// not end at one of its own.
TEST(Learnt, SpecialTokensInMessages) {
  Learner chat(golden("role_colon"), {"<|end|>"});
  const std::vector<Example> made = chat.make(line({"user", "<|end|>", "assistant", "a<|end|>b"}));
  EXPECT_EQ(shown(chat.tokenizer(), made[0]),
            "<s>User: <|end|><|end|>Assistant: [[a<|end|>b<|end|>]]");
  EXPECT_EQ(std::count(made[0].ids.begin(), made[0].ids.end(), 262u), 4);
  EXPECT_EQ(made[0].answer_bytes, 9u);
}

// A vocabulary that begins texts with a blank: answers do not get one, and a token that would reach
// from the prompt into the answer is not made.
TEST(Learnt, WhatTheModelWouldWriteAfterThePrompt) {
  TokenizerData data = chat_vocabulary({"<|end|>"});
  data.add_space_prefix = true;
  data.prefix_after_added = false;
  Learner chat(
      "{% for m in messages %}{{ m.role[0] + m.content + ('<|end|>' if m.role != 'user' else '') }}"
      "{% endfor %}{% if add_generation_prompt %}a{% endif %}",
      data);
  const std::vector<Example> made = chat.make(line({"user", "?", "assistant", "bab"}));
  ASSERT_EQ(made.size(), 1u);
  // "▁u?a" and "bab<|end|>": of the whole text, "ab" would be one token.
  const std::vector<std::uint32_t> bytes_of_blank{3 + 0xE2, 3 + 0x96, 3 + 0x81};
  std::vector<std::uint32_t> expected = bytes_of_blank;
  for (const std::uint32_t id : {3u + 'u', 3u + '?', 259u, 260u, 261u, 262u})
    expected.push_back(id);
  EXPECT_EQ(made[0].ids, expected);
  EXPECT_EQ(made[0].target_count(), 3u);
}

// Where the vocabulary wants a blank behind special tokens too, a further prompt has it, as it has
// in the prompt that the engine reads.
TEST(Learnt, FurtherPromptsAsTheEngineReadsThem) {
  TokenizerData data = chat_vocabulary({"<|end|>"});
  data.add_space_prefix = true;
  Learner chat(
      "{% for m in messages %}{{ m.role[0] + m.content + ('<|end|>' if m.role != 'user' else '') }}"
      "{% endfor %}{% if add_generation_prompt %}a{% endif %}",
      data);
  EXPECT_EQ(chat.learn({"user", "?", "assistant", "bab", "user", "!", "assistant", "x"}),
            Texts{" u?a[[bab<|end|>]] u!a[[x<|end|>]]"});
}

TEST(Learnt, RefusesWhatTheTemplateRefuses) {
  Learner turns(golden("turns"), {"<turn>", "</turn>"});
  EXPECT_EQ(turns.refuse(kWithSystem),
            "chat.jsonl: line 7: message 2: the chat template refuses the conversation up to it: "
            "There is no place for a system message");
  EXPECT_TRUE(has(turns.refuse({"user", "a", "assistant", "b", "assistant", "c"}),
                  "line 7: message 2: the chat template refuses"));
  EXPECT_TRUE(
      has(turns.refuse({"assistant", "a"}), "line 7: message 0: the chat template refuses"));
}

TEST(Learnt, RefusesMessagesThatLeaveNoTrace) {
  Learner bars(golden("bar_roles"), {"<|user|>", "<|assistant|>", "<|fin|>"});
  EXPECT_EQ(bars.refuse({"user", "Hi", "judge", "user", "assistant", "Yo!"}),
            "chat.jsonl: line 7: message 1: the chat template leaves this message of the judge "
            "out, expected roles that it knows");
  Learner last("{{ messages[-1].content }}", Texts{});
  EXPECT_TRUE(has(last.refuse({"user", "Hi", "assistant", "Yo!"}), "cannot be told"));
  Learner deaf(
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}"
      "{% endfor %}",
      Texts{});
  EXPECT_EQ(deaf.refuse({"user", "Hi", "assistant", "Yo!"}),
            "chat.jsonl: line 7: message 1: the chat template leaves this answer out, expected its "
            "words");
  // Known to ChatML, whatever it is.
  Learner chat(golden("plain_chatml"), {"<|a|>", "<|z|>"});
  EXPECT_TRUE(has(chat.learn({"user", "a", "judge", "b", "assistant", "c"})[0], "<|a|>judge\nb"));
}

std::string parsed(std::string_view text, const std::string& field = "messages") {
  return refusal([&] { parse_conversation(text, field, "f: line 2"); });
}

TEST(ParseConversation, TakesMessagesUnderAnyField) {
  const Conversation made = parse_conversation(
      R"({"id": 3, "talk": [{"content": "a\n", "role": "user"}, {"role": "assistant", "content": ""}]})",
      "talk", "f: line 2");
  ASSERT_EQ(made.messages.size(), 2u);
  EXPECT_EQ(made.messages[0].chat.role, "user");
  EXPECT_EQ(made.messages[0].chat.content.as_string(), "a\n");
  EXPECT_FALSE(made.messages[0].learnt);
  EXPECT_TRUE(made.messages[1].learnt);
}

TEST(ParseConversation, RefusesWhatIsNoConversation) {
  const auto messages = [](const std::string& items) {
    return parsed(R"({"messages": [)" + items + "]}");
  };
  const std::string good = R"({"role": "assistant", "content": "a"})";
  EXPECT_EQ(messages(good), "accepted");
  EXPECT_EQ(parsed("[" + good + "]"), "f: line 2: found no object, expected one");
  EXPECT_TRUE(has(parsed(R"({"messages": [)" + good), "f: line 2: not valid JSON"));
  EXPECT_TRUE(has(parsed("{\"messages\": \"\xFF\"}"), "f: line 2: "));
  EXPECT_EQ(parsed(R"({"text": "a"})"),
            "f: line 2: field 'messages' is missing, expected the messages in it");
  EXPECT_EQ(parsed(R"({"messages": "a"})"),
            "f: line 2: field 'messages' is no list, expected one of messages");
  EXPECT_EQ(messages(""),
            "f: line 2: no message of the assistant found to learn, expected one at least");
  EXPECT_EQ(messages(R"({"role": "user", "content": "a"})"),
            "f: line 2: no message of the assistant found to learn, expected one at least");
  EXPECT_EQ(messages(good + ", 7"),
            "f: line 2: message 1: found no object, expected one with role and content");
  EXPECT_EQ(messages(good + R"(, {"from": "user", "value": "a"})"),
            "f: line 2: message 1: field 'role' is missing, expected a text");
  EXPECT_EQ(messages(good + R"(, {"role": "user", "content": null})"),
            "f: line 2: message 1: field 'content' is missing, expected a text");
  EXPECT_EQ(messages(good + R"(, {"role": "user", "content": [{"type": "text", "text": "a"}]})"),
            "f: line 2: message 1: field 'content' is no text");
  EXPECT_EQ(messages(good + R"(, {"role": "", "content": "a"})"),
            "f: line 2: message 1: field 'role' is empty");
  EXPECT_EQ(messages(R"({"role": "assistant", "content": "a", "weight": 0.5})"),
            "f: line 2: message 0: field 'weight' is neither 0 nor 1");
  EXPECT_EQ(messages(R"({"role": "assistant", "content": "", "tool_calls": []})"),
            "f: line 2: message 0: calls of tools found, expected messages of text alone");
  EXPECT_EQ(parsed(R"({"messages": [)" + good + R"(], "tools": [{"type": "function"}]})"),
            "f: line 2: tools found, expected messages of text alone");
  EXPECT_EQ(parsed(R"({"messages": [)" + good + R"(], "tools": []})"), "accepted");
  EXPECT_TRUE(has(messages(R"({"role": "user", "role": "user", "content": "a"})"), "f: line 2"));
}

TEST(ParseConversation, HasLimits) {
  std::string many = R"({"role": "assistant", "content": "a"})";
  for (std::size_t i = 0; i < kMostMessages; ++i) many += R"(,{"role":"user","content":""})";
  EXPECT_EQ(parsed(R"({"messages": [)" + many + "]}"),
            "f: line 2: 4097 messages found, expected at most 4096");
  EXPECT_EQ(parsed(std::string(kLongestLine + 1, ' ')),
            "f: line 2: 67108865 bytes found, expected at most 67108864");
  EXPECT_TRUE(has(parsed(R"({"messages": )" + std::string(100000, '[')), "f: line 2"));
}

// Bytes changed by chance: accepted, or refused by an Error that names the line.
TEST(ParseConversation, BrokenLinesAreRefusedAndNothingElseHappens) {
  const std::string good = line({"system", "あ\\\"", "user", "a\n", "assistant", "\x7F b"});
  std::mt19937 random(20261123);
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    for (unsigned n = random() % 4; n < 4; ++n) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 8));
      }
      if (text.empty()) text = " ";
    }
    const std::string said = parsed(text);
    EXPECT_TRUE(said == "accepted" || said.starts_with("f: line 2: ")) << said;
  }
}

}  // namespace
}  // namespace tern::corpus
