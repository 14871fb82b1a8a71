// A conversation on a tiny model: what is reused changes nothing, and what does not fit is
// forgotten.
#include "tern/cli/conversation.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"
#include "tern/engine/engine_test_util.h"
#include "tern/kernels/dispatch.h"

namespace tern::cli {
namespace {

// Letters have meanings: S, U and A begin messages of system, user and assistant, Z ends one.
constexpr const char* kTemplate =
    "{% for m in messages %}{{ {'system': 'S', 'user': 'U', 'assistant': 'A'}[m.role] }}"
    "{{ m.content }}Z{% endfor %}{% if add_generation_prompt %}A{% endif %}";

class ConversationTest : public testing::Test {
 protected:
  static constexpr std::size_t kContext = 96;

  ConversationTest()
      : pool_(2),
        model_(checkpoint::open_checkpoint(TERN_GOLDEN_DIR "/bitnet2b4t_packed", {}, false),
               kernels::choose_table(""), kContext, pool_),
        cache_(model_.config(), kContext, kernels::KvType::kF16, kernels::KvType::kF16),
        tokenizer_(engine::letters(model_.config().vocab)),
        forward_(model_, pool_, 16) {}

  static AnswerSettings greedy(std::size_t tokens) {
    AnswerSettings settings;
    settings.limits.max_tokens = tokens;
    settings.limits.ignore_end = true;
    settings.sampler.temperature = 0;
    return settings;
  }
  Conversation make(model::Session& session, AnswerSettings settings,
                    const char* source = kTemplate) {
    std::optional<tokenizer::ChatTemplate> chat;
    if (*source != '\0') chat.emplace(source, tokenizer_.data());
    return Conversation(tokenizer_, forward_, session, pool_, std::move(chat), std::move(settings));
  }
  // The same prompt in a session that knows nothing.
  std::string fresh(std::string_view prompt, const AnswerSettings& settings) {
    model::Session session(cache_);
    engine::Generator generator(tokenizer_, forward_, session, pool_);
    const std::vector<std::uint32_t> ids = tokenizer_.encode(prompt);
    engine::GenerateRequest request;
    request.prompt = ids;
    request.limits = settings.limits;
    request.sampler = settings.sampler;
    return generator.generate(request).text;
  }
  static std::string ask(Conversation& conversation, std::string_view text) {
    return conversation.ask(text, {}).text;
  }

  ThreadPool pool_;
  model::Model model_;
  model::KvPool cache_;
  tokenizer::Tokenizer tokenizer_;
  model::Forward forward_;
};

TEST_F(ConversationTest, WhatIsReusedChangesNothing) {
  AnswerSettings drawn = greedy(6);
  drawn.sampler.temperature = 1.5;
  drawn.sampler.seed = 11;
  AnswerSettings penalised = greedy(6);  // Looks back on what is not run again.
  penalised.sampler.presence_penalty = 100;
  for (const AnswerSettings& settings : {greedy(6), drawn, penalised}) {
    AnswerSettings second = settings;
    second.sampler.seed += 1;
    std::string a, b;
    {
      model::Session session(cache_);
      Conversation conversation = make(session, settings);
      conversation.set_system("BE");
      a = ask(conversation, "HELLO");
      const engine::GenerateResult result = conversation.ask("MORE", {});
      b = result.text;
      // Not run again: at least all up to the last token of the first answer.
      EXPECT_LT(result.prompt_tokens, 10u);
      EXPECT_EQ(conversation.messages(),
                (std::vector<Message>{
                    {"user", "HELLO"}, {"assistant", a}, {"user", "MORE"}, {"assistant", b}}));
    }
    EXPECT_EQ(a, fresh("SBEZUHELLOZA", settings));
    EXPECT_EQ(b, fresh("SBEZUHELLOZA" + a + "ZUMOREZA", second));
  }
}

TEST_F(ConversationTest, UndoResetAndAnotherAnswer) {
  AnswerSettings settings = greedy(5);
  settings.sampler.temperature = 2;
  model::Session session(cache_);
  Conversation conversation = make(session, settings);
  EXPECT_FALSE(conversation.undo());
  EXPECT_THROW(conversation.ask_again({}), Error);
  const std::string first = ask(conversation, "HELLO");
  const std::string other = conversation.ask_again({}).text;
  EXPECT_NE(other, first);  // Another seed.
  EXPECT_EQ(conversation.messages(),
            (std::vector<Message>{{"user", "HELLO"}, {"assistant", other}}));
  ask(conversation, "MORE");
  EXPECT_TRUE(conversation.undo());
  EXPECT_EQ(conversation.messages().size(), 2u);

  conversation.reset();
  EXPECT_TRUE(conversation.messages().empty());
  model::Session unused(cache_);
  Conversation anew = make(unused, settings);
  ask(anew, "X");  // So that both are at the same seed.
  ask(anew, "X");
  ask(anew, "X");
  anew.reset();
  EXPECT_EQ(ask(conversation, "HELLO"), ask(anew, "HELLO"));
}

TEST_F(ConversationTest, AFullContextForgetsTheOldestAndKeepsTheSystemPrompt) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(8));
  conversation.set_system("BE");
  std::vector<std::string> said;
  AnswerHooks hooks;
  hooks.notice = [&](std::string_view sentence) { said.emplace_back(sentence); };
  for (int i = 0; i < 20; ++i) {
    const std::size_t before = said.size();
    const std::string answer = conversation.ask("MESSAGE", hooks).text;
    EXPECT_EQ(conversation.messages().size(), static_cast<std::size_t>(2 * i + 2));
    if (said.size() == before) continue;
    // As if it had begun at a later message of the user.
    std::string prompt = "SBEZ";
    const std::vector<Message>& all = conversation.messages();
    const std::string number = said.back().substr(said.back().find("first ") + 6);
    for (std::size_t m = static_cast<std::size_t>(std::stoi(number)); m + 1 < all.size(); ++m) {
      prompt += (all[m].role == "user" ? "U" : "A") + all[m].text + "Z";
    }
    EXPECT_LE(tokenizer_.encode(prompt).size(), kContext / 2);
    EXPECT_EQ(answer.size(), 8u);
  }
  EXPECT_GE(said.size(), 3u);
  EXPECT_LE(said.size(), 10u);  // Not with every message.
  EXPECT_EQ(conversation.saved_messages().size(), 41u);
}

TEST_F(ConversationTest, WhatIsForgottenIsAsIfItHadNeverBeen) {
  std::string text, prompt;
  {
    model::Session session(cache_);
    Conversation conversation = make(session, greedy(8));
    bool forgot = false;
    AnswerHooks hooks;
    hooks.notice = [&](std::string_view) { forgot = true; };
    while (!forgot) text = conversation.ask("MESSAGE", hooks).text;
    const std::vector<Message>& all = conversation.messages();
    // Messages take 9 tokens, answers 10: half of 96 holds two pairs and the new message.
    for (std::size_t m = all.size() - 6; m + 1 < all.size(); ++m) {
      prompt += (all[m].role == "user" ? "U" : "A") + all[m].text + "Z";
    }
  }
  EXPECT_EQ(text, fresh(prompt + "A", greedy(8)));
}

TEST_F(ConversationTest, AMessageBeyondTheContextIsRefusedAndTheChatGoesOn) {
  model::Session session(cache_);
  AnswerSettings settings = greedy(8);
  settings.sampler.presence_penalty = 100;  // The answer shows which messages the model sees.
  Conversation conversation = make(session, settings);
  const std::string a = ask(conversation, "HELLO");
  EXPECT_THROW(ask(conversation, std::string(kContext, 'X')), Error);
  EXPECT_EQ(conversation.messages().size(), 2u);
  const std::string b = ask(conversation, "MORE");
  session.truncate(0);
  EXPECT_EQ(b, fresh("UHELLOZA" + a + "ZUMOREZA", settings));
}

TEST_F(ConversationTest, AnAnswerThatFillsTheContextEndsAndTheNextOneFits) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(SIZE_MAX));
  EXPECT_EQ(conversation.ask("HELLO", {}).reason, engine::StopReason::kContextFull);
  EXPECT_EQ(conversation.ask("MORE", {}).reason, engine::StopReason::kContextFull);
  EXPECT_EQ(conversation.messages().size(), 4u);
}

TEST_F(ConversationTest, AnInterruptKeepsWhatWasWritten) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(20));
  int asked = 0;
  AnswerHooks hooks;
  hooks.keep_going = [&] { return ++asked < 8; };
  const engine::GenerateResult half = conversation.ask("HELLO", hooks);
  EXPECT_EQ(half.reason, engine::StopReason::kInterrupted);
  EXPECT_EQ(conversation.messages().back(), (Message{"assistant", half.text}));
  EXPECT_FALSE(half.text.empty());
  const std::string next = ask(conversation, "MORE");
  AnswerHooks never;
  never.keep_going = [] { return false; };
  EXPECT_TRUE(conversation.ask("GONE", never).tokens.empty());
  const Message last = conversation.messages().back();
  EXPECT_TRUE(conversation.ask_again(never).tokens.empty());
  EXPECT_EQ(conversation.messages().size(), 4u);
  EXPECT_EQ(conversation.messages().back(), last);
  session.truncate(0);
  EXPECT_EQ(next, fresh("UHELLOZA" + half.text + "ZUMOREZA", greedy(20)));
}

TEST_F(ConversationTest, WithoutATemplateItIsOneText) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(4), "");
  EXPECT_THROW(conversation.set_system("BE"), Error);
  const std::string a = ask(conversation, "HELLO");
  EXPECT_EQ(conversation.ask("", {}).prompt_tokens, 1u);  // Goes on: only the last token is run.
  const std::string all = "HELLO" + a + conversation.messages().back().text;
  session.truncate(0);
  EXPECT_EQ(all.substr(5), fresh("HELLO", greedy(8)));
}

TEST_F(ConversationTest, ATextThatOutgrowsTheContextLosesItsBeginning) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(30), "");
  std::vector<std::string> said;
  AnswerHooks hooks;
  hooks.notice = [&](std::string_view sentence) { said.emplace_back(sentence); };
  std::string text;
  for (int i = 0; i < 6; ++i) {
    conversation.ask(i == 0 ? "HELLO" : "", hooks);
    text += conversation.messages().back().text;
  }
  EXPECT_GT(text.size(), kContext);
  EXPECT_GE(said.size(), 2u);
}

TEST_F(ConversationTest, SavesAndLoads) {
  model::Session session(cache_);
  Conversation conversation = make(session, greedy(4));
  conversation.set_system("BE");
  const std::string a = ask(conversation, "HELLO");
  const std::string saved = conversation.saved_messages().dump();
  model::Session other_session(cache_);
  Conversation other = make(other_session, greedy(4));
  other.load_messages(parse_json(saved, "saved"));
  EXPECT_EQ(other.saved_messages().dump(), saved);
  EXPECT_EQ(other.system(), "BE");
  EXPECT_EQ(ask(other, "MORE"), ask(conversation, "MORE"));
  const std::string before = other.saved_messages().dump();
  for (const char* bad : {"{}", "[1]", R"([{"role":"user"}])", R"([{"role":"tool","content":"X"}])",
                          R"([{"role":"user","content":["X"]}])",
                          R"([{"role":"user","content":"X"},{"role":"system","content":"X"}])"}) {
    EXPECT_THROW(other.load_messages(parse_json(bad, "bad")), Error) << bad;
    EXPECT_EQ(other.saved_messages().dump(), before);
  }
}

TEST_F(ConversationTest, EachAnswerFollowsTheGrammar) {
  AnswerSettings settings = greedy(20);
  settings.grammar = grammar::make_grammar(R"(root ::= "YES" | "NO")");
  model::Session session(cache_);
  Conversation conversation = make(session, settings);
  for (int i = 0; i < 3; ++i) {
    const std::string answer = ask(conversation, "HELLO");
    EXPECT_TRUE(answer == "YES" || answer == "NO") << answer;
  }
}

}  // namespace
}  // namespace tern::cli
