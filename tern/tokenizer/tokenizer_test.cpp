// Tokenizers against an independent program's ids (tests/reference/tokenizer_reference.py), and by
// failure.
#include "tern/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/utf8.h"
#include "tern/tokenizer/byte_alphabet.h"
#include "tern/tokenizer/pre_tokenizer.h"
#include "tern/tokenizer/unicode.h"

namespace tern::tokenizer {
namespace {

using Ids = std::vector<std::uint32_t>;
using Strings = std::vector<std::string>;

const Json& golden() {
  static const Json json = [] {
    std::ifstream file(TERN_TOKENIZER_TESTDATA "/golden.json", std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    return parse_json(text, "golden.json");
  }();
  return json;
}

constexpr std::pair<const char*, PreTokenizer> kPres[] = {{"gpt-2", PreTokenizer::kGpt2},
                                                          {"llama-bpe", PreTokenizer::kLlama3},
                                                          {"qwen2", PreTokenizer::kQwen2},
                                                          {"falcon", PreTokenizer::kFalcon},
                                                          {"default", PreTokenizer::kDefault}};

TokenizerData byte_bpe(PreTokenizer pre) {
  TokenizerData data;
  data.pre = pre;
  data.pieces = golden()["byte_bpe"]["pieces"].get<Strings>();
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  for (const Json& merge : golden()["byte_bpe"]["merges"]) {
    data.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  return data;
}

TokenizerData spm() {
  TokenizerData data;
  data.kind = TokenizerKind::kSpmBpe;
  data.pieces = golden()["spm"]["pieces"].get<Strings>();
  data.scores = golden()["spm"]["scores"].get<std::vector<float>>();
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  data.types[0] = TokenType::kUnknown;
  data.types[1] = data.types[2] = TokenType::kControl;
  for (std::size_t i = 3; i < 259; ++i) data.types[i] = TokenType::kByte;
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.end_ids = {2};
  data.byte_fallback = data.add_space_prefix = true;
  data.added = {{.id = 1, .content = "<s>", .special = true},
                {.id = 2, .content = "</s>", .special = true}};
  return data;
}

// Adds a piece and makes it an added token; returns its id.
std::uint32_t add(TokenizerData& data, AddedToken token) {
  token.id = static_cast<std::uint32_t>(data.pieces.size());
  data.pieces.push_back(token.content);
  data.types.push_back(token.special ? TokenType::kControl : TokenType::kUserDefined);
  if (!data.scores.empty()) data.scores.push_back(0);
  data.added.push_back(token);
  return token.id;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids out;
  for (const Ids& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

std::string message(TokenizerData data) {
  try {
    const Tokenizer tokenizer(std::move(data));
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(PreTokenizer, CutsAsThePublishedPatternsDo) {
  for (const auto& [name, pre] : kPres) {
    for (std::size_t i = 0; i < golden()["texts"].size(); ++i) {
      const auto text = golden()["texts"][i].get<std::string>();
      Strings words;
      for (const std::string_view word : split_words(pre, text)) words.emplace_back(word);
      EXPECT_EQ(words, golden()["words"][name][i].get<Strings>()) << name << ": " << text;
    }
  }
}

TEST(ByteBpe, EncodesAsTheReference) {
  for (const auto& [name, pre] : kPres) {
    const Tokenizer tokenizer(byte_bpe(pre));
    for (std::size_t i = 0; i < golden()["texts"].size(); ++i) {
      const auto text = golden()["texts"][i].get<std::string>();
      const Ids ids = tokenizer.encode(text);
      EXPECT_EQ(ids, golden()["ids"][name][i].get<Ids>()) << name << ": " << text;
      EXPECT_EQ(tokenizer.decode(ids), text) << name;
    }
  }
}

TEST(SpmBpe, EncodesAsTheReference) {
  const Tokenizer tokenizer(spm());
  for (std::size_t i = 0; i < golden()["texts"].size(); ++i) {
    const auto text = golden()["texts"][i].get<std::string>();
    const Ids ids = tokenizer.encode(text);
    EXPECT_EQ(ids, golden()["spm_ids"][i].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(Nfc, ComposesAsTheReference) {
  for (const Json& pair : golden()["nfc"]) {
    EXPECT_EQ(to_nfc(pair[0].get<std::string>()), pair[1].get<std::string>()) << pair.dump();
  }
  EXPECT_EQ(to_nfc("\xFF"
                   "e\xCC\x81\xE3"),
            "\xFF\xC3\xA9\xE3");  // Broken bytes stay; what stands between them is composed.
}

TEST(ByteBpe, NfcComesBeforeTheWords) {
  TokenizerData data = byte_bpe(PreTokenizer::kQwen2);
  const Ids composed = Tokenizer(data).encode("caf\xC3\xA9");
  data.nfc = true;
  EXPECT_EQ(Tokenizer(data).encode("cafe\xCC\x81"), composed);
}

TEST(ByteBpe, EveryBytePasses) {
  for (const auto& [name, pre] : kPres) {
    const Tokenizer tokenizer(byte_bpe(pre));
    std::string text;
    for (int i = 0; i < 256; ++i) text += static_cast<char>(i);
    for (int i = 255; i >= 0; --i) text += static_cast<char>(i);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << name;
  }
  const Tokenizer tokenizer(spm());
  const std::string broken = "a\xFF\xE3\x81 \xC0\x80z\xF0\x9F";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(broken)), broken);
}

TEST(ByteBpe, RanksAndIgnoredMerges) {
  // With ranks, a pair merges if its join is a piece: "ab" (256) before "bc" (257).
  TokenizerData data = byte_bpe(PreTokenizer::kNone);
  data.pieces.resize(256);
  data.merges.clear();
  for (const char* piece : {"ab", "bc", "abcd"}) data.pieces.emplace_back(piece);
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  data.merges_from_ranks = true;
  EXPECT_EQ(Tokenizer(data).encode("abc"), (Ids{256, 'c'}));
  EXPECT_EQ(Tokenizer(data).encode("abcd"), (Ids{256, 'c', 'd'}));
  data.ignore_merges = true;
  EXPECT_EQ(Tokenizer(data).encode("abcd"), (Ids{258}));
}

TEST(AddedTokens, LongestFirstAndOnlySpecialOnesAreText) {
  TokenizerData data = byte_bpe(PreTokenizer::kLlama3);
  const std::uint32_t end = add(data, {.content = "<|end|>", .special = true});
  const std::uint32_t end_of = add(data, {.content = "<|end|>of", .special = true});
  const std::uint32_t think = add(data, {.content = "<think>"});
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("a<|end|>b"), joined({t.encode("a"), {end}, t.encode("b")}));
  EXPECT_EQ(t.encode("<|end|>of<|end|>o"), joined({{end_of, end}, t.encode("o")}));
  EXPECT_EQ(t.encode("<think>x", false), joined({{think}, t.encode("x")}));
  const Ids text = t.encode("<|end|>", false);
  EXPECT_EQ(t.decode(text), "<|end|>");
  EXPECT_EQ(std::count(text.begin(), text.end(), end), 0);
  EXPECT_EQ(t.decode({{end, think}}), "<think>");
  EXPECT_EQ(t.decode({{end, think}}, true), "<|end|><think>");
}

TEST(AddedTokens, TakeTheBlanksBesideThem) {
  TokenizerData data = byte_bpe(PreTokenizer::kGpt2);
  const std::uint32_t left = add(data, {.content = "<l>", .special = true, .lstrip = true});
  const std::uint32_t right = add(data, {.content = "<r>", .special = true, .rstrip = true});
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("a \xC2\xA0\n<l> b"), joined({t.encode("a"), {left}, t.encode(" b")}));
  EXPECT_EQ(t.encode("a <r> \tb"), joined({t.encode("a "), {right}, t.encode("b")}));
  EXPECT_EQ(t.encode(" <l><r> "), (Ids{left, right}));
}

TEST(SpmBpe, PrefixAfterTokensAndControlTokensOnlyWhereWanted) {
  TokenizerData data = spm();
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("the<s>the"), joined({t.encode("the"), {1}, t.encode("the")}));
  const Ids text = t.encode("<s>", false);
  EXPECT_EQ(std::count(text.begin(), text.end(), 1u), 0);
  EXPECT_EQ(t.decode(text), "<s>");
  EXPECT_EQ(t.encode_with_bos("the"), joined({{1}, t.encode("the")}));
  EXPECT_EQ(t.decode(t.encode_with_bos(" x")), " x");
  EXPECT_TRUE(t.is_end(2));
  EXPECT_FALSE(t.is_end(1));

  data.prefix_after_added = false;
  const Ids once = Tokenizer(data).encode("the<s>the");
  data.add_space_prefix = false;
  EXPECT_EQ(once, joined({t.encode("the"), {1}, Tokenizer(data).encode("the")}));
  data.remove_extra_whitespaces = true;
  EXPECT_EQ(Tokenizer(data).decode(Tokenizer(data).encode("  a   b ")), "a b");
}

TEST(SpmBpe, WhatGoesOnHasABlankInFrontOnlyBehindAnAddedToken) {
  TokenizerData data = spm();
  data.added = {{.id = 1, .content = "<s>", .special = true}};
  const Tokenizer t(data);
  data.add_space_prefix = false;
  const Tokenizer bare(data);
  const Ids the = t.encode("the");
  EXPECT_NE(bare.encode("the"), the);
  EXPECT_EQ(t.encode_continued({}, "the"), the);
  EXPECT_EQ(t.encode_continued(the, "the"), bare.encode("the"));
  EXPECT_EQ(t.encode_continued({{1}}, "the"), the);
  EXPECT_EQ(t.encode_continued(the, "the<s>the"), joined({bare.encode("the"), {1}, the}));
  EXPECT_EQ(t.encode_continued(the, ""), Ids{});
  data.add_space_prefix = true;
  data.prefix_after_added = false;
  EXPECT_EQ(Tokenizer(data).encode_continued({{1}}, "the"), bare.encode("the"));
}

TEST(SpmBpe, UnknownCharactersWithoutBytes) {
  TokenizerData data = spm();
  data.byte_fallback = false;
  const Tokenizer t(data);
  const Ids ids = t.encode("the \xE2\x82\xAC\xE2\x82\xACthe");  // Two euro signs: one unknown.
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0u), 1);
}

TEST(SpmBpe, UnusedPiecesAreStepsOnly) {
  TokenizerData data;
  data.kind = TokenizerKind::kSpmBpe;
  data.pieces = {"<unk>", "a", "b", "c", "ab", "abc"};
  data.types.assign(6, TokenType::kNormal);
  data.types[0] = TokenType::kUnknown;
  data.types[4] = TokenType::kUnused;
  data.scores = {0, -3, -3, -3, -1, -2};
  data.unk = 0;
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("abc"), (Ids{5}));
  EXPECT_EQ(t.encode("abab"), (Ids{1, 2, 1, 2}));
}

// Each takes seconds, not minutes, even under sanitizers; quadratic code would take hours.
TEST(Tokenizer, LongRunsTakeLinearTime) {
  const std::size_t n = 1'000'000;
  std::string japanese;
  for (std::size_t i = 0; i < n / 3; ++i) japanese += "\xE3\x81\x82";
  const Strings texts = {std::string(n, ' '),        std::string(n, ' ') + "x",
                         std::string(n, 'a'),        std::string(n, '7'),
                         std::string(n, '\n'),       std::string(n, '<'),
                         std::string(n, '\n') + " ", japanese};
  TokenizerData data = byte_bpe(PreTokenizer::kLlama3);
  for (int i = 0; i < 100; ++i) {
    add(data, {.content = "<|reserved_" + std::to_string(i) + "|>", .special = true});
  }
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string& text : texts) {
    const Tokenizer bytes(data);
    EXPECT_EQ(bytes.decode(bytes.encode(text)), text);
    for (const PreTokenizer pre : {PreTokenizer::kGpt2, PreTokenizer::kDefault}) {
      std::size_t size = 0;
      for (const std::string_view word : split_words(pre, text)) size += word.size();
      EXPECT_EQ(size, text.size());
    }
    const Tokenizer pieces(spm());
    EXPECT_EQ(pieces.decode(pieces.encode(text)), text);
  }
  std::string marks;  // In the wrong order: sorting them must not be quadratic either.
  for (std::size_t i = 0; i < n / 4; ++i) marks += i % 2 != 0 ? "\xCC\x81" : "\xCC\xA3";
  EXPECT_EQ(to_nfc(marks).size(), marks.size());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(120));
}

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  const Tokenizer t(spm());
  StreamDecoder stream(t, true);
  const auto byte = [](int b) { return static_cast<std::uint32_t>(3 + b); };
  EXPECT_EQ(stream.push(1), "");          // BOS.
  EXPECT_EQ(stream.push(byte(' ')), "");  // The blank in front of the text.
  EXPECT_EQ(stream.push(byte(0xF0)), "");
  EXPECT_EQ(stream.push(byte(0x9F)), "");
  EXPECT_EQ(stream.push(byte(0x99)), "");
  EXPECT_EQ(stream.push(byte(0x82)), "\xF0\x9F\x99\x82");
  EXPECT_EQ(stream.push(byte(0xE3)), "");
  EXPECT_EQ(stream.push(byte('a')),
            "\xEF\xBF\xBD"
            "a");
  EXPECT_EQ(stream.push(byte(0xFF)), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.push(byte(0xE3)), "");
  EXPECT_EQ(stream.push(byte(0x81)), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");

  // A row of padding in the embedding, drawn by a model that was not trained.
  EXPECT_EQ(stream.push(static_cast<std::uint32_t>(t.vocab_size())), "");
  EXPECT_EQ(stream.push(UINT32_MAX), "");

  StreamDecoder middle(t, false);
  EXPECT_EQ(middle.push(byte(' ')), " ");
}

TEST(ByteAlphabet, SpellsAsGpt2Does) {
  EXPECT_EQ(to_printable(" hello\n"), "\xC4\xA0hello\xC4\x8A");  // Ġhello, Ċ
  EXPECT_EQ(to_printable("\xAD\x7F\xFF"), "\xC5\x83\xC4\xA1\xC3\xBF");
  EXPECT_EQ(from_printable("\xC4\xA0hello"), " hello");
  EXPECT_EQ(from_printable("a b"), std::nullopt);
  EXPECT_EQ(from_printable("\xE3\x81\x82"), std::nullopt);
}

TEST(Vocabulary, ContradictionsAreRefused) {
  const TokenizerData good = byte_bpe(PreTokenizer::kGpt2);
  EXPECT_EQ(message(good), "accepted");
  const auto broken = [&](auto change) {
    TokenizerData data = good;
    change(data);
    return message(std::move(data));
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << text;
  };
  EXPECT_TRUE(
      has(broken([](auto& d) { d.merges.emplace_back("q", "zz"); }), "'qzz', which is no piece"));
  EXPECT_TRUE(
      has(broken([](auto& d) { d.merges.emplace_back("q", "z"); }), "'qz', which is no piece"));
  EXPECT_TRUE(has(broken([](auto& d) { d.pieces[300] = d.pieces[299]; }), "stands twice"));
  EXPECT_TRUE(has(broken([](auto& d) {
                    d.pieces['a'] = "nothing";
                    d.merges.clear();
                  }),
                  "byte 97"));
  EXPECT_TRUE(has(broken([](auto& d) { d.types.pop_back(); }), "token types"));
  EXPECT_TRUE(has(broken([](auto& d) { d.pieces.clear(); }), "0 pieces"));
  EXPECT_TRUE(has(broken([](auto& d) { d.eos = 100000; }), "EOS id 100000 is outside"));
  EXPECT_TRUE(has(broken([](auto& d) { d.end_ids = {376}; }), "end id 376 is outside"));
  EXPECT_TRUE(
      has(broken([](auto& d) { d.added = {{.id = 1, .content = "x"}, {.id = 1, .content = "y"}}; }),
          "added twice"));

  TokenizerData pieces = spm();
  pieces.scores[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(has(message(pieces), "not a number"));
  pieces = spm();
  pieces.scores.pop_back();
  EXPECT_TRUE(has(message(pieces), "scores"));
  pieces = spm();
  pieces.pieces[3 + 0x41] = "<0xZZ>";
  EXPECT_TRUE(has(message(pieces), "<0xZZ>"));
}

TEST(Tokenizer, IdsOutsideTheVocabulary) {
  const Tokenizer t(byte_bpe(PreTokenizer::kGpt2));
  EXPECT_THROW(t.piece(static_cast<std::uint32_t>(t.vocab_size())), Error);
  EXPECT_THROW(t.decode({{1u, UINT32_MAX}}), Error);
  EXPECT_EQ(t.id_of("a"), 'a');
  EXPECT_EQ(t.id_of("no such piece"), std::nullopt);
}

TEST(ByteBpe, AByteThatTheVocabularyLacks) {
  TokenizerData data = byte_bpe(PreTokenizer::kGpt2);
  data.pieces[1] = "<|one|>";
  data.types[1] = TokenType::kControl;
  const Tokenizer t(data);
  EXPECT_THROW(t.encode("a\x01"), Error);
  EXPECT_EQ(t.encode("a"), (Ids{'a'}));
}

}  // namespace
}  // namespace tern::tokenizer
