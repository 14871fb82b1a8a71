// Round trips of tiny models through every type, what a GGUF must say, and refusals.
#include "tern/convert/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/convert/convert_test_util.h"
#include "tern/formats/gguf.h"
#include "tern/tensor/half.h"

namespace tern::convert {
namespace {

using formats::GgufFile;

// Converts and returns the notices, one per line.
std::string run(const std::filesystem::path& in, const std::filesystem::path& out,
                const ConvertOptions& options = {}) {
  std::string notices;
  ThreadPool pool(2);
  const auto checkpoint = checkpoint::open_checkpoint(in, {});
  convert(*checkpoint, out, options, pool,
          [&](std::string_view sentence) { notices += std::string(sentence) + "\n"; }, {});
  return notices;
}

std::string refusal(const std::filesystem::path& in, const std::filesystem::path& out,
                    const ConvertOptions& options = {}) {
  try {
    run(in, out, options);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

ConvertOptions as(DType type) {
  ConvertOptions options;
  options.type = type;
  return options;
}

// Only what was asked of a test: tensors whose stored bytes, types or shapes differ.
std::string changed(const Stored& before, const Stored& after) {
  std::string names;
  for (const auto& [name, tensor] : before) {
    const auto found = after.find(name);
    if (found == after.end() || !(found->second == tensor)) names += name + " ";
  }
  for (const auto& [name, tensor] : after) {
    if (!before.contains(name)) names += "+" + name + " ";
  }
  return names;
}

class RoundTrip : public testing::TestWithParam<DType> {};

TEST_P(RoundTrip, PackedFolderComesBackByteForByte) {
  const TemporaryFolder tmp;
  const Stored before = make_folder(tmp / "in", Kind::k2B4TPacked);
  EXPECT_EQ(run(tmp / "in", tmp / "m.gguf", as(GetParam())), "");
  run(tmp / "m.gguf", tmp / "out");
  EXPECT_EQ(changed(before, read_stored(tmp / "out")), "");
}

TEST_P(RoundTrip, DividingScalesComeBackWhereTheTypeHoldsThem) {
  const TemporaryFolder tmp;
  const Stored before = make_folder(tmp / "in", Kind::kLlamaPacked);
  const std::string notices = run(tmp / "in", tmp / "m.gguf", as(GetParam()));
  const bool exact =
      GetParam() == DType::kI2S || GetParam() == DType::kIQ2_BN || GetParam() == DType::kF32;
  EXPECT_EQ(notices.find("weight scales were rounded to") == std::string::npos, exact) << notices;
  run(tmp / "m.gguf", tmp / "out");
  const Stored after = read_stored(tmp / "out");
  if (exact) {
    EXPECT_EQ(changed(before, after), "");
  }
  for (const auto& [name, tensor] : before) {
    if (tensor.type != DType::kU8) continue;
    EXPECT_EQ(after.at(name).bytes, tensor.bytes) << name;
  }
}

TEST_P(RoundTrip, ScalesOfTheBitnetArchitectureStayExact) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k1BitLlm);
  EXPECT_EQ(run(tmp / "in", tmp / "m.gguf", as(GetParam())), "");
  EXPECT_EQ(difference(tmp / "in", tmp / "m.gguf"), "");
  run(tmp / "m.gguf", tmp / "out");
  EXPECT_EQ(difference(tmp / "in", tmp / "out"), "");
}

TEST_P(RoundTrip, Qwen3AndGgufToGguf) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::kQwen3Packed);
  run(tmp / "in", tmp / "exact.gguf", as(DType::kI2S));
  EXPECT_EQ(difference(tmp / "in", tmp / "exact.gguf"), "");
  run(tmp / "exact.gguf", tmp / "m.gguf", as(GetParam()));
  run(tmp / "m.gguf", tmp / "again.gguf", as(DType::kI2S));
  EXPECT_EQ(difference(tmp / "m.gguf", tmp / "again.gguf"), "");
}

INSTANTIATE_TEST_SUITE_P(Types, RoundTrip,
                         testing::Values(DType::kTQ1_0, DType::kTQ2_0, DType::kI2S, DType::kIQ2_BN,
                                         DType::kF16, DType::kBF16, DType::kF32),
                         [](const auto& test) { return std::string(dtype_name(test.param)); });

TEST(Convert, LatentWeightsBecomeTernaryOnceAndStayEqual) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TLatent);
  EXPECT_NE(run(tmp / "in", tmp / "t.gguf").find("rounded to F16"), std::string::npos);
  run(tmp / "in", tmp / "m.gguf", as(DType::kI2S));
  run(tmp / "m.gguf", tmp / "out");
  EXPECT_EQ(difference(tmp / "in", tmp / "out"), "");
  const Json config = parse_json(read_text_file(tmp / "out" / "config.json"), "config.json");
  EXPECT_EQ(config["quantization_config"]["linear_class"], "autobitlinear");
  EXPECT_EQ(config["quantization_config"]["quantization_mode"], "offline");
}

TEST(Convert, FullPrecisionStaysAsItIs) {
  const TemporaryFolder tmp;
  const Stored before = make_folder(tmp / "in", Kind::kLlamaFull);
  EXPECT_EQ(run(tmp / "in", tmp / "m.gguf"), "");
  EXPECT_EQ(difference(tmp / "in", tmp / "m.gguf"), "");
  run(tmp / "m.gguf", tmp / "out");
  EXPECT_EQ(changed(before, read_stored(tmp / "out")), "");
  EXPECT_EQ(
      parse_json(read_text_file(tmp / "out" / "config.json"), "").count("quantization_config"), 0u);
}

// GGUF's llama has the rows of q and k interleaved: row 1 of a head of 64 is HF's row 32.
TEST(Convert, RowsOfLlamaAreInterleaved) {
  const TemporaryFolder tmp;
  const Stored before = make_folder(tmp / "in", Kind::kLlamaFull);
  run(tmp / "in", tmp / "m.gguf");
  const GgufFile file(tmp / "m.gguf");
  const auto& hf = before.at("model.layers.1.self_attn.k_proj.weight").bytes;
  const auto bytes = file.tensor("blk.1.attn_k.weight")->bytes;
  const std::size_t row = 256 * 4;
  EXPECT_EQ(std::memcmp(bytes.data() + row, hf.data() + 32 * row, row), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 2 * row, hf.data() + row, row), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 65 * row, hf.data() + 96 * row, row), 0);
  const auto v = file.tensor("blk.1.attn_v.weight")->bytes;
  EXPECT_EQ(std::memcmp(v.data(), before.at("model.layers.1.self_attn.v_proj.weight").bytes.data(),
                        v.size()),
            0);
}

TEST(Convert, ScaleTensorsOnlyInBitnet) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k1BitLlm);
  run(tmp / "in", tmp / "m.gguf");
  const GgufFile file(tmp / "m.gguf");
  ASSERT_NE(file.tensor("blk.0.attn_q.scale"), nullptr);
  EXPECT_EQ(file.tensor("blk.0.attn_q.scale")->shape, std::vector<std::uint64_t>{1});
  const auto weight = file.tensor("blk.0.attn_q.weight");
  EXPECT_EQ(weight->type, DType::kTQ2_0);
  // The block's own scale is 1: 0x3c00 in f16.
  EXPECT_EQ(std::to_integer<int>(weight->bytes[64]), 0x00);
  EXPECT_EQ(std::to_integer<int>(weight->bytes[65]), 0x3c);

  make_folder(tmp / "2b", Kind::k2B4TPacked);
  run(tmp / "2b", tmp / "2b.gguf");
  EXPECT_EQ(GgufFile(tmp / "2b.gguf").tensor("blk.0.attn_q.scale"), nullptr);
}

TEST(Convert, KeysThatEnginesLookFor) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  run(tmp / "in", tmp / "m.gguf");
  const GgufFile file(tmp / "m.gguf");
  const auto text = [&](const char* key) { return std::string(*file.find(key)->as_string()); };
  const auto number = [&](const std::string& key) { return *file.find(key)->as_number(); };
  EXPECT_EQ(text("general.architecture"), "bitnet-b1.58");
  EXPECT_EQ(text("general.name"), "in");
  ConvertOptions called;
  called.name = "bird";
  run(tmp / "in", tmp / "called.gguf", called);
  EXPECT_EQ(*GgufFile(tmp / "called.gguf").find("general.name")->as_string(), "bird");
  EXPECT_EQ(number("general.file_type"), 37);
  EXPECT_EQ(number("general.quantization_version"), 2);
  const std::map<std::string, double> expected{{"vocab_size", 264},
                                               {"context_length", 512},
                                               {"embedding_length", 256},
                                               {"block_count", 2},
                                               {"feed_forward_length", 512},
                                               {"attention.head_count", 4},
                                               {"attention.head_count_kv", 2},
                                               {"attention.key_length", 64},
                                               {"attention.value_length", 64},
                                               {"rope.dimension_count", 64},
                                               {"rope.freq_base", 500000}};
  for (const auto& [key, value] : expected) EXPECT_EQ(number("bitnet-b1.58." + key), value) << key;
  EXPECT_FLOAT_EQ(static_cast<float>(number("bitnet-b1.58.attention.layer_norm_rms_epsilon")),
                  1e-5f);
  EXPECT_EQ(text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(text("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_EQ(text("tokenizer.chat_template"), "{{ messages }}");
  EXPECT_EQ(number("tokenizer.ggml.bos_token_id"), 258);
  EXPECT_EQ(number("tokenizer.ggml.eos_token_id"), 259);
  EXPECT_EQ(file.find("tokenizer.ggml.add_bos_token")->as_bool(), true);
  const auto tokens = *file.find("tokenizer.ggml.tokens")->as_strings();
  ASSERT_EQ(tokens.size(), 264u);
  EXPECT_EQ(tokens[257], "the");
  EXPECT_EQ(tokens[263], "[PAD263]");
  const auto types = *file.find("tokenizer.ggml.token_type")->as_integers();
  EXPECT_EQ(types[257], 1);
  EXPECT_EQ(types[258], 3);
  EXPECT_EQ(types[263], 5);
  EXPECT_EQ(*file.find("tokenizer.ggml.merges")->as_strings(),
            (std::vector<std::string_view>{"t h", "th e"}));
  EXPECT_EQ(file.tensor("output.weight"), nullptr);
  EXPECT_EQ(file.tensor("blk.0.attn_norm.weight")->type, DType::kF32);
}

// Factors of Llama 3.1 for theta 500000 and heads of 64, computed with NumPy.
TEST(Convert, RopeFactorsOfLlama3ThereAndBack) {
  const TemporaryFolder tmp;
  TinyShape shape;
  shape.llama3_rope = true;
  make_folder(tmp / "in", Kind::kLlamaFull, shape);
  run(tmp / "in", tmp / "m.gguf");
  const GgufFile file(tmp / "m.gguf");
  const TensorView* factors = file.tensor("rope_freqs.weight");
  ASSERT_NE(factors, nullptr);
  ASSERT_EQ(factors->shape, std::vector<std::uint64_t>{32});
  std::vector<float> values(32);
  std::memcpy(values.data(), factors->bytes.data(), 128);
  const std::map<std::size_t, float> expected{{0, 1.0f},
                                              {14, 1.0f},
                                              {15, 1.5534145832061768f},
                                              {16, 2.6945297718048096f},
                                              {17, 5.257326602935791f},
                                              {18, 8.0f},
                                              {31, 8.0f}};
  for (const auto& [i, value] : expected) EXPECT_FLOAT_EQ(values[i], value) << i;
  run(tmp / "m.gguf", tmp / "out");
  const Json config = parse_json(read_text_file(tmp / "out" / "config.json"), "config.json");
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["rope_scaling"]["factor"], 8.0);
  EXPECT_EQ(config["rope_scaling"]["original_max_position_embeddings"], 8192);
}

TEST(Convert, RowsThatDoNotFitBecomeF16) {
  const TemporaryFolder tmp;
  TinyShape shape;
  shape.hidden = 192;
  shape.ffn = 320;
  make_folder(tmp / "in", Kind::k2B4TPacked, shape);
  for (const DType type : {DType::kTQ2_0, DType::kI2S}) {
    const std::string notices = run(tmp / "in", tmp / "m.gguf", as(type));
    EXPECT_NE(notices.find("14 matrices have rows of 192 and 320 weights"), std::string::npos)
        << notices;
    const GgufFile file(tmp / "m.gguf");
    EXPECT_EQ(file.tensor("blk.0.ffn_down.weight")->type, DType::kF16);
    EXPECT_EQ(difference(tmp / "in", tmp / "m.gguf"), "");
  }
  EXPECT_EQ(run(tmp / "in", tmp / "m.gguf", as(DType::kIQ2_BN)), "");
  EXPECT_EQ(difference(tmp / "in", tmp / "m.gguf"), "");

  make_folder(tmp / "1bit", Kind::k1BitLlm, shape);
  run(tmp / "1bit", tmp / "1bit.gguf");
  EXPECT_EQ(difference(tmp / "1bit", tmp / "1bit.gguf"), "");
}

TEST(Convert, EmbeddingTypes) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  for (const DType type : {DType::kF16, DType::kBF16, DType::kF32, DType::kQ8_0, DType::kQ6_K}) {
    ConvertOptions options;
    options.embedding_type = type;
    run(tmp / "in", tmp / "m.gguf", options);
    EXPECT_EQ(GgufFile(tmp / "m.gguf").tensor("token_embd.weight")->type, type);
  }
}

TEST(Convert, RowScales) {
  const TemporaryFolder tmp;
  TinyShape shape;
  shape.row_scales = true;
  const Stored before = make_folder(tmp / "in", Kind::k2B4TPacked, shape);
  for (const DType type : {DType::kIQ2_BN, DType::kTQ1_0}) {
    run(tmp / "in", tmp / "m.gguf", as(type));
    std::filesystem::remove_all(tmp / "out");
    run(tmp / "m.gguf", tmp / "out");
    EXPECT_EQ(changed(before, read_stored(tmp / "out")), "");
  }
  EXPECT_NE(
      refusal(tmp / "in", tmp / "i2s.gguf", as(DType::kI2S)).find("cannot be written as I2_S"),
      std::string::npos);
}

TEST(Convert, TokenizerOfAGgufBecomesATokenizerJson) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  run(tmp / "in", tmp / "m.gguf");
  run(tmp / "m.gguf", tmp / "out");
  const Json json = parse_json(read_text_file(tmp / "out" / "tokenizer.json"), "tokenizer.json");
  EXPECT_EQ(json["model"]["vocab"].size(), 260u);  // Without the padding.
  EXPECT_EQ(json["model"]["vocab"]["the"], 257);
  EXPECT_EQ(json["model"]["merges"], Json::array({"t h", "th e"}));
  EXPECT_EQ(json["added_tokens"][0]["content"], "<s>");
  EXPECT_EQ(json["added_tokens"][0]["special"], true);
  EXPECT_EQ(json["pre_tokenizer"]["type"], "ByteLevel");
  const Json config =
      parse_json(read_text_file(tmp / "out" / "tokenizer_config.json"), "tokenizer_config.json");
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_EQ(config["bos_token"], "<s>");
}

TEST(Convert, FolderToFolderKeepsTheRestOfConfigJson) {
  const TemporaryFolder tmp;
  const Stored before = make_folder(tmp / "in", Kind::kLlamaPacked);
  run(tmp / "in", tmp / "out");
  EXPECT_EQ(changed(before, read_stored(tmp / "out")), "");
  const Json config = parse_json(read_text_file(tmp / "out" / "config.json"), "config.json");
  EXPECT_EQ(config["made_by"], "a test");
  EXPECT_EQ(config["quantization_config"]["linear_class"], "bitlinear");
  EXPECT_EQ(read_text_file(tmp / "in" / "tokenizer.json"),
            read_text_file(tmp / "out" / "tokenizer.json"));
  ConvertOptions multiply;
  multiply.linear_class = LinearClass::kAutoBitLinear;
  run(tmp / "in", tmp / "multiply", multiply);
  EXPECT_EQ(difference(tmp / "in", tmp / "multiply"), "");
}

TEST(Convert, MetadataOfAGgufIsCarriedOver) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  run(tmp / "in", tmp / "a.gguf");
  const GgufFile a(tmp / "a.gguf");
  formats::GgufWriter writer;
  for (const auto& [key, value] : a.metadata()) writer.set_raw(std::string(key), value);
  writer.set_string("general.license", "mit");
  writer.set_string("tokenizer.ggml.note", "kept");
  for (const TensorView& t : a.tensors()) {
    writer.add_tensor(t.name, t.type, t.shape,
                      [&t] { return std::vector<std::byte>(t.bytes.begin(), t.bytes.end()); });
  }
  writer.write(tmp / "b.gguf");
  run(tmp / "b.gguf", tmp / "c.gguf", as(DType::kI2S));
  const GgufFile c(tmp / "c.gguf");
  EXPECT_EQ(c.find("general.license")->as_string(), "mit");
  EXPECT_EQ(c.find("tokenizer.ggml.note")->as_string(), "kept");
  EXPECT_EQ(c.find("general.file_type")->as_uint(), 40u);
  EXPECT_EQ(c.find("tokenizer.ggml.tokens")->count, 264u);
}

// Block 3's scale of one matrix made another: groups, which a folder cannot hold.
TEST(Refusal, GroupScalesInAFolder) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  run(tmp / "in", tmp / "m.gguf");
  std::string bytes = read_text_file(tmp / "m.gguf");
  {
    const GgufFile file(tmp / "m.gguf");
    const auto weight = file.tensor("blk.0.ffn_down.weight")->bytes;
    const auto at = bytes.find(std::string(reinterpret_cast<const char*>(weight.data()), 66));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 3 * 66 + 64] = 0;
    bytes[at + 3 * 66 + 65] = 0x3c;
  }
  std::ofstream(tmp / "g.gguf", std::ios::binary) << bytes;
  EXPECT_NE(refusal(tmp / "g.gguf", tmp / "out").find("one scale for every 256 columns"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(tmp / "out"));
}

TEST(Refusal, LeavesNothingBehind) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::kLlamaFull);
  EXPECT_NE(refusal(tmp / "in", tmp / "m.gguf", as(DType::kTQ2_0)).find("full-precision"),
            std::string::npos);
  EXPECT_NE(refusal(tmp / "in", tmp / "m.gguf", as(DType::kQ4_0)).find("expected one of"),
            std::string::npos);
  EXPECT_NE(refusal(tmp / "in", tmp / "no" / "folder" / "m.gguf"), "");
  EXPECT_NE(refusal(tmp / "in", tmp / "no" / "folder" / "out"), "");
  EXPECT_NE(refusal(tmp / "in", tmp / "in").find("expected another name"), std::string::npos);
  ConvertOptions both;
  both.linear_class = LinearClass::kBitLinear;
  EXPECT_NE(refusal(tmp / "in", tmp / "m.gguf", both), "");
  EXPECT_NE(refusal(tmp / "in", tmp / "out", both), "");
  EXPECT_NE(refusal(tmp / "in", tmp / "out", as(DType::kTQ2_0)), "");
  EXPECT_EQ(tmp.entries(), 1u);  // Only "in".
  std::filesystem::create_directories(tmp / "full" / "x");
  EXPECT_NE(refusal(tmp / "in", tmp / "full"), "");
}

// An activation that GGUF's readers would take for another.
TEST(Refusal, ActivationThatGgufCannotSay) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  Json config = parse_json(read_text_file(tmp / "in" / "config.json"), "");
  config["hidden_act"] = "silu";
  std::ofstream(tmp / "in" / "config.json") << dump_json(config);
  EXPECT_NE(refusal(tmp / "in", tmp / "m.gguf").find("gate activation is silu"), std::string::npos);
  EXPECT_EQ(tmp.entries(), 1u);
}

}  // namespace
}  // namespace tern::convert
