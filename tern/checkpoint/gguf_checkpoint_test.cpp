// GGUF files: keys, row order, scales, tied heads, and what is refused.
#include <gtest/gtest.h>

#include "tern/arch/architecture.h"
#include "tern/checkpoint/checkpoint_test_util.h"

namespace tern::checkpoint {
namespace {

using namespace test;
using arch::ArchitectureId;
using arch::TensorRole;

std::vector<float> first_column(const Matrix& matrix) {
  std::vector<float> column;
  for (std::size_t r = 0; r < matrix_rows(matrix); ++r) column.push_back(row_of(matrix, r)[0]);
  return column;
}

// A matrix whose row r is all `values[r]`.
TestTensor rows_of(const std::vector<float>& values, std::uint64_t cols) {
  std::vector<float> all;
  for (const float value : values) all.insert(all.end(), cols, value);
  return floats({values.size(), cols}, all);
}

// The converter's permutation, as published: reshape(heads, 2, head_dim / 2), swap the middle axes.
// For heads of 4: HF rows a b c d stand in the file as a c b d.
TEST(GgufCheckpoint, LlamaRowsComeBackToRotateHalf) {
  GgufModel model = gguf_model("llama");
  model.tensors["blk.0.attn_q.weight"] = rows_of({1, 2, 3, 4, 5, 6, 7, 8}, 8);
  model.tensors["blk.0.attn_k.weight"] = rows_of({1, 2, 3, 4}, 8);
  model.tensors["blk.0.attn_v.weight"] = rows_of({1, 2, 3, 4}, 8);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    model.tensors[layer + "attn_q.bias"] = floats({8}, {1, 2, 3, 4, 5, 6, 7, 8});
    model.tensors[layer + "attn_k.bias"] = floats({4}, {1, 2, 3, 4});
    model.tensors[layer + "attn_v.bias"] = floats({4}, {1, 2, 3, 4});
  }
  const TempFolder temp;
  ThreadPool pool(2);
  const auto checkpoint = open_model(model, temp);
  EXPECT_EQ(checkpoint->config().arch, ArchitectureId::kLlama);
  EXPECT_TRUE(checkpoint->config().tied_head);
  EXPECT_TRUE(checkpoint->config().qkv_bias);
  EXPECT_FALSE(checkpoint->config().o_bias);
  EXPECT_EQ(first_column(checkpoint->matrix(TensorRole::kQ, 0, pool)),
            (std::vector<float>{1, 3, 2, 4, 5, 7, 6, 8}));
  EXPECT_EQ(first_column(checkpoint->matrix(TensorRole::kK, 0, pool)),
            (std::vector<float>{1, 3, 2, 4}));
  EXPECT_EQ(first_column(checkpoint->matrix(TensorRole::kV, 0, pool)),
            (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(checkpoint->vector(TensorRole::kQBias, 0),
            (std::vector<float>{1, 3, 2, 4, 5, 7, 6, 8}));
  EXPECT_EQ(checkpoint->vector(TensorRole::kVBias, 1), (std::vector<float>{1, 2, 3, 4}));
}

TEST(GgufCheckpoint, OtherArchitecturesKeepTheirRows) {
  GgufModel model = gguf_model("qwen3");
  model.tensors["blk.0.attn_q.weight"] = rows_of({1, 2, 3, 4, 5, 6, 7, 8}, 8);
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  EXPECT_TRUE(checkpoint->config().qk_norm);
  EXPECT_EQ(first_column(checkpoint->matrix(TensorRole::kQ, 0, pool)),
            (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(GgufCheckpoint, TernaryRowsArePermutedWithTheirScales) {
  // IQ2_BN: per row an f32 scale, then 16 bytes per 64 weights; code 2 (+1) everywhere is 0xaa.
  GgufModel model = gguf_model("llama");
  model.numbers["embedding_length"] = 64;
  model.numbers["feed_forward_length"] = 64;
  const auto matrix = [](std::uint64_t rows) {
    std::vector<std::byte> bytes;
    for (std::uint64_t r = 0; r < rows; ++r) {
      const auto scale = bytes_of(std::vector<float>{static_cast<float>(r + 1)});
      bytes.insert(bytes.end(), scale.begin(), scale.end());
      bytes.insert(bytes.end(), 16, std::byte{0xaa});
    }
    return TestTensor{DType::kIQ2_BN, {rows, 64}, bytes};
  };
  for (auto& [name, tensor] : model.tensors) {
    if (name.find("norm") != std::string::npos) tensor = counted({64});
    if (name.find("token_embd") != std::string::npos) tensor = counted({6, 64});
  }
  model.numbers["attention.head_count"] = 16;
  model.numbers["attention.head_count_kv"] = 1;
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      model.tensors[layer + name + ".weight"] = matrix(64);
    }
    model.tensors[layer + "attn_k.weight"] = matrix(4);
    model.tensors[layer + "attn_v.weight"] = matrix(4);
  }
  const TempFolder temp;
  ThreadPool pool(2);
  const auto checkpoint = open_model(model, temp);
  const Matrix k = checkpoint->matrix(TensorRole::kK, 0, pool);
  EXPECT_EQ(std::get<TernaryMatrix>(k).scale_kind(), ScaleKind::kRow);
  EXPECT_EQ(first_column(k), (std::vector<float>{1, 3, 2, 4}));
  EXPECT_EQ(first_column(checkpoint->matrix(TensorRole::kV, 0, pool)),
            (std::vector<float>{1, 2, 3, 4}));
  EXPECT_FALSE(checkpoint->config().declares_b158);
}

TEST(GgufCheckpoint, ScaleTensorsOfBitnetMultiply) {
  GgufModel model = gguf_model("bitnet");
  for (auto& [name, tensor] : model.tensors) {
    if (name.find("blk.") == 0 && tensor.shape.size() == 2) {
      tensor = floats(tensor.shape, std::vector<float>(tensor.bytes.size() / 4, -1));
    }
  }
  model.tensors["blk.0.ffn_up.scale"] = floats({1}, {0.375f});
  model.tensors["output.weight"] = counted({6, 8}, 50);  // Never looked for.
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  EXPECT_EQ(checkpoint->config().arch, ArchitectureId::kBitnet);
  EXPECT_EQ(checkpoint->config().activation, arch::GateActivation::kSilu);
  EXPECT_TRUE(checkpoint->config().declares_b158);
  EXPECT_TRUE(checkpoint->config().tied_head);
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kUp, 0, pool), 9)[7], -0.375f);
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kUp, 1, pool), 9)[7], -1);
  model.tensors["blk.0.ffn_up.scale"] = floats({1}, {std::numeric_limits<float>::quiet_NaN()});
  expect_parts(refusal(model), {"model.gguf", "blk.0.ffn_up.scale", "nan", "finite"});
  model.tensors["blk.0.ffn_up.scale"] = floats({2}, {1, 1});
  expect_parts(refusal(model), {"blk.0.ffn_up.scale", "shape 2", "one number"});
  GgufModel other = gguf_model("bitnet-b1.58");
  other.tensors["blk.0.ffn_up.scale"] = floats({1}, {1});
  expect_parts(refusal(other), {"unknown tensor 'blk.0.ffn_up.scale'"});
}

TEST(GgufCheckpoint, LatentWeightsOfABitnetAreQuantised) {
  for (const std::string name : {"bitnet-b1.58", "bitnet-25"}) {
    GgufModel model = gguf_model(name);
    std::vector<float> w(32, 0);
    w[0] = 20;
    w[8] = -11.5f;
    w[9] = 0.5f;  // Sum 32, mean 1.
    model.tensors["blk.1.attn_k.weight"] = floats({4, 8}, w);
    const TempFolder temp;
    ThreadPool pool(1);
    const auto checkpoint = open_model(model, temp);
    EXPECT_EQ(checkpoint->config().arch, ArchitectureId::kBitnetB158);
    EXPECT_EQ(checkpoint->config().activation, arch::GateActivation::kReluSquared);
    const Matrix k = checkpoint->matrix(TensorRole::kK, 1, pool);
    EXPECT_EQ(std::get<TernaryMatrix>(k).scales()[0], 1);
    EXPECT_EQ(row_of(k, 0)[0], 1);
    EXPECT_EQ(row_of(k, 1), (std::vector<float>{-1, 0, 0, 0, 0, 0, 0, 0}));
  }
}

TEST(GgufCheckpoint, TheKeyOfActivationsOverrulesTheArchitecture) {
  GgufModel model = gguf_model("bitnet-b1.58");
  const auto say = [&model](const char* word) {
    model.more = [word](formats::GgufWriter& out) { out.set_string("tern.activations", word); };
  };
  ThreadPool pool(1);
  say("float");
  {
    const TempFolder temp;
    const auto checkpoint = open_model(model, temp);
    EXPECT_TRUE(checkpoint->config().declares_float);
    EXPECT_FALSE(checkpoint->config().declares_b158);
    EXPECT_EQ(checkpoint->config().activation_rule_source, "key tern.activations");
    EXPECT_TRUE(std::holds_alternative<DenseMatrix>(checkpoint->matrix(TensorRole::kK, 1, pool)));
  }
  GgufModel scaled = gguf_model("bitnet");
  scaled.tensors["blk.0.ffn_up.scale"] = floats({1}, {0.375f});
  scaled.more = model.more;
  expect_parts(refusal(scaled), {"model.gguf", "blk.0.ffn_up.weight", "ternary", "floats"});
  say("column");
  expect_parts(refusal(model), {"'tern.activations'", "'column'", "'token' or 'float'"});
  model = gguf_model("llama");
  say("token");
  const TempFolder temp;
  const auto checkpoint = open_model(model, temp);
  EXPECT_TRUE(checkpoint->config().declares_b158);
  EXPECT_EQ(arch::activation_rule(checkpoint->config(), ScaleKind::kGroup),
            arch::ActivationRule::kPerToken);
}

TEST(GgufCheckpoint, NumbersThatAreNotFiniteAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, std::numeric_limits<float>::infinity()}) {
    for (const auto& [name, role] : {std::pair{"token_embd.weight", TensorRole::kEmbedding},
                                     std::pair{"blk.0.attn_q.weight", TensorRole::kQ}}) {
      GgufModel model = gguf_model("llama");
      const std::vector<std::uint64_t> shape = model.tensors[name].shape;
      std::vector<float> values(shape[0] * shape[1], 0.5f);
      values[3 * shape[1] + 2] = values[5 * shape[1]] = bad;
      model.tensors[name] = floats(shape, values);
      const TempFolder temp;
      ThreadPool pool(2);
      const auto checkpoint = open_model(model, temp);
      try {
        checkpoint->matrix(role, 0, pool);
        ADD_FAILURE() << name << " with " << bad << " was read";
      } catch (const Error& e) {
        expect_parts(e.what(), {"model.gguf", name, "NaN or infinity in row 3", "finite"});
      }
    }
  }
}

TEST(GgufCheckpoint, AHeadThatIsTheEmbeddingTwiceIsTied) {
  GgufModel model = gguf_model("bitnet-b1.58");
  model.tensors["output.weight"] = model.tensors["token_embd.weight"];
  {
    const TempFolder temp;
    EXPECT_TRUE(open_model(model, temp)->config().tied_head);
  }
  model.tensors["output.weight"] = counted({6, 8}, 50);
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  EXPECT_FALSE(checkpoint->config().tied_head);
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kHead, 0, pool), 0)[0], 50);
}

TEST(GgufCheckpoint, RopeKeys) {
  GgufModel model = gguf_model("llama");
  const auto open_with = [&](std::function<void(formats::GgufWriter&)> more) {
    model.more = std::move(more);
    const TempFolder temp;
    return open_model(model, temp)->config();
  };
  using formats::GgufWriter;
  EXPECT_EQ(open_with([](GgufWriter&) {}).rope_theta, 10000);
  EXPECT_EQ(
      open_with([](GgufWriter& w) { w.set_float32("llama.rope.freq_base", 500000); }).rope_theta,
      500000);
  EXPECT_EQ(open_with([](GgufWriter& w) {
              w.set_string("llama.rope.scaling.type", "linear");
              w.set_float32("llama.rope.scaling.factor", 4);
            }).rope_linear_factor,
            4);
  EXPECT_EQ(open_with([](GgufWriter& w) {
              w.set_string("llama.rope.scaling.type", "none");
              w.set_float32("llama.rope.scaling.factor", 4);
            }).rope_linear_factor,
            1);
  model.tensors["rope_freqs.weight"] = floats({2}, {1, 8});
  EXPECT_EQ(open_with({}).rope_factors, (std::vector<float>{1, 8}));
  model.tensors["rope_freqs.weight"] = floats({3}, {1, 8, 8});
  expect_parts(refusal(model), {"model.gguf", "RoPE frequency factors", "3"});
  model.tensors.erase("rope_freqs.weight");
  model.more = [](GgufWriter& w) { w.set_string("llama.rope.scaling.type", "yarn"); };
  expect_parts(refusal(model), {"model.gguf", "llama.rope.scaling.type", "'yarn'", "linear"});
  model.more = [](GgufWriter& w) { w.set_uint32("llama.rope.dimension_count", 2); };
  expect_parts(refusal(model), {"llama.rope.dimension_count", "2", "4"});
}

TEST(GgufCheckpoint, KeysThatChangeTheFunction) {
  GgufModel model = gguf_model("llama");
  using formats::GgufWriter;
  model.more = [](GgufWriter& w) { w.set_uint32("llama.expert_count", 8); };
  expect_parts(refusal(model), {"model.gguf", "llama.expert_count", "8", "expected 0"});
  model.more = [](GgufWriter& w) { w.set_uint32("llama.attention.sliding_window", 4096); };
  expect_parts(refusal(model), {"llama.attention.sliding_window", "4096"});
  model.more = [](GgufWriter& w) { w.set_bool("llama.attention.causal", false); };
  expect_parts(refusal(model), {"llama.attention.causal", "false", "true"});
  model.more = [](GgufWriter& w) {
    w.set_uint32("llama.expert_count", 0);
    w.set_uint32("llama.something_new", 3);
  };
  std::string told;
  OpenOptions options;
  options.notice = [&](std::string_view sentence) { told += sentence; };
  const TempFolder temp;
  open_model(model, temp, options);
  expect_parts(told, {"llama.something_new", "ignored"});
}

TEST(GgufCheckpoint, RefusesBrokenFiles) {
  const GgufModel good = gguf_model("llama");
  ASSERT_EQ(refusal(good), "");
  const auto with = [&](auto spoil) {
    GgufModel bad = good;
    spoil(bad);
    return refusal(bad);
  };
  expect_parts(with([](GgufModel& m) { m.arch = "gpt2"; }),
               {"model.gguf", "'gpt2'", "bitnet-b1.58, bitnet-25, bitnet, llama, qwen3"});
  expect_parts(with([](GgufModel& m) { m.tensors.erase("blk.1.ffn_up.weight"); }),
               {"model.gguf", "'blk.1.ffn_up.weight' is missing", "10x8"});
  expect_parts(with([](GgufModel& m) { m.tensors["blk.1.ffn_up.weight"] = counted({8, 10}); }),
               {"model.gguf", "blk.1.ffn_up.weight", "8x10", "expected 10x8"});
  expect_parts(with([](GgufModel& m) { m.tensors["blk.0.extra.weight"] = counted({8}); }),
               {"model.gguf", "unknown tensor 'blk.0.extra.weight'"});
  expect_parts(with([](GgufModel& m) { m.numbers["vocab_size"] = 7; }),
               {"token_embd.weight", "6x8", "expected 7x8"});
  expect_parts(with([](GgufModel& m) { m.numbers["block_count"] = 3; }),
               {"'blk.2.attn_norm.weight' is missing"});
  expect_parts(with([](GgufModel& m) { m.numbers["block_count"] = 1; }),
               {"unknown tensor", "blk.1"});
  expect_parts(with([](GgufModel& m) { m.numbers["embedding_length"] = 0; }), {"model.gguf", "0"});
  expect_parts(with([](GgufModel& m) { m.numbers.erase("feed_forward_length"); }),
               {"model.gguf", "llama.feed_forward_length", "missing"});
  expect_parts(with([](GgufModel& m) { m.numbers["attention.value_length"] = 6; }),
               {"attention.value_length", "6", "4"});
  expect_parts(
      with([](GgufModel& m) {
        m.more = [](formats::GgufWriter& w) {
          w.set_string("tokenizer.ggml.model", "llama");
          const std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "a", "b", "c", "d"};
          w.set_strings("tokenizer.ggml.tokens", tokens);
          w.set_floats("tokenizer.ggml.scores", std::vector<float>(7, 0));
          w.set_int32s("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 1, 1, 1, 1});
        };
      }),
      {"model.gguf", "7 pieces", "6 rows"});
}

TEST(GgufCheckpoint, I2SIsReadAsX86AndSaysSoOnce) {
  // Three rows are not needed: one matrix of I2_S among floats is enough to be told.
  GgufModel model = gguf_model("llama");
  model.numbers["embedding_length"] = 128;
  model.numbers["feed_forward_length"] = 128;
  model.numbers["attention.head_count"] = 32;
  for (auto& [name, tensor] : model.tensors) {
    for (std::uint64_t& size : tensor.shape) {
      if (size == 8 || size == 10) size = 128;
    }
    tensor = counted(tensor.shape);
  }
  // 4 x 128: codes 2 2 2 2 (0xaa), then the scale and padding to 32 bytes.
  std::vector<std::byte> bytes(4 * 32, std::byte{0xaa});
  const auto scale = bytes_of(std::vector<float>{0.25f});
  bytes.insert(bytes.end(), scale.begin(), scale.end());
  bytes.resize(4 * 32 + 32);
  model.tensors["blk.0.attn_v.weight"] = {DType::kI2S, {4, 128}, bytes};
  model.tensors["blk.1.attn_v.weight"] = {DType::kI2S, {4, 128}, bytes};
  int notices = 0;
  OpenOptions options;
  options.notice = [&](std::string_view sentence) {
    ++notices;
    EXPECT_NE(sentence.find("I2_S"), std::string_view::npos) << sentence;
    EXPECT_NE(sentence.find("x86"), std::string_view::npos) << sentence;
  };
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp, options);
  EXPECT_EQ(notices, 1);
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kV, 1, pool), 3)[127], 0.25f);
}

}  // namespace
}  // namespace tern::checkpoint
