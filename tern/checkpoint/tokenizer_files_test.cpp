// Tokenizers read from files: small ones written here, by failure, and published vectors.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/base/system.h"
#include "tern/checkpoint/merges.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/checkpoint/tokenizer_json.h"
#include "tern/checkpoint/tokenizer_model.h"
#include "tern/tokenizer/byte_alphabet.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::checkpoint {
namespace {

namespace fs = std::filesystem;
using tokenizer::PreTokenizer;
using tokenizer::Tokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenType;
using Ids = std::vector<std::uint32_t>;

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The sentence with which `read` refuses.
template <typename Read>
std::string refusal(Read&& read) {
  try {
    (void)read();
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

testing::AssertionResult has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not say '" << part << "'";
}

// 256 byte pieces, "ab" (256), <|begin|> (257), <|im_end|> (258), <tool> (259).
Json byte_level_json() {
  Json vocab = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab[tokenizer::to_printable(std::string(1, static_cast<char>(byte)))] = byte;
  }
  vocab["ab"] = 256u;
  const auto added = [](unsigned id, const char* content, bool special) {
    return Json{{"id", id},        {"content", content},  {"special", special},  {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"single_word", false}};
  };
  return {{"added_tokens",
           {added(257, "<|begin|>", true), added(258, "<|im_end|>", true),
            added(259, "<tool>", false)}},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", kLlama3Pattern}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single",
             {{{"SpecialToken", {{"id", "<|begin|>"}, {"type_id", 0}}}},
              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b"}}}}};
}

TokenizerData read(const Json& json, const TokenizerSidecars& beside = {}) {
  return read_tokenizer_json(json, beside, "t.json", {});
}

TEST(TokenizerJson, ReadsWhatAFileSays) {
  const TokenizerData data = read(byte_level_json());
  EXPECT_EQ(data.pre, PreTokenizer::kLlama3);
  EXPECT_EQ(data.bos, 257u);
  EXPECT_TRUE(data.add_bos);
  EXPECT_FALSE(data.add_eos);
  EXPECT_EQ(data.end_ids, (Ids{258}));  // Known by its name.
  EXPECT_EQ(data.types[259], TokenType::kUserDefined);
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("ab<|begin|>b<tool>"), (Ids{256, 257, 'b', 259}));

  Json pairs = byte_level_json();
  pairs["model"]["merges"] = Json::array({Json::array({"a", "b"})});
  EXPECT_EQ(Tokenizer(read(pairs)).encode("ab"), (Ids{256}));
}

TEST(TokenizerJson, AnAddedTokenMayBeAPieceOfBytes) {
  // As in Falcon3's: the line feed's piece stands among the added tokens.
  Json json = byte_level_json();
  json["added_tokens"].push_back(
      {{"id", 10u}, {"content", tokenizer::to_printable("\n")}, {"special", false}});
  const Tokenizer t(read(json));
  EXPECT_EQ(t.encode("a\nb"), (Ids{'a', 10, 'b'}));
  EXPECT_EQ(t.decode(Ids{'a', 10, 'b'}), "a\nb");
}

TEST(TokenizerJson, SidecarsSayMore) {
  const Json config = {
      {"eos_token", {{"content", "<tool>"}}},
      {"add_bos_token", false},
      {"pad_token", "not there"},
      {"added_tokens_decoder", {{"260", {{"content", "<pad>"}, {"special", true}}}}}};
  const Json generation = {{"eos_token_id", {258u, 260u}}, {"bos_token_id", 5u}};
  TokenizerSidecars beside;
  beside.tokenizer_config = &config;
  beside.generation_config = &generation;
  const TokenizerData data = read(byte_level_json(), beside);
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(data.bos, 257u);
  EXPECT_EQ(data.eos, 259u);
  EXPECT_EQ(data.pad, std::nullopt);
  EXPECT_EQ(data.end_ids, (Ids{258, 260, 259}));
  EXPECT_EQ(data.pieces.size(), 261u);

  const Json far = {{"eos_token_id", 261u}};
  beside.generation_config = &far;
  const std::string sentence = refusal([&] { return read(byte_level_json(), beside); });
  EXPECT_TRUE(has(sentence, ": generation_config.json beside it: field 'eos_token_id'"));
}

TEST(TokenizerJson, RefusesWhatItDoesNotKnow) {
  const auto refused = [](auto change) {
    Json json = byte_level_json();
    change(json);
    return refusal([&] { return Tokenizer(read(json)); });
  };
  EXPECT_TRUE(has(refused([](Json& j) { j["model"]["type"] = "Unigram"; }), "'Unigram'"));
  EXPECT_TRUE(has(refused([](Json& j) { j["normalizer"] = {{"type", "NFKC"}}; }), "NFKC"));
  EXPECT_TRUE(has(
      refused([](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }),
      "\\w+"));
  EXPECT_TRUE(
      has(refused([](Json& j) { j["pre_tokenizer"] = {{"type", "BertPreTokenizer"}}; }), "Bert"));
  EXPECT_TRUE(has(refused([](Json& j) { j["pre_tokenizer"] = nullptr; }), "pre_tokenizer"));
  EXPECT_TRUE(has(refused([](Json& j) { j["model"]["vocab"]["zz"] = 256u; }), "two pieces"));
  EXPECT_TRUE(
      has(refused([](Json& j) { j["model"]["vocab"]["zz"] = 1u << 31; }), "expected one below"));
  EXPECT_TRUE(has(refused([](Json& j) { j["model"]["vocab"]["zz"] = -1; }), "'zz'"));
  EXPECT_TRUE(has(refused([](Json& j) { j["model"]["merges"] = {"ab"}; }), "expected two pieces"));
  EXPECT_TRUE(has(refused([](Json& j) { j["model"]["merges"] = {"x y"}; }), "no piece"));
  EXPECT_TRUE(has(refused([](Json& j) { j["model"].erase("vocab"); }), "'vocab'"));
  EXPECT_TRUE(has(refused([](Json& j) { j["added_tokens"][0]["id"] = 256u; }), "'ab'"));
  EXPECT_TRUE(has(refused([](Json& j) { j["added_tokens"][0]["id"] = 1u << 30; }), "far outside"));
  EXPECT_TRUE(has(refused([](Json& j) { j = Json::array(); }), "t.json"));
}

TEST(TokenizerJson, MergesAndVocabularyOfGpt2) {
  Json vocab = byte_level_json()["model"]["vocab"];
  vocab["<|endoftext|>"] = 257u;
  const TokenizerData data = read_vocab_and_merges(vocab, "#version: 0.2\na b\r\n\n", {}, "v", {});
  EXPECT_EQ(data.pre, PreTokenizer::kGpt2);
  EXPECT_EQ(data.eos, 257u);
  EXPECT_EQ(Tokenizer(data).encode("ab<|endoftext|>"), (Ids{256, 257}));
}

// --- SentencePiece: the protobuf written by hand -------------------------------------------------

std::string field(unsigned number, std::string_view bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} +
         std::string(bytes);
}

std::string field(unsigned number, unsigned value) {  // A number below 128.
  std::string out;
  if (number >= 16) {
    out += static_cast<char>(0x80 | ((number << 3) & 0x7F));
    out += static_cast<char>(number >> 4);
  } else {
    out += static_cast<char>(number << 3);
  }
  return out + static_cast<char>(value);
}

std::string sp_piece(std::string_view text, float score, unsigned type) {
  std::string out = field(1, text) + "\x15";
  std::uint32_t bits;
  std::memcpy(&bits, &score, 4);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bits >> (8 * i));
  return field(1, out + field(3, type));
}

// <unk> <s> </s> _a(3) a(4) _(5) b(6) "ab"(7, user-defined with a blank: "_b").
std::string sp_model(unsigned type = 2, std::string_view normalizer = "") {
  const std::string blank = "\xE2\x96\x81";
  return sp_piece("<unk>", 0, 2) + sp_piece("<s>", 0, 3) + sp_piece("</s>", 0, 3) +
         sp_piece(blank + "a", -1, 1) + sp_piece("a", -2, 1) + sp_piece(blank, -3, 1) +
         sp_piece("b", -4, 1) + sp_piece("x" + blank + "y", 0, 4) + field(2, field(3, type)) +
         field(3, field(1, "identity") + std::string(normalizer));
}

TokenizerData read_model(std::string_view bytes) {
  return read_tokenizer_model(bytes_of(bytes), {}, "t.model", {});
}

TEST(TokenizerModel, ReadsSentencePiece) {
  const TokenizerData data = read_model(sp_model(2, field(4, 0u)));
  EXPECT_EQ(data.bos, 1u);
  EXPECT_EQ(data.eos, 2u);
  EXPECT_EQ(data.unk, 0u);
  EXPECT_EQ(data.pad, std::nullopt);
  EXPECT_TRUE(data.add_bos);
  EXPECT_TRUE(data.add_space_prefix);
  EXPECT_FALSE(data.remove_extra_whitespaces);
  EXPECT_FLOAT_EQ(data.scores[3], -1);
  const Tokenizer t(data);
  EXPECT_EQ(t.encode("ab a"), (Ids{3, 6, 3}));
  EXPECT_EQ(t.encode("x y"), (Ids{7}));
  EXPECT_EQ(t.encode("a</s>"), (Ids{3, 2}));
  EXPECT_EQ(t.encode("q"), (Ids{5, 0}));
  EXPECT_TRUE(read_model(sp_model()).remove_extra_whitespaces);  // The format's default.
  EXPECT_FALSE(read_model(sp_model(2, field(3, 0u))).add_space_prefix);
}

TEST(TokenizerModel, LegacySaysWhetherABlankFollowsAnAddedToken) {
  const std::string model = sp_model(2, field(4, 0u));
  EXPECT_EQ(Tokenizer(read_model(model)).encode("</s>a"), (Ids{2, 3}));
  const Json config = {{"legacy", false}};
  TokenizerSidecars beside;
  beside.tokenizer_config = &config;
  const Tokenizer t(read_tokenizer_model(bytes_of(model), beside, "t.model", {}));
  EXPECT_EQ(t.encode("</s>a"), (Ids{2, 4}));
  EXPECT_EQ(t.encode("a</s>"), (Ids{3, 2}));
}

TEST(TokenizerModel, RefusesOtherModelsAndBrokenFiles) {
  EXPECT_TRUE(has(refusal([] { return read_model(sp_model(1)); }), "unigram"));
  EXPECT_TRUE(has(refusal([] { return read_model(sp_model(2, field(2, "map"))); }), "identity"));
  EXPECT_TRUE(has(refusal([] { return read_model(""); }), "t.model"));
  EXPECT_TRUE(has(refusal([] { return read_model("no tokenizer"); }), "neither"));
  const std::string whole = sp_model();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string text = refusal([&] { return read_model(whole.substr(0, size)); });
    // A cut between two fields leaves a smaller model; without the trainer's word it is unigram.
    EXPECT_TRUE(text == "accepted" || has(text, "t.model")) << size;
  }
  EXPECT_TRUE(has(refusal([] { return read_model("\n\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"); }),
                  "left in the file"));
}

TEST(TokenizerModel, ReadsTiktokenRanks) {
  // 'a' to 'c', "ab": base64 by hand. Printable ASCII is wanted, so all bytes are listed.
  std::string ranks;
  const char* const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int b = 0; b < 256; ++b) {
    ranks += std::string{digits[b >> 2], digits[(b & 3) << 4], '=', '='} + " " + std::to_string(b) +
             "\n";
  }
  ranks += "YWI= 256\n";  // "ab"
  std::string said;
  const TokenizerData data =
      read_tokenizer_model(bytes_of(ranks), {}, "t.model", [&](std::string_view s) { said = s; });
  EXPECT_TRUE(has(said, "257 ranks"));
  EXPECT_EQ(data.pieces.size(), 257u + 256u);
  EXPECT_EQ(data.bos, 257u);
  EXPECT_EQ(data.pieces[257 + 9], "<|eot_id|>");
  EXPECT_EQ(data.end_ids, (Ids{258, 257 + 9}));
  EXPECT_EQ(Tokenizer(data).encode("abc<|eot_id|>"), (Ids{256, 'c', 257 + 9}));

  EXPECT_TRUE(has(refusal([&] { return read_model(ranks + "YWI= 300\n"); }), "rank 300"));
  EXPECT_TRUE(has(refusal([&] { return read_model(ranks + "Y!I= 257\n"); }), "line 258"));
}

// --- GGUF ----------------------------------------------------------------------------------------

class Gguf : public testing::Test {
 protected:
  Gguf() : path_(fs::temp_directory_path() / ("tern-tokenizer-" + std::to_string(random_seed()))) {
    pieces_.clear();
    for (int byte = 0; byte < 256; ++byte) {
      pieces_.push_back(tokenizer::to_printable(std::string(1, static_cast<char>(byte))));
    }
    for (const char* piece : {"ab", "<s>", "<|eot_id|>", "<tool>"}) pieces_.emplace_back(piece);
    types_.assign(pieces_.size(), 1);
    types_[257] = types_[258] = 3;
    types_[259] = 4;
    writer_.set_string("general.architecture", "llama");
    writer_.set_string("tokenizer.ggml.model", "gpt2");
    writer_.set_strings("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
    writer_.set_uint32("tokenizer.ggml.bos_token_id", 257);
  }
  ~Gguf() override { fs::remove(path_); }

  TokenizerData read(std::optional<PreTokenizer> forced = {}) {
    writer_.set_strings("tokenizer.ggml.tokens", pieces_);
    writer_.set_int32s("tokenizer.ggml.token_type", types_);
    writer_.write(path_);
    return read_tokenizer_gguf(formats::GgufFile(path_), forced,
                               [this](std::string_view s) { said_ = s; });
  }

  fs::path path_;
  formats::GgufWriter writer_;
  std::vector<std::string> pieces_;
  std::vector<std::int32_t> types_;
  std::string said_;
};

TEST_F(Gguf, ByteLevel) {
  writer_.set_string("tokenizer.ggml.pre", "llama-bpe");
  const TokenizerData data = read();
  EXPECT_EQ(data.pre, PreTokenizer::kLlama3);
  EXPECT_TRUE(data.ignore_merges);
  EXPECT_TRUE(data.add_bos);
  EXPECT_EQ(data.bos, 257u);
  EXPECT_EQ(data.end_ids, (Ids{258}));
  EXPECT_EQ(Tokenizer(data).encode("ab<|eot_id|><tool>"), (Ids{256, 258, 259}));
  EXPECT_EQ(said_, "");
}

TEST_F(Gguf, WithoutPreTokenizer) {
  EXPECT_EQ(read().pre, PreTokenizer::kDefault);
  EXPECT_TRUE(has(said_, "default"));
}

TEST_F(Gguf, ForcedPreTokenizer) {
  writer_.set_string("tokenizer.ggml.pre", "no such thing");
  writer_.set_bool("tokenizer.ggml.add_bos_token", true);
  const TokenizerData data = read(PreTokenizer::kQwen2);
  EXPECT_EQ(data.pre, PreTokenizer::kQwen2);
  EXPECT_TRUE(data.nfc);
  EXPECT_TRUE(data.add_bos);
}

TEST_F(Gguf, Llama3sVocabularyWithoutPreTokenizer) {
  for (std::size_t i = pieces_.size(); i < 128000; ++i) pieces_.push_back("t" + std::to_string(i));
  pieces_.emplace_back("<|begin_of_text|>");
  types_.resize(pieces_.size(), 1);
  EXPECT_EQ(read().pre, PreTokenizer::kLlama3);
  EXPECT_TRUE(has(said_, "Llama 3"));
}

TEST_F(Gguf, UnknownPreTokenizer) {
  writer_.set_string("tokenizer.ggml.pre", "tekken");
  EXPECT_TRUE(has(refusal([&] { return read(); }), "'tekken'"));
}

TEST_F(Gguf, RoleOutsideTheVocabulary) {
  writer_.set_uint32("tokenizer.ggml.eos_token_id", 260);
  EXPECT_TRUE(has(refusal([&] { return read(); }), "260, outside the vocabulary of 260"));
}

TEST_F(Gguf, CountsDiffer) {
  types_.pop_back();
  EXPECT_TRUE(has(refusal([&] { return read(); }), "259 entries for 260 tokens"));
}

TEST_F(Gguf, TokenTypeUnknown) {
  types_[7] = 9;
  EXPECT_TRUE(has(refusal([&] { return read(); }), "token 7 has type 9"));
}

TEST(GgufNames, AreFoundAndWritten) {
  EXPECT_EQ(pre_tokenizer_by_name("llama3"), PreTokenizer::kLlama3);
  EXPECT_EQ(pre_tokenizer_by_name("gpt2"), std::nullopt);
  for (const auto pre : {PreTokenizer::kDefault, PreTokenizer::kGpt2, PreTokenizer::kLlama3,
                         PreTokenizer::kQwen2, PreTokenizer::kFalcon, PreTokenizer::kFalcon3}) {
    EXPECT_EQ(pre_tokenizer_by_name(gguf_name(pre)), pre);
  }
}

// --- Published vocabularies and vectors, where TERN_TEST_DATA has them
// ----------------------------

struct Published {
  const char* vectors;
  const char* kind;
  const char* path;
};

void PrintTo(const Published& p, std::ostream* out) { *out << p.vectors << " from " << p.path; }

class PublishedVectors : public testing::TestWithParam<Published> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("TERN_TEST_DATA");
    if (folder == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
    folder_ = fs::path(folder) / "tokenizers";
    if (!fs::exists(folder_)) GTEST_SKIP() << folder_ << " is not there";
  }

  TokenizerData load() const {
    const fs::path path = folder_ / GetParam().path;
    const std::string_view kind = GetParam().kind;
    if (kind == "gguf") return read_tokenizer_gguf(formats::GgufFile(path), std::nullopt, {});
    if (kind == "model") {
      const MappedFile file(path);
      return read_tokenizer_model(file.bytes(), {}, path.string(), {});
    }
    const auto json = [&](const char* name) { return parse_json(slurp(path / name), name); };
    if (kind == "pair") {
      return read_vocab_and_merges(json("encoder.json"), slurp(path / "vocab.bpe"), {}, "gpt2", {});
    }
    Json config;
    TokenizerSidecars beside;
    if (fs::exists(path / "tokenizer_config.json")) {
      config = json("tokenizer_config.json");
      beside.tokenizer_config = &config;
    }
    return read_tokenizer_json(json("tokenizer.json"), beside, path.string(), {});
  }

  fs::path folder_;
};

TEST_P(PublishedVectors, AllAgree) {
  const Tokenizer tokenizer(load());
  const std::string stem =
      std::string("llamacpp-vectors/ggml-vocab-") + GetParam().vectors + ".gguf";
  const std::string texts = slurp(folder_ / (stem + ".inp"));
  std::istringstream lines(slurp(folder_ / (stem + ".out")));
  const std::string_view separator = "\n__ggml_vocab_test__\n";
  std::size_t count = 0;
  std::string line;
  for (std::size_t at = 0; std::getline(lines, line); ++count) {
    const std::size_t end = std::min(texts.find(separator, at), texts.size());
    ASSERT_LE(at, texts.size());
    const std::string text = texts.substr(at, end - at);
    at = end + separator.size();
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<std::uint32_t>(numbers), {}};
    const Ids ids = tokenizer.encode(text, false);
    EXPECT_EQ(ids, expected) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
  EXPECT_GE(count, 46u);
}

INSTANTIATE_TEST_SUITE_P(
    TestData, PublishedVectors,
    testing::Values(Published{"llama-bpe", "json", "llama3"},
                    Published{"llama-bpe", "model", "llama3/tokenizer.model"},
                    Published{"llama-spm", "json", "llama2"},
                    Published{"llama-spm", "model", "llama2/tokenizer.model"},
                    Published{"llama-spm", "gguf", "llamacpp-vectors/ggml-vocab-llama-spm.gguf"},
                    Published{"phi-3", "gguf", "llamacpp-vectors/ggml-vocab-phi-3.gguf"},
                    Published{"gpt-2", "gguf", "llamacpp-vectors/ggml-vocab-gpt-2.gguf"},
                    Published{"gpt-2", "pair", "gpt2"},
                    Published{"falcon", "gguf", "llamacpp-vectors/ggml-vocab-falcon.gguf"},
                    Published{"qwen2", "json", "qwen3"},
                    Published{"deepseek-r1-qwen", "json", "qwen3"}));

using Llama2Vectors = PublishedVectors;

TEST_P(Llama2Vectors, AllAgree) {
  const Tokenizer tokenizer(load());
  const Json vectors = parse_json(slurp(folder_ / "llama2/vectors.json"), "vectors.json");
  ASSERT_FALSE(vectors.empty());
  for (const Json& vector : vectors) {
    const auto text = vector["text"].get<std::string>();
    const Ids ids = tokenizer.encode(text);
    EXPECT_EQ(ids, vector["ids"].get<Ids>()) << text;
    if (vector["roundtrip"].get<bool>()) {
      EXPECT_EQ(tokenizer.decode(ids, true), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TestData, Llama2Vectors,
                         testing::Values(Published{"llama-spm", "json", "llama2"},
                                         Published{"llama-spm", "model", "llama2/tokenizer.model"},
                                         Published{"llama-spm", "gguf",
                                                   "llamacpp-vectors/ggml-vocab-llama-spm.gguf"}));

TEST(Merges, FromScoresRanksAndBack) {
  TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.pieces = {"<unk>", "a", "b", "c", "ab", "bc", "abc"};
  data.types.assign(7, TokenType::kNormal);
  data.types[0] = TokenType::kUnknown;
  data.scores = {0, -10, -11, -12, -2, -1, -3};
  // By score: bc, ab, abc; abc is a + bc (ids 1, 5) and ab + c (ids 4, 3).
  const Merges expected{{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"ab", "c"}};
  EXPECT_EQ(merges_of_scores(data), expected);
  EXPECT_EQ(merges_of_ranks(data), (Merges{{"a", "b"}, {"b", "c"}, {"a", "bc"}, {"ab", "c"}}));
  data.merges = expected;
  EXPECT_EQ(scores_of_merges(data), (std::vector<float>{0, -4, -4, -4, -1, 0, -2}));
}

}  // namespace
}  // namespace tern::checkpoint
