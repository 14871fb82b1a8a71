// Conversations as bytes and as ids; made once, made again, refused when they do not hold together.
#include "tern/corpus/conversation_shards.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tern/corpus/corpus_test_util.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using test::chat_vocabulary;
using test::has;
using test::refusal;
using test::slurp;
using tokenizer::Tokenizer;
using Texts = std::vector<std::string>;

// <s>Q[[A<|end|>]], as often as there are questions and answers.
const std::string kTemplate =
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{% if m.role != 'user' %}<|end|>"
    "{% endif %}{% endfor %}";

std::string line(const std::string& question, const std::string& answer) {
  return dump_json({{"messages",
                     {{{"role", "user"}, {"content", question}},
                      {{"role", "assistant"}, {"content", answer}}}}}) +
         "\n";
}

class Chats : public test::TemporaryFolder {
 protected:
  Chats() : tokenizer_(chat_vocabulary({"<|end|>"})) {}
  fs::path out() const { return folder_ / "shards"; }
  ShardOptions one_file(const std::string& text) const {
    ShardOptions options;
    options.train = {
        .paths = {write("chat.jsonl", text)}, .separators = {}, .json_field = "messages"};
    return options;
  }
  void make(const ShardOptions& options, const std::string& source = kTemplate) {
    notices_.clear();
    make_conversation_shards(out(), options, tokenizer_, source, "model", {},
                             [&](std::string_view said) { notices_.emplace_back(said); });
  }
  ConversationShards open(Split split = Split::kTrain) const {
    return ConversationShards(out(), split);
  }
  // Each example as in conversations_test.cpp.
  Texts examples(Split split = Split::kTrain) const {
    const ConversationShards shards = open(split);
    Texts texts;
    for (std::uint64_t e = 0; e < shards.examples(); ++e) {
      std::vector<std::int64_t> ids(static_cast<std::size_t>(shards.end(e) - shards.begin(e)));
      shards.read(shards.begin(e), ids);
      Example example;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        example.ids.push_back(static_cast<std::uint32_t>(ids[i]));
        example.targets.push_back(shards.is_target(shards.begin(e) + i));
      }
      texts.push_back(test::shown(tokenizer_, example));
    }
    return texts;
  }
  std::string refused(const ShardOptions& options, const std::string& source = kTemplate) {
    return refusal([&] { make(options, source); });
  }
  Json index() const { return parse_json(slurp(out() / "index.json"), "index.json"); }

  Tokenizer tokenizer_;
  Texts notices_;
};

TEST_F(Chats, HoldIdsTargetsAndBeginnings) {
  ShardOptions options = one_file(line("a", "b") + "\n" + line("ab", "aab"));
  options.ids_per_file = 5;
  make(options);
  EXPECT_EQ(examples(), (Texts{"<s>a[[b<|end|>]]", "<s>ab[[aab<|end|>]]"}));
  // 1 259 260 262 1 | 261 259 261 262; targets at 2, 3, 6, 7 and 8.
  EXPECT_EQ(slurp(out() / "train-00000.bin"), std::string("\1\0\3\1\4\1\6\1\1\0", 10));
  EXPECT_EQ(slurp(out() / "train-00001.bin"), std::string("\5\1\3\1\5\1\6\1", 8));
  EXPECT_EQ(slurp(out() / "train-targets.bin"), std::string("\xCC\x01", 2));
  EXPECT_EQ(slurp(out() / "train-examples.bin"),
            std::string(8, '\0') + "\4" + std::string(7, '\0'));
  EXPECT_EQ(index()["splits"]["train"],
            parse_json(R"({"tokens": 9, "documents": 2, "text_bytes": 4, "examples": 2,
                           "targets": 5, "files": [5, 4]})",
                       ""));
  const ConversationShards shards = open();
  EXPECT_EQ(shards.conversations(), 2u);
  EXPECT_EQ(shards.tokens(), 9u);
  EXPECT_EQ(shards.targets(), 5u);
  EXPECT_EQ(shards.target_bytes(), 4u);
  EXPECT_EQ(examples(Split::kHeldOut), Texts{});
  EXPECT_TRUE(notices_.empty());
}

TEST_F(Chats, HoldOutWholeConversations) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += line(std::to_string(i), "a");
  ShardOptions options = one_file(text);
  options.holdout = 0.2;
  make(options);
  // The same numbers as in token_shards_test.cpp, which a Python program chose.
  EXPECT_EQ(examples(Split::kHeldOut),
            (Texts{"<s>2[[a<|end|>]]", "<s>4[[a<|end|>]]", "<s>6[[a<|end|>]]", "<s>32[[a<|end|>]]",
                   "<s>33[[a<|end|>]]"}));
  EXPECT_EQ(examples().size(), 35u);
  options.held_out = {.paths = {folder_ / "more"}, .separators = {}, .json_field = "messages"};
  write("more/b.jsonl", line("b", "b"));
  write("more/a.jsonl", line("a", "a"));
  write("more/README.md", "no conversation");
  make(options);
  EXPECT_EQ(examples(Split::kHeldOut), (Texts{"<s>a[[a<|end|>]]", "<s>b[[b<|end|>]]"}));
  EXPECT_EQ(examples().size(), 40u);
}

TEST_F(Chats, AreMadeAgainWhenTheTemplateChanges) {
  const ShardOptions options = one_file(line("a", "b"));
  make(options);
  const std::uint64_t before = open().content_hash();
  // Long ago, so that a file that is written anew has another time, however coarse times are.
  const auto time = fs::last_write_time(out() / "index.json") - std::chrono::hours(1);
  fs::last_write_time(out() / "index.json", time);
  make(options);
  EXPECT_EQ(fs::last_write_time(out() / "index.json"), time);
  make(options, "{# #}" + kTemplate);  // Another source of the same texts.
  EXPECT_NE(fs::last_write_time(out() / "index.json"), time);
  EXPECT_EQ(open().content_hash(), before);
  make(options, "U" + kTemplate);
  EXPECT_EQ(examples(), Texts{"U<s>a[[b<|end|>]]"});
  EXPECT_NE(open().content_hash(), before);
  EXPECT_EQ(entries(), 2u);
}

TEST_F(Chats, TakeThePlaceOfTextAndTheOtherWayRound) {
  ShardOptions text;
  text.train = {.paths = {write("a.txt", "ab")}, .separators = {}};
  make_token_shards(out(), text, tokenizer_, {});
  EXPECT_TRUE(has(refusal([&] { open(); }), "this is no index of conversation shards"));
  make(one_file(line("a", "b")));
  EXPECT_EQ(examples().size(), 1u);
  EXPECT_TRUE(
      has(refusal([&] { TokenShards(out(), Split::kTrain); }), "this is no index of token shards"));
  make_token_shards(out(), text, tokenizer_, {});
  EXPECT_EQ(TokenShards(out(), Split::kTrain).tokens(), 3u);
  EXPECT_FALSE(fs::exists(out() / "train-targets.bin"));
}

// What a template makes of answers decides the targets, so that targets differ where ids do not.
TEST_F(Chats, HashTargetsToo) {
  const auto hash = [&](const std::string& question, const std::string& answer) {
    make(one_file(line(question, answer)));
    return open().content_hash();
  };
  EXPECT_NE(hash("ab", "a"), hash("a", "ba"));
  const std::uint64_t one = hash("!?", "!");
  const std::string first = slurp(out() / "train-00000.bin");
  EXPECT_NE(one, hash("!", "?!"));
  EXPECT_EQ(first, slurp(out() / "train-00000.bin"));
}

TEST_F(Chats, RefuseABrokenLineAndWriteNothing) {
  const std::string file = (folder_ / "chat.jsonl").string();
  EXPECT_TRUE(has(refused(one_file(line("a", "b") + "\n\n{\"messages\": 3}\n" + line("a", "b"))),
                  file + ": line 4: field 'messages' is no list"));
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(refused(one_file("\n \n")),
            "the training data has no conversation, expected one at least");
  ShardOptions options = one_file(line("a", "b"));
  options.holdout = 0.5;
  EXPECT_EQ(refused(options),
            "the training data is a single conversation, of which the share 0.5 cannot be held "
            "out; expected two, or held-out files");
  EXPECT_TRUE(has(refused(one_file(line("a", "b")), ""), "model: "));
  EXPECT_TRUE(has(refused(one_file(line("a", "b")), "{% for %}"), "model"));
  options.train.paths = {write("chat.txt", line("a", "b"))};
  EXPECT_EQ(refused(options),
            (folder_ / "chat.txt").string() + ": another kind of file found, expected .jsonl");
  options.train.paths = {write("texts/a.txt", "a").parent_path()};
  EXPECT_TRUE(has(refused(options), "no text file found in this directory, expected .jsonl"));
}

TEST_F(Chats, TellWhatTheTemplateDoesOnce) {
  make(one_file(line("a", "b") + line("b", "a")),
       "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_EQ(notices_, Texts{"model: the template ends 2 answers without an end token of the "
                            "vocabulary, so that the model does not learn to stop after them"});
  const std::string two = dump_json({{"messages",
                                      {{{"role", "user"}, {"content", "a"}},
                                       {{"role", "assistant"}, {"content", "b"}},
                                       {{"role", "user"}, {"content", "a"}},
                                       {{"role", "assistant"}, {"content", "b"}}}}});
  make(one_file(two),
       "{% for m in messages %}{{ m.content }}{% if m.role != 'user' and loop.last %}"
       "<|end|>{% endif %}{% endfor %}");
  EXPECT_EQ(examples(), (Texts{"a[[b<|end|>]]", "aba[[b<|end|>]]"}));
  EXPECT_EQ(notices_, Texts{"model: the template writes earlier answers in another way than the "
                            "last, so that 1 conversations make an example for each answer"});
}

class BrokenChats : public Chats {
 protected:
  BrokenChats() { make(one_file(line("a", "b") + line("ab", "aab"))); }
  std::string with(const std::string& name, const std::string& bytes) const {
    const std::string whole = slurp(out() / name);
    write("shards/" + name, bytes);
    const std::string sentence = refusal([&] { open(); });
    write("shards/" + name, whole);
    return sentence;
  }
  std::string with_field(const std::string& field, const Json& value) const {
    Json json = index();
    json["splits"]["train"][field] = value;
    return with("index.json", dump_json(json));
  }
};

TEST_F(BrokenChats, AreRefused) {
  EXPECT_EQ(refusal([&] { open(); }), "accepted");
  const std::string bits = "train-targets.bin", starts = "train-examples.bin";
  EXPECT_TRUE(has(with(bits, "\xCC"),
                  "1 bytes found, expected the 2 that index.json tells of; "
                  "remove the folder, and it is made again"));
  EXPECT_TRUE(has(with(bits, std::string("\xCC\0", 2)), "4 targets found, expected 5"));
  EXPECT_TRUE(has(with(bits, std::string("\xCD\0", 2)),
                  "example 0 begins with a target or does not end with one"));
  EXPECT_TRUE(has(with(bits, std::string("\xEC\0", 2)), "example 1 begins with a target or does "));
  const auto at = [](char first, char second) {
    return first + std::string(7, '\0') + second + std::string(7, '\0');
  };
  EXPECT_EQ(with(starts, at(0, 4)), "accepted");
  EXPECT_TRUE(has(with(starts, at(1, 4)), "example 0 found at ids 1 to 4"));
  EXPECT_TRUE(has(with(starts, at(0, 1)), "example 0 found at ids 0 to 1"));
  EXPECT_TRUE(has(with(starts, at(0, 8)), "example 1 found at ids 8 to 9"));
  EXPECT_TRUE(has(with(starts, at(0, 9)), "found at ids"));
  EXPECT_TRUE(has(with(starts, at(0, 100)), "example 0 found at ids 0 to 100"));
  EXPECT_TRUE(has(with(starts, at(4, 0)), "example 0 found at ids 4 to 0"));
  EXPECT_TRUE(has(with_field("examples", 5), "5 examples found in 9 tokens"));
  EXPECT_TRUE(has(with_field("examples", 1), "16 bytes found, expected the 8"));
  EXPECT_TRUE(has(with_field("examples", Json()), "field 'examples' is missing"));
  EXPECT_TRUE(has(with_field("targets", 4), "5 targets found, expected 4"));
  EXPECT_TRUE(has(with_field("targets", -1), "field 'targets' is -1"));
  fs::remove(out() / starts);
  EXPECT_TRUE(has(refusal([&] { open(); }), starts + ": cannot open"));
}

}  // namespace
}  // namespace tern::corpus
