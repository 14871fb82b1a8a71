// Shards as bytes and as ids; made once, made again, refused when they do not hold together.
#include "tern/corpus/token_shards.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <set>

#include "tern/base/json.h"
#include "tern/corpus/corpus_test_util.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using test::has;
using test::refusal;
using test::slurp;
using test::small_vocabulary;
using tokenizer::Tokenizer;
using Ids = std::vector<std::int64_t>;

Ids all_ids(const TokenShards& shards) {
  Ids ids(static_cast<std::size_t>(shards.tokens()));
  shards.read(0, ids);
  return ids;
}

class Shards : public test::TemporaryFolder {
 protected:
  fs::path out() const { return folder_ / "shards"; }
  ShardOptions one_file(std::string_view text, std::string separator = "--") const {
    ShardOptions options;
    options.train = {.paths = {write("text.txt", text)}, .separators = {std::move(separator)}};
    return options;
  }
  void make(const ShardOptions& options) const {
    make_token_shards(out(), options, Tokenizer(small_vocabulary()), {});
  }
  TokenShards open(Split split = Split::kTrain) const { return TokenShards(out(), split); }
  std::string refused(const ShardOptions& options) const {
    return refusal([&] { make(options); });
  }
  Json index() const { return parse_json(slurp(out() / "index.json"), "index.json"); }
};

TEST_F(Shards, HoldDocumentsBetweenBosAndEos) {
  make(one_file("--\nab\r\nba\n--\nあ<s>\n--\n \n"));
  // <s> a-b \n b a </s>, then <s> E3 81 82 '<' 's' '>' </s>: bytes are id 3 + byte.
  const Ids expected{1,        261,      3 + 10,   260,     259,     2,       1,
                     3 + 0xE3, 3 + 0x81, 3 + 0x82, 3 + '<', 3 + 's', 3 + '>', 2};
  const TokenShards shards = open();
  EXPECT_EQ(all_ids(shards), expected);
  EXPECT_EQ(shards.tokens(), expected.size());
  EXPECT_EQ(shards.documents(), 2u);
  EXPECT_EQ(shards.text_bytes(), 5u + 6u);
  const TokenShards held_out = open(Split::kHeldOut);
  EXPECT_EQ(held_out.tokens(), 0u);
  EXPECT_EQ(held_out.documents(), 0u);
}

TEST_F(Shards, AreLittleEndianNumbersInFilesOfTheirOwn) {
  ShardOptions options = one_file("ab\n--\na");
  options.held_out.paths = {write("other.txt", "b")};
  options.ids_per_file = 4;
  make(options);
  EXPECT_EQ(slurp(out() / "train-00000.bin"), std::string("\1\0\5\1\2\0\1\0", 8));
  EXPECT_EQ(slurp(out() / "train-00001.bin"), std::string("\3\1\2\0", 4));
  EXPECT_EQ(slurp(out() / "held_out-00000.bin"), std::string("\1\0\4\1\2\0", 6));
  EXPECT_EQ(index()["splits"]["train"],
            parse_json(R"({"tokens": 6, "documents": 2, "text_bytes": 3, "files": [4, 2]})", ""));
  const TokenShards shards = open();
  EXPECT_EQ(all_ids(shards), (Ids{1, 261, 2, 1, 259, 2}));
  for (std::uint64_t begin = 0; begin < 6; ++begin) {  // Across the files, from everywhere.
    for (std::uint64_t n = 0; begin + n <= 6; ++n) {
      Ids part(n, -1);
      shards.read(begin, part);
      const Ids all = all_ids(shards);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + static_cast<long>(begin)));
    }
  }
  EXPECT_EQ(all_ids(open(Split::kHeldOut)), (Ids{1, 260, 2}));
}

TEST_F(Shards, FilesThatAreFullExactlyHaveNoEmptyOneBehind) {
  ShardOptions options = one_file("a\n--\na");
  options.ids_per_file = 3;
  make(options);
  EXPECT_EQ(index()["splits"]["train"]["files"], parse_json("[3, 3]", ""));
  EXPECT_FALSE(fs::exists(out() / "train-00002.bin"));
  EXPECT_EQ(all_ids(open()), (Ids{1, 259, 2, 1, 259, 2}));
}

TEST_F(Shards, TakeFourBytesAnIdFrom65537On) {
  for (const std::size_t size : {65536u, 65537u}) {
    fs::remove_all(out());
    tokenizer::TokenizerData data = small_vocabulary(size);
    data.eos = static_cast<std::uint32_t>(size - 1);
    data.types.back() = tokenizer::TokenType::kControl;
    make_token_shards(out(), one_file("ab"), Tokenizer(data), {});
    EXPECT_EQ(fs::file_size(out() / "train-00000.bin"), size == 65536 ? 6u : 12u);
    EXPECT_EQ(all_ids(open()), (Ids{1, 261, static_cast<std::int64_t>(size - 1)}));
  }
}

TEST_F(Shards, NeedATokenBetweenDocuments) {
  const auto with = [&](bool bos, bool eos) -> Ids {
    fs::remove_all(out());
    tokenizer::TokenizerData data = small_vocabulary();
    if (!bos) data.bos.reset();
    if (!eos) data.eos.reset();
    make_token_shards(out(), one_file("a\n--\nb"), Tokenizer(data), {});
    return all_ids(open());
  };
  EXPECT_EQ(with(true, false), (Ids{1, 259, 1, 260}));
  EXPECT_EQ(with(false, true), (Ids{259, 2, 260, 2}));
  EXPECT_EQ(refusal([&] { with(false, false); }),
            "the vocabulary has neither a BOS nor an EOS token, expected one of them to stand "
            "between documents");
}

// 40 documents, each the two digits of its number; which are held out, from a Python program.
std::string forty() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += std::to_string(10 + i) + "\n--\n";
  return text;
}

std::set<int> numbers(const TokenShards& shards) {
  std::set<int> out;
  const Ids ids = all_ids(shards);
  for (std::size_t i = 0; i + 3 < ids.size(); i += 4) {
    out.insert(static_cast<int>(10 * (ids[i + 1] - 3 - '0') + (ids[i + 2] - 3 - '0')) - 10);
  }
  return out;
}

TEST_F(Shards, HoldOutWholeDocumentsByTheHashOfTheirNumber) {
  ShardOptions options = one_file(forty());
  options.holdout = 0.2;
  make(options);
  const std::set<int> held_out = numbers(open(Split::kHeldOut)), train = numbers(open());
  EXPECT_EQ(held_out, (std::set<int>{2, 4, 6, 32, 33}));
  EXPECT_EQ(train.size(), 35u);
  for (const int i : held_out) EXPECT_FALSE(train.contains(i));
  EXPECT_EQ(open(Split::kHeldOut).text_bytes(), 10u);
  EXPECT_EQ(open().text_bytes(), 70u);
}

TEST_F(Shards, HoldOutOneAtLeastAndNeverAll) {
  const std::string six = "10\n--\n11\n--\n12\n--\n13\n--\n14\n--\n15";
  ShardOptions options = one_file(six);
  options.holdout = 0.001;  // Number 2 has the lowest hash of the six, number 3 the highest.
  make(options);
  EXPECT_EQ(numbers(open(Split::kHeldOut)), std::set<int>{2});
  options.holdout = 0.999;
  make(options);
  EXPECT_EQ(numbers(open()), std::set<int>{3});
  EXPECT_EQ(numbers(open(Split::kHeldOut)), (std::set<int>{0, 1, 2, 4, 5}));
  options = one_file("10\n--\n");
  options.holdout = 0.1;
  EXPECT_EQ(refused(options),
            "the training text is a single document, of which the share 0.1 cannot be held out; "
            "expected two, a separator that tells documents apart, or held-out files");
}

TEST_F(Shards, OwnHeldOutFilesLeaveTheTrainingTextWhole) {
  ShardOptions options = one_file(forty());
  options.holdout = 0.2;
  options.held_out = {
      .paths = {write("h.jsonl", "{\"body\": \"b\"}")}, .separators = {}, .json_field = "body"};
  make(options);
  EXPECT_EQ(open().documents(), 40u);
  EXPECT_EQ(all_ids(open(Split::kHeldOut)), (Ids{1, 260, 2}));
}

TEST_F(Shards, RefuseSplitsWithoutADocumentAndSharesThatAreNone) {
  EXPECT_EQ(refused(one_file(" \n--\n")),
            "the training text has no document, expected one at least");
  ShardOptions options = one_file("a");
  options.held_out.paths = {write("h.txt", "\n")};
  EXPECT_EQ(refused(options), "the held-out text has no document, expected one at least");
  options = one_file("a\n--\nb");
  for (const double share : {-0.1, 1.0, 7.5, std::nan("")}) {
    options.holdout = share;
    EXPECT_TRUE(has(refused(options), "was to be held out, expected 0 or more and less than 1"));
  }
  EXPECT_EQ(entries(), 2u);  // The two texts.
}

TEST_F(Shards, AreMadeOnce) {
  const ShardOptions options = one_file("a");
  make(options);
  const auto made = fs::last_write_time(out() / "index.json");
  double last = -1;
  make_token_shards(out(), options, Tokenizer(small_vocabulary()),
                    [&](std::string_view, double done) { last = done; });
  EXPECT_EQ(last, -1);
  EXPECT_EQ(fs::last_write_time(out() / "index.json"), made);
  // Even a source that only could not be read again is not needed: nothing but its name, size and
  // time is compared.
  const auto time = fs::last_write_time(options.train.paths[0]);
  write("text.txt", "b");
  fs::last_write_time(options.train.paths[0], time);
  make(options);
  EXPECT_EQ(all_ids(open()), (Ids{1, 259, 2}));
}

TEST_F(Shards, AreMadeAgainWhenWhatTheyAreMadeOfChanges) {
  ShardOptions options = one_file("a\n--\nb\n");
  make(options);
  const std::size_t before = entries();
  const auto expect = [&](const Ids& ids) {
    EXPECT_EQ(all_ids(open()), ids);
    EXPECT_EQ(entries(), before);  // Neither the old nor a temporary one is left.
  };
  options.train.separators.clear();
  make(options);
  expect({1, 259, 3 + '\n', 3 + '-', 3 + '-', 3 + '\n', 260, 2});
  write("text.txt", "ab\n");
  make(options);
  expect({1, 261, 2});
  fs::last_write_time(options.train.paths[0],
                      fs::last_write_time(options.train.paths[0]) + std::chrono::seconds(1));
  double last = -1;
  const auto progress = [&](std::string_view step, double done) {
    EXPECT_EQ(step, "tokenising");
    last = done;
  };
  make_token_shards(out(), options, Tokenizer(small_vocabulary()), progress);
  EXPECT_EQ(last, 1);
  tokenizer::TokenizerData other = small_vocabulary();
  other.pieces[261] = "ba";
  make_token_shards(out(), options, Tokenizer(other), {});
  expect({1, 259, 260, 2});
  options.holdout = 0.5;
  write("text.txt", "a\n");
  write("text2.txt", "a\n");
  options.train.paths.push_back(folder_ / "text2.txt");
  make(options);
  EXPECT_EQ(open().documents(), 1u);
  EXPECT_EQ(open(Split::kHeldOut).documents(), 1u);
}

TEST_F(Shards, OldOnesStayUntilNewOnesAreComplete) {
  make(one_file("a"));
  EXPECT_TRUE(has(refused(one_file("ab\xFF")), "begins no UTF-8 character"));
  EXPECT_EQ(all_ids(open()), (Ids{1, 259, 2}));
  EXPECT_EQ(entries(), 2u);
}

TEST_F(Shards, AFolderOfSomethingElseIsLeftAlone) {
  write("shards/thesis.txt", "years of work");
  EXPECT_EQ(refused(one_file("a")),
            out().string() + ": exists already, expected a new name or an empty folder");
  fs::remove_all(out());
  make(one_file("a"));
  write("shards/thesis.txt", "years of work");
  EXPECT_TRUE(has(refused(one_file("b\n")), "exists already"));
  EXPECT_EQ(slurp(out() / "thesis.txt"), "years of work");
  write("shards/index.json", "{\"format\": \"another program's\"}");
  EXPECT_TRUE(has(refused(one_file("b\n")), "exists already"));
}

TEST_F(Shards, NameTheDocumentThatTheVocabularyCannotSpell) {
  tokenizer::TokenizerData data;  // Printable ASCII and an EOS, no more.
  for (char c = 0x20; c < 0x7F; ++c) {
    data.pieces.push_back(tokenizer::to_printable(std::string(1, c)));
  }
  data.pieces.push_back("<end>");
  data.types.assign(data.pieces.size(), tokenizer::TokenType::kNormal);
  data.types.back() = tokenizer::TokenType::kControl;
  data.eos = static_cast<std::uint32_t>(data.pieces.size() - 1);
  const std::string sentence =
      refusal([&] { make_token_shards(out(), one_file("a\n--\n\x01"), Tokenizer(data), {}); });
  EXPECT_TRUE(has(sentence, "text.txt: document 2: the vocabulary has no piece for byte 1"));
  EXPECT_FALSE(fs::exists(out()));
}

// While it lives, no file may grow beyond `bytes`, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit now = old_;
    now.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_{};
};

TEST_F(Shards, AFullDiskIsToldInBytes) {
  const ShardOptions options = one_file(std::string(3'000'000, 'b'));
  std::string sentence;
  {
    const FileSizeLimit limit(100'000);
    sentence = refused(options);
  }
  EXPECT_TRUE(has(sentence, "train-00000.bin: cannot write: File too large"));
  EXPECT_TRUE(has(sentence, "; the tokens of this text need about 6000004 bytes there"));
  EXPECT_EQ(entries(), 1u);
}

class BrokenShards : public Shards {
 protected:
  BrokenShards() {
    ShardOptions options = one_file("ab\n--\na");
    options.ids_per_file = 4;
    make(options);
  }
  std::string opened() const {
    return refusal([&] { open(); });
  }
  template <typename Spoil>
  std::string with(Spoil spoil) const {
    Json json = index();
    const std::string whole = slurp(out() / "index.json");
    spoil(json);
    write("shards/index.json", dump_json(json));
    const std::string sentence = opened();
    write("shards/index.json", whole);
    return sentence;
  }
};

TEST_F(BrokenShards, FilesThatDisagreeWithTheIndexAreRefused) {
  EXPECT_EQ(opened(), "accepted");
  const fs::path file = out() / "train-00001.bin";
  const std::string remedy = "; remove the folder, and it is made again";
  for (const std::size_t size : {0u, 2u, 3u, 5u, 6u}) {
    write("shards/train-00001.bin", std::string(size, '\0'));
    EXPECT_EQ(opened(), file.string() + ": " + std::to_string(size) +
                            " bytes found, expected the 2 ids of 2 bytes that index.json tells" +
                            remedy);
  }
  write("shards/train-00001.bin", std::string("\6\1\2\0", 4));
  EXPECT_EQ(opened(), file.string() +
                          ": id 262 found, expected ids below the 262 of the "
                          "vocabulary" +
                          remedy);
  write("shards/train-00001.bin", std::string("\5\1\2\0", 4));
  EXPECT_EQ(opened(), "accepted");
  fs::remove(file);
  EXPECT_TRUE(has(opened(), "train-00001.bin: cannot open: No such file or directory"));
  EXPECT_TRUE(has(refusal([&] { TokenShards(folder_ / "no", Split::kTrain); }),
                  "no/index.json: cannot open"));
}

TEST_F(BrokenShards, IndexesThatContradictThemselvesAreRefused) {
  EXPECT_TRUE(has(with([](Json& j) { j["format"] = "x"; }), "this is no index of token shards"));
  EXPECT_TRUE(has(with([](Json& j) { j = Json::array(); }), "this is no index of token shards"));
  EXPECT_TRUE(has(with([](Json& j) { j["version"] = 2; }), "format version 2 found, expected 1"));
  EXPECT_TRUE(has(with([](Json& j) { j.erase("version"); }), "field 'version' is missing"));
  EXPECT_TRUE(has(with([](Json& j) { j["id_bytes"] = 4; }),
                  "ids of 4 bytes found, expected 2 for a vocabulary of 262"));
  EXPECT_TRUE(has(with([](Json& j) { j["id_bytes"] = 0; }), "ids of 0 bytes found"));
  EXPECT_TRUE(has(with([](Json& j) { j["vocabulary"] = 5; }), "field 'vocabulary' is no object"));
  EXPECT_TRUE(has(with([](Json& j) { j["vocabulary"]["size"] = 261; }),
                  "id 261 found, expected ids below the 261 of the vocabulary"));
  EXPECT_TRUE(has(with([](Json& j) { j["splits"].erase("train"); }), "field 'train' is no object"));
  const auto train = [&](auto spoil) {
    return with([&](Json& j) { spoil(j["splits"]["train"]); });
  };
  EXPECT_TRUE(has(train([](Json& j) { j.erase("tokens"); }), "field 'tokens' is missing"));
  EXPECT_TRUE(has(train([](Json& j) { j["documents"] = -1; }), "field 'documents' is -1"));
  EXPECT_TRUE(has(train([](Json& j) { j.erase("text_bytes"); }), "field 'text_bytes' is missing"));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = 2; }), "field 'files' is no list"));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = {4, 3}; }),
                  "field 'files' holds 3, expected numbers that sum to the 6 tokens"));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = {4, 0, 2}; }), "field 'files' holds 0"));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = {4, "2"}; }), "field 'files' holds \"2\""));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = {4, 18446744073709551615u}; }), "holds 184467"));
  EXPECT_TRUE(has(train([](Json& j) { j["files"] = {4}; }), "its files hold 4 tokens, expected 6"));
  write("shards/index.json", "{");
  EXPECT_TRUE(has(opened(), "index.json: not valid JSON"));
}

}  // namespace
}  // namespace tern::corpus
