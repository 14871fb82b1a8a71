// Vocabularies against SentencePiece's own encoder, the same twice, and what is refused.
#include "tern/corpus/train_tokenizer.h"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "tern/base/json.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/corpus/corpus_test_util.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using test::has;
using test::refusal;
using test::slurp;
using Ids = std::vector<std::uint32_t>;

// Sentences of words drawn by a fixed rule: enough repetition for a vocabulary.
std::string some_text(std::size_t sentences) {
  constexpr std::array kWords{"the ",     "cat ",    "sat ",      "upon ",  "another ", "window ",
                              "and ",     "said: ",  "\"Oh\"",    "1984 ",  "don't ",   "  ",
                              "running ", "walked ", "thinking ", "things "};
  constexpr std::array kPhrases{"吾輩は",       "猫である", "名前は",   "まだ無い",
                                "、",           "どこで",   "生れたか", "とんと",
                                "見当がつかぬ", "。",       "「先生」", "カタカナー"};
  std::string text;
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state >> 33) % n);
  };
  for (std::size_t i = 0; i < sentences; ++i) {
    const std::size_t words = 3 + draw(9);
    for (std::size_t k = 0; k < words; ++k) {
      text += i % 2 == 0 ? kWords[draw(kWords.size())] : kPhrases[draw(kPhrases.size())];
    }
    text += i % 7 == 0 ? "\r\n\n" : "\n";
  }
  return text;
}

// What a vocabulary must get right: written blanks, ends of line, digits, bytes, rare characters.
const std::vector<std::string> kTexts{
    "",
    "the cat sat upon another window",
    " the  cat   sat    ",
    "吾輩は猫である。名前はまだ無い。",
    "Naïve café, 東京 is 2024年12月31日; 3.14159 and 1000000.",
    "a\nb\n\nc\r\n\r\nd\te\t\tf",
    "\n",
    "\n\n\n   \n",
    "                    x",
    "😀👩‍👩‍👧‍👦🏳️‍🌈 e\u0301",
    std::string("nul \0 bell \a esc \x1b del \x7f", 24),
    "▁ literal ▁▁ and ▅ block",
    "<s>text</s><unk><0x41>",
    "don't \"Oh\" said: the-cat THE CAT thecatsat",
    "\u3000\u00a0\u2003blanks of other kinds",
};

// The three readers of a trained folder.
struct Readers {
  tokenizer::Tokenizer model, json;
  sentencepiece::SentencePieceProcessor processor;

  explicit Readers(const fs::path& folder)
      : model(checkpoint::open_tokenizer(folder / "tokenizer.model", {})),
        json(checkpoint::open_tokenizer(folder / "tokenizer.json", {})) {
    if (!processor.LoadFromSerializedProto(slurp(folder / "tokenizer.model")).ok()) {
      throw Error(ErrorCode::kCorruptFile, "SentencePiece does not read its own model");
    }
  }

  Ids oracle(const std::string& text) const {
    std::vector<int> ids;
    EXPECT_TRUE(processor.Encode(text, &ids).ok());
    return Ids(ids.begin(), ids.end());
  }

  void expect_agreement(const std::string& text) const {
    const Ids expected = oracle(text);
    EXPECT_EQ(model.encode(text, false), expected) << text;
    EXPECT_EQ(json.encode(text, false), expected) << text;
    if (text.find("\u2581") != text.npos) return;  // SentencePiece's sign for a blank becomes one.
    EXPECT_EQ(model.decode(expected), text);
    EXPECT_EQ(json.decode(expected), text);
  }
};

class TrainTokenizer : public test::TemporaryFolder {
 protected:
  fs::path out() const { return folder_ / "vocabulary"; }
  TokenizerTraining options(std::string_view text, std::size_t size = 420) const {
    TokenizerTraining training;
    training.sources.paths = {write("text.txt", text)};
    training.size = size;
    training.character_coverage = 1;
    return training;
  }
  std::string refused(const TokenizerTraining& training) const {
    return refusal([&] { train_tokenizer(training, out(), {}); });
  }
};

TEST_F(TrainTokenizer, ThreeReadersGiveTheSameIds) {
  train_tokenizer(options(some_text(3000)), out(), {});
  const Readers readers(out());
  for (const std::string& text : kTexts) readers.expect_agreement(text);
  readers.expect_agreement(some_text(200));
  for (unsigned byte = 1; byte < 128; ++byte) {
    readers.expect_agreement(std::string("the") + static_cast<char>(byte) + "cat");
  }
}

TEST_F(TrainTokenizer, TheVocabularyIsAsDocumented) {
  train_tokenizer(options(some_text(3000)), out(), {});
  const tokenizer::TokenizerData data = checkpoint::open_tokenizer(out(), {});
  ASSERT_EQ(data.pieces.size(), 420u);
  EXPECT_EQ(data.pieces[0], "<unk>");
  EXPECT_EQ(data.pieces[1], "<s>");
  EXPECT_EQ(data.pieces[2], "</s>");
  EXPECT_EQ(data.pieces[3], "<0x00>");
  EXPECT_EQ(data.pieces[258], "<0xFF>");
  EXPECT_EQ(data.bos, 1u);
  EXPECT_EQ(data.eos, 2u);
  EXPECT_FALSE(data.pad.has_value());
  EXPECT_TRUE(data.add_bos);
  EXPECT_FALSE(data.add_eos);
  EXPECT_FALSE(data.add_space_prefix);
  for (std::size_t id = 259; id < data.pieces.size(); ++id) {
    const std::string& piece = data.pieces[id];
    for (const char c : piece) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << id;
    const bool digit = piece.find_first_of("0123456789") != piece.npos;
    EXPECT_TRUE(!digit || piece.size() == 1) << piece;
  }
  const tokenizer::Tokenizer tokenizer(data);
  EXPECT_EQ(tokenizer.encode("\n\n"), (Ids{3 + 10, 3 + 10}));
  EXPECT_EQ(tokenizer.encode("the"), Ids{*tokenizer.id_of("the")});
  EXPECT_EQ(tokenizer.encode(" thinking"), Ids{*tokenizer.id_of("\u2581thinking")});
  EXPECT_EQ(tokenizer.encode("1984").size(), 4u);
  EXPECT_EQ(tokenizer.encode("吾輩は").size(), 1u);
  EXPECT_EQ(parse_json(slurp(out() / "tokenizer_config.json"), "config"),
            parse_json(R"({"add_bos_token": true, "add_eos_token": false, "bos_token": "<s>",
                           "eos_token": "</s>", "unk_token": "<unk>",
                           "clean_up_tokenization_spaces": false,
                           "tokenizer_class": "PreTrainedTokenizerFast"})",
                       "expected"));
}

TEST_F(TrainTokenizer, TheSameTextGivesTheSameFiles) {
  const TokenizerTraining training = options(some_text(2000));
  train_tokenizer(training, out(), {});
  const std::string other = (folder_ / "another-folder-with-a-longer-name").string();
  const std::string disturb(100'000, 'x');  // Another state of the heap.
  train_tokenizer(training, other, {});
  for (const char* name : {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"}) {
    EXPECT_EQ(slurp(out() / name), slurp(fs::path(other) / name)) << name;
  }
  EXPECT_EQ(entries(), 3u);  // The text, and the two.
}

TEST_F(TrainTokenizer, RareCharactersAreBytes) {
  TokenizerTraining training = options(some_text(2000) + "珍", 400);
  training.character_coverage = 0.9999;
  train_tokenizer(training, out(), {});
  const Readers readers(out());
  EXPECT_EQ(readers.model.encode("珍"), (Ids{3 + 0xE7, 3 + 0x8F, 3 + 0x8D}));
  readers.expect_agreement("the 珍 cat猫珍");
}

// Lines that SentencePiece's trainer would pass over whole: they must count like any other.
TEST_F(TrainTokenizer, LongLinesAndReservedCharactersAreNotLost) {
  std::string words, characters, reserved;
  for (int i = 0; i < 3000; ++i) words += "wonderful ";
  for (int i = 0; i < 3000; ++i) characters += i % 5 == 0 ? "素敵な。" : "素敵な";
  for (int i = 0; i < 300; ++i) reserved += "marvellous\tmarvellous▅marvellous\n";
  train_tokenizer(options(words + "\n" + characters + "\n" + reserved, 300), out(), {});
  const Readers readers(out());
  EXPECT_EQ(readers.model.encode(" wonderful").size(), 1u);
  EXPECT_EQ(readers.model.encode("素敵な").size(), 1u);
  EXPECT_EQ(readers.model.encode("marvellous").size(), 1u);
  EXPECT_FALSE(readers.model.id_of("▅").has_value());
  readers.expect_agreement(words);
  readers.expect_agreement(characters);
}

TEST_F(TrainTokenizer, TooMuchTextIsThinnedEvenly) {
  std::string text;  // The first half knows only "aaaa", the second only "bbbb".
  for (int i = 0; i < 4000; ++i) text += "aaaa\n";
  for (int i = 0; i < 4000; ++i) text += "bbbb\n";
  TokenizerTraining training = options(text, 265);
  training.max_bytes = 4000;
  std::string notice;
  train_tokenizer(training, out(), [&](std::string_view sentence) { notice = sentence; });
  EXPECT_EQ(notice,
            "the text has 39999 bytes; the vocabulary is made of 10.0 % of its lines, spread "
            "evenly");
  const Readers readers(out());
  EXPECT_EQ(readers.model.encode("aaaabbbb").size(), 2u);
}

TEST_F(TrainTokenizer, SizesThatCannotBeAreRefused) {
  EXPECT_EQ(refused(options("some text", 259)),
            "a vocabulary of 259 pieces was asked for, expected more than the 259 special ones and "
            "bytes (and fewer than 2^31)");
  EXPECT_TRUE(has(refused(options("some text", std::size_t{1} << 31)), "2147483648 pieces"));
  // s o m e t x and the blank.
  EXPECT_EQ(refused(options("some text", 266)),
            "a vocabulary of 266 pieces does not hold the 259 special ones and bytes and the 7 "
            "characters that cover 1 of the text; expected more than 266, or a smaller character "
            "coverage");
  const std::string too_many = refused(options("some text", 1000));
  EXPECT_TRUE(has(too_many, "the text yields only "));
  EXPECT_TRUE(has(too_many, " pieces where 1000 were asked for; expected more text or a smaller "));
  for (const double coverage : {0.97, 1.1, std::nan("")}) {
    TokenizerTraining training = options("some text", 300);
    training.character_coverage = coverage;
    EXPECT_TRUE(has(refused(training), "was asked for, expected 0.98 to 1"));
  }
  EXPECT_EQ(refused(options(" \n", 300)),
            "the text for the vocabulary is empty, expected some words at least");
  EXPECT_EQ(refused(options("\x01\x02", 300)),
            "the text for the vocabulary is empty, expected some words at least");
  EXPECT_EQ(entries(), 1u);  // The text; no folder, no temporary one.
}

TEST_F(TrainTokenizer, AFolderThatExistsIsRefusedBeforeTheWork) {
  write("vocabulary/thesis.txt", "years of work");
  TokenizerTraining training = options("some text");
  training.sources.paths = {folder_ / "no"};
  EXPECT_TRUE(has(refused(training), "exists already"));
}

// Real text: the vocabulary is made of one half and tried on the other.
TEST_F(TrainTokenizer, ThreeReadersAgreeOnRealText) {
  const char* data = std::getenv("TERN_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
  const fs::path text = fs::path(data) / "text";
  const auto head = [&](const char* name, std::size_t size) {
    std::string bytes = slurp(text / name).substr(0, size);
    return bytes.substr(0, bytes.rfind('\n'));
  };
  const std::string english = head("tinystories/tinystories_v2_train_head.txt", 600'000);
  const std::string japanese = head("ja/aozora.txt", 600'000);
  const auto cut = [](const std::string& whole) { return whole.find('\n', whole.size() / 2); };
  TokenizerTraining training =
      options(english.substr(0, cut(english)) + japanese.substr(0, cut(japanese)), 3500);
  training.character_coverage = 0.995;
  train_tokenizer(training, out(), {});
  const Readers readers(out());
  readers.expect_agreement(english.substr(cut(english)));
  readers.expect_agreement(japanese.substr(cut(japanese)));
  readers.expect_agreement(head("en_books/children.txt", 200'000));
}

}  // namespace
}  // namespace tern::corpus
