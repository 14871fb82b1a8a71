// Token masks against trying each id alone, and texts of a model that is held to a grammar.
#include "tern/engine/constraint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/engine/generator.h"
#include "tern/grammar/json_schema.h"

namespace tern::engine {
namespace {

using tokenizer::Tokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenType;

std::shared_ptr<const grammar::Grammar> schema(const char* text) {
  return grammar::json_schema_to_grammar(parse_ordered_json(text, "schema"));
}

// SentencePiece-like: control tokens, bytes, and a few pieces, some of which cut characters.
TokenizerData bytes_and(const std::vector<std::string>& pieces) {
  TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.byte_fallback = true;
  data.pieces = {"<unk>", "<s>", "</s>"};
  data.types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl};
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
    data.types.push_back(TokenType::kByte);
  }
  for (const std::string& piece : pieces) {
    data.pieces.push_back(piece);
    data.types.push_back(TokenType::kNormal);
  }
  data.scores.assign(data.pieces.size(), 0);
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.end_ids = {2};
  return data;
}

// What the mask must be, by the matcher alone, id by id.
void expect_brute_force(Constraint& constraint, const grammar::Matcher& matcher,
                        const Tokenizer& tokenizer, const std::string& where) {
  std::vector<float> logits(tokenizer.vocab_size() + 3, 1.0F);
  constraint.mask(logits);
  for (std::uint32_t id = 0; id < logits.size(); ++id) {
    bool expected = false;
    if (id < tokenizer.vocab_size()) {
      const std::string piece = tokenizer.piece(id);
      expected =
          tokenizer.is_end(id) ? matcher.can_end() : !piece.empty() && matcher.accepts(piece);
    }
    ASSERT_EQ(constraint.allowed(id), expected) << where << " id " << id;
    ASSERT_EQ(std::isinf(logits[id]), !expected) << where << " id " << id;
  }
}

TEST(Constraint, MaskIsWhatEachIdAloneWouldSay) {
  const char* const kGrammars[] = {
      R"(root ::= "日本語" | [ぁ-ん]+ ("。" | "!")? | "the " [a-z]+ (" " [a-z]+){0,3})",
      "root ::= [^a-z]{0,12} \"\\n\"?",
  };
  const std::string kTexts[] = {"日本語", "あのね。", "the cat sat on", "É😀 12",
                                "{\"a\": \"日本\", \"b\": [1, -2]}"};
  for (const char* model : {"en.gguf", "ja.gguf"}) {
    const auto path = std::string(TERN_MODELS_DIR "/") + model;
    const Tokenizer tokenizer =
        checkpoint::make_tokenizer(checkpoint::open_tokenizer(path, {}), path);
    const TokenTrie trie(tokenizer);
    std::vector<std::shared_ptr<const grammar::Grammar>> grammars;
    for (const char* text : kGrammars) grammars.push_back(grammar::make_grammar(text));
    grammars.push_back(schema(R"({"type":"object","properties":{"a":{"maxLength":5},"b":{"items":
        {"type":"integer"}}},"required":["a"]})"));
    std::size_t steps = 0;
    for (const auto& one : grammars) {
      for (const std::string& text : kTexts) {
        Constraint constraint(trie, one);
        grammar::Matcher matcher(one);
        // Byte by byte, so that it stands inside of characters too; a byte may have several ids.
        for (std::size_t i = 0; i <= text.size(); ++i) {
          expect_brute_force(constraint, matcher, tokenizer, model + (": " + text.substr(0, i)));
          if (i == text.size() || !matcher.accepts(text.substr(i, 1))) break;
          std::optional<std::uint32_t> id;
          for (std::uint32_t k = 0; k < tokenizer.vocab_size() && !id; ++k) {
            if (!tokenizer.is_end(k) && tokenizer.piece(k) == text.substr(i, 1)) id = k;
          }
          if (!id) break;
          constraint.accept(*id);
          ASSERT_TRUE(matcher.accept(text.substr(i, 1)));
          ++steps;
        }
      }
    }
    EXPECT_GT(steps, 40u) << model;
  }
}

TEST(Constraint, PiecesThatCutCharacters) {
  const Tokenizer tokenizer(bytes_and({"a", "\xE3\x81", "\x82\xE3", "\x84", "b\xF0\x9F", "あ"}));
  const TokenTrie trie(tokenizer);
  const auto grammar = grammar::make_grammar("root ::= \"a\"? [あい]{2} (\"b😀\")?");
  Constraint constraint(trie, grammar);
  grammar::Matcher matcher(grammar);
  for (const std::uint32_t id : {259u, 260u, 261u, 260u, 262u}) {  // a, E3 81, 82 E3, E3.. no
    expect_brute_force(constraint, matcher, tokenizer, std::to_string(id));
    if (!constraint.allowed(id)) break;
    constraint.accept(id);
    ASSERT_TRUE(matcher.accept(tokenizer.piece(id)));
  }
  EXPECT_FALSE(matcher.can_end());
  const std::uint32_t byte_81 = 3 + 0x81;
  ASSERT_TRUE(constraint.allowed(byte_81));
  constraint.accept(byte_81);
  constraint.accept(262);  // 84: い is whole.
  EXPECT_TRUE(constraint.allowed(2));
  EXPECT_TRUE(constraint.allowed(263));
  EXPECT_FALSE(constraint.finished());
  constraint.accept(263);
  EXPECT_FALSE(constraint.allowed(2));
  constraint.accept(3 + 0x98);
  constraint.accept(3 + 0x80);
  EXPECT_TRUE(constraint.finished());  // Nothing can follow.
}

TEST(Constraint, EndAndSpecialIds) {
  const Tokenizer tokenizer(bytes_and({"x", "</s>x"}));
  const TokenTrie trie(tokenizer);
  Constraint constraint(trie, grammar::make_grammar("root ::= .*"));
  EXPECT_FALSE(constraint.allowed(0));
  EXPECT_FALSE(constraint.allowed(1));
  EXPECT_TRUE(constraint.allowed(2));
  EXPECT_TRUE(constraint.allowed(260));  // Text that looks like a token is text.
  EXPECT_FALSE(constraint.allowed(261));
  EXPECT_FALSE(constraint.allowed(UINT32_MAX));
  EXPECT_THROW(constraint.accept(1), Error);
  EXPECT_FALSE(constraint.finished());
  constraint.accept(2);
  EXPECT_TRUE(constraint.finished());
  EXPECT_FALSE(constraint.allowed(259));
  EXPECT_THROW(constraint.accept(2), Error);
  // The empty text alone.
  EXPECT_TRUE(Constraint(trie, grammar::make_grammar("root ::= \"\"")).finished());
}

TEST(Constraint, AVocabularyThatCannotSpellTheGrammarIsAnError) {
  TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.pieces = {"<unk>", "a", "b"};
  data.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kNormal};
  data.scores.assign(3, 0);
  data.unk = 0;
  const Tokenizer tokenizer(data);
  const TokenTrie trie(tokenizer);
  Constraint constraint(trie, grammar::make_grammar("root ::= \"a\" [b-z] \"é\""));
  constraint.accept(1);
  constraint.accept(2);
  try {
    constraint.allowed(1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("no token of this vocabulary"), std::string::npos);
  }
  // Where the text may end it is over, end ids or none.
  Constraint optional(trie, grammar::make_grammar("root ::= \"a\" \"é\"?"));
  optional.accept(1);
  EXPECT_TRUE(optional.finished());
}

TEST(Constraint, TheBlankThatIsNotShownDoesNotCount) {
  const Tokenizer tokenizer(bytes_and({"\xE2\x96\x81",
                                       "\xE2\x96\x81"
                                       "a",
                                       "a", "\xE2\x96\x81\xE2\x96\x81"}));
  const TokenTrie trie(tokenizer);
  const auto grammar = grammar::make_grammar("root ::= \"a\" \" a\"?");
  Constraint shown(trie, grammar), hidden(trie, grammar, true);
  EXPECT_FALSE(shown.allowed(260));
  EXPECT_TRUE(shown.allowed(261));
  EXPECT_FALSE(hidden.allowed(259));
  EXPECT_TRUE(hidden.allowed(260));
  EXPECT_TRUE(hidden.allowed(261));
  EXPECT_FALSE(hidden.allowed(262));
  hidden.accept(260);
  EXPECT_TRUE(hidden.allowed(259));
  EXPECT_TRUE(hidden.allowed(260));
  EXPECT_FALSE(hidden.allowed(261));
}

// Many states and masks: what is kept is bounded, and what is dropped changes nothing.
TEST(Constraint, LongTexts) {
  const Tokenizer tokenizer(bytes_and({"aa", "aaa"}));
  const TokenTrie trie(tokenizer);
  Constraint constraint(trie, grammar::make_grammar("root ::= \"a\"{5000,9000} \"b\""));
  for (int i = 0; i < 2999; ++i) {
    ASSERT_TRUE(constraint.allowed(260)) << i;
    ASSERT_EQ(constraint.allowed(3 + 'b'), 3 * i >= 5000) << i;
    constraint.accept(260);
  }
  EXPECT_TRUE(constraint.allowed(260));
  constraint.accept(259);
  EXPECT_FALSE(constraint.allowed(259));
  EXPECT_TRUE(constraint.allowed(3 + 'a'));
}

class ConstrainedText : public testing::Test {
 protected:
  ConstrainedText()
      : pool_(2),
        path_(TERN_MODELS_DIR "/en.gguf"),
        model_(checkpoint::open_checkpoint(path_, {}, false), kernels::choose_table(""), 512,
               pool_),
        cache_(model_.config(), 512, kernels::KvType::kF16, kernels::KvType::kF16),
        tokenizer_(checkpoint::make_tokenizer(checkpoint::open_tokenizer(path_, {}), path_)),
        trie_(tokenizer_) {}

  GenerateResult generate(std::shared_ptr<const grammar::Grammar> grammar, GenerateRequest request,
                          const char* prompt) {
    model::Session session(cache_);
    model::Forward forward(model_, pool_, 64);
    const auto ids = tokenizer_.encode_with_bos(prompt);
    request.prompt = ids;
    Constraint constraint(trie_, std::move(grammar));
    request.constraint = &constraint;
    return Generator(tokenizer_, forward, session, pool_).generate(request);
  }

  ThreadPool pool_;
  std::string path_;
  model::Model model_;
  model::KvPool cache_;
  Tokenizer tokenizer_;
  TokenTrie trie_;
};

TEST_F(ConstrainedText, EverySeedStaysInTheGrammarAndEnds) {
  const auto grammar = schema(R"({"type":"object","properties":{
      "name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},
      "tags":{"type":"array","items":{"enum":["red","green"]},"maxItems":3},
      "ok":{"type":"boolean"}},"required":["name","age","tags"],"additionalProperties":false})");
  GenerateRequest request;
  request.limits.max_tokens = 400;
  for (request.sampler.seed = 0; request.sampler.seed < 12; ++request.sampler.seed) {
    const bool hot = request.sampler.seed % 3 == 2, greedy = request.sampler.seed % 3 == 0;
    request.sampler.temperature = greedy ? 0 : hot ? 5 : 0.8;
    request.sampler.top_k = hot ? 0 : 40;
    request.limits.ignore_end = hot;
    const GenerateResult result = generate(grammar, request, "Once upon a time");
    EXPECT_EQ(result.reason, StopReason::kEndToken) << result.text;
    grammar::Matcher matcher(grammar);
    EXPECT_TRUE(matcher.accept(result.text) && matcher.can_end()) << result.text;
    const Json json = parse_json(result.text, "text");
    EXPECT_LE(json.at("age").get<int>(), 150);
    EXPECT_TRUE(json.at("name").is_string() && json.at("tags").is_array());
  }
}

TEST_F(ConstrainedText, LengthAndStopStringsStillEndIt) {
  GenerateRequest request;
  request.limits.max_tokens = 5;
  const auto letters = grammar::make_grammar("root ::= [a-z ]{200}");
  const GenerateResult cut = generate(letters, request, "the");
  EXPECT_EQ(cut.reason, StopReason::kLength);
  EXPECT_EQ(cut.tokens.size(), 5u);
  request.limits.max_tokens = 300;
  const GenerateResult whole = generate(letters, request, "the");
  EXPECT_EQ(whole.reason, StopReason::kEndToken);
  EXPECT_EQ(whole.text.size(), 200u);
  request.limits.stop = {whole.text.substr(20, 3)};
  EXPECT_EQ(generate(letters, request, "the").reason, StopReason::kStopString);
  EXPECT_EQ(generate(grammar::make_grammar("root ::= \"\""), request, "the").text, "");
}

}  // namespace
}  // namespace tern::engine
