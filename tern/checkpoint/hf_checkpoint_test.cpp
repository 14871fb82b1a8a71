// HF folders: every kind of storage, tied heads, and what is refused.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tern/arch/architecture.h"
#include "tern/checkpoint/checkpoint_test_util.h"

namespace tern::checkpoint {
namespace {

using namespace test;
using arch::ArchitectureId;
using arch::TensorRole;

const TernaryMatrix& ternary(const Matrix& matrix) { return std::get<TernaryMatrix>(matrix); }
bool is_dense_matrix(const Matrix& m) { return std::holds_alternative<DenseMatrix>(m); }

TEST(HfCheckpoint, FullPrecisionLlamaIsViewedAndNotCopied) {
  const TempFolder temp;
  ThreadPool pool(2);
  const auto checkpoint = open_model(llama_model(), temp);
  const arch::ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.arch, ArchitectureId::kLlama);
  EXPECT_EQ(config.hidden, 8u);
  EXPECT_EQ(config.ffn, 10u);
  EXPECT_EQ(config.head_dim, 4u);
  EXPECT_EQ(config.kv_heads, 1u);
  EXPECT_EQ(config.context, 32u);
  EXPECT_FALSE(config.declares_b158);
  EXPECT_FALSE(config.tied_head);
  EXPECT_FALSE(config.sub_norms);
  const Matrix k = checkpoint->matrix(TensorRole::kK, 1, pool);
  ASSERT_TRUE(is_dense_matrix(k));
  EXPECT_EQ(std::get<DenseMatrix>(k).owned.size(), 0u);
  EXPECT_EQ(row_of(k, 3), (std::vector<float>{2024, 2025, 2026, 2027, 2028, 2029, 2030, 2031}));
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kHead, 0, pool), 0)[0], 100);
  EXPECT_EQ(checkpoint->vector(TensorRole::kOutputNorm, 0)[7], 207);
  EXPECT_TRUE(checkpoint->vector(TensorRole::kAttnSubNorm, 0).empty());
  EXPECT_EQ(checkpoint->tensors().size(), 3u + 2 * 9);
  EXPECT_FALSE(checkpoint->tokenizer());
  EXPECT_THROW(checkpoint->matrix(TensorRole::kQ, 2, pool), Error);
}

TEST(HfCheckpoint, PackedWeightsOf2B4TMultiplyByTheirScale) {
  const TempFolder temp;
  ThreadPool pool(2);
  const auto checkpoint = open_model(packed_2b4t(), temp);
  const arch::ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.arch, ArchitectureId::kBitnetB158);
  EXPECT_EQ(config.activation, arch::GateActivation::kReluSquared);
  EXPECT_EQ(config.activation_source, "config.json: hidden_act");
  EXPECT_TRUE(config.declares_b158);
  EXPECT_TRUE(config.sub_norms);
  // 0x86 = 10 00 01 10: row blocks 0..3 hold codes 2, 1, 0, 2, which are +1, 0, -1, +1.
  const Matrix k = checkpoint->matrix(TensorRole::kK, 0, pool);  // 4 rows: one per block.
  EXPECT_EQ(row_of(k, 0), std::vector<float>(8, 0.5f));
  EXPECT_EQ(row_of(k, 1), std::vector<float>(8, 0.0f));
  EXPECT_EQ(row_of(k, 2), std::vector<float>(8, -0.5f));
  EXPECT_EQ(row_of(k, 3), std::vector<float>(8, 0.5f));
  // 10 rows in blocks of 3: rows 0-2 +1, 3-5 0, 6-8 -1, 9 +1; the last two codes are padding.
  const Matrix gate = checkpoint->matrix(TensorRole::kGate, 1, pool);
  ASSERT_EQ(matrix_rows(gate), 10u);
  EXPECT_EQ(row_of(gate, 2)[0], 0.5f);
  EXPECT_EQ(row_of(gate, 3)[0], 0.0f);
  EXPECT_EQ(row_of(gate, 8)[0], -0.5f);
  EXPECT_EQ(row_of(gate, 9)[7], 0.5f);
  EXPECT_TRUE(is_dense_matrix(checkpoint->matrix(TensorRole::kEmbedding, 0, pool)));
  EXPECT_EQ(checkpoint->vector(TensorRole::kFfnSubNorm, 1)[9], 16);
  for (const TensorInfo& info : checkpoint->tensors()) {
    if (info.role != TensorRole::kGate) continue;
    EXPECT_EQ(info.type, "packed uint8 (multiply)");
    EXPECT_EQ(info.shape, (std::vector<std::uint64_t>{10, 8}));
    EXPECT_EQ(info.bytes, 3u * 8 + 2);
  }
}

TEST(HfCheckpoint, BitlinearDividesByItsScale) {
  HfModel model = llama_model();
  pack(model, 3.0f);
  model.config["quantization_config"] = {{"quant_method", "bitnet"},
                                         {"modules_to_not_convert", {"lm_head"}}};
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  EXPECT_TRUE(checkpoint->config().declares_b158);
  EXPECT_EQ(checkpoint->config().activation_rule_source, "config.json: quantization_config");
  const Matrix q = checkpoint->matrix(TensorRole::kQ, 0, pool);
  EXPECT_EQ(ternary(q).scales()[0], 1.0f / 3.0f);
  EXPECT_EQ(row_of(q, 5)[0], -1.0f / 3.0f);  // 8 rows in blocks of 2: row 5 is in block 2.
  EXPECT_TRUE(is_dense_matrix(checkpoint->matrix(TensorRole::kHead, 0, pool)));
}

TEST(HfCheckpoint, ScalesPerRowAndAsScalar) {
  HfModel model = packed_2b4t();
  const std::string k = "model.layers.0.self_attn.k_proj.weight_scale";
  model.tensors[k] = floats({4}, {1, 2, 3, 4});
  model.tensors["model.layers.1.self_attn.k_proj.weight_scale"] = floats({}, {8});
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  const Matrix rows = checkpoint->matrix(TensorRole::kK, 0, pool);
  EXPECT_EQ(ternary(rows).scale_kind(), ScaleKind::kRow);
  EXPECT_EQ(row_of(rows, 0)[0], 1);
  EXPECT_EQ(row_of(rows, 2)[0], -3);
  EXPECT_EQ(row_of(rows, 3)[0], 4);
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kK, 1, pool), 3)[0], 8);
}

// Mean of magnitudes of {4, -1, 0, 1, ...}: worked out by hand below.
TEST(HfCheckpoint, LatentWeightsAreQuantisedByTheirMean) {
  HfModel model = packed_2b4t();
  model.config["quantization_config"]["quantization_mode"] = "online";
  for (int layer = 0; layer < 2; ++layer) {
    for (const std::string& linear : linear_names()) {
      const std::string name = "model.layers." + std::to_string(layer) + "." + linear + ".weight";
      model.tensors.erase(name + "_scale");
      model.tensors[name] = llama_model().tensors[name];
    }
  }
  // 32 weights, sum of magnitudes 4 + 1 + 0.5 + 26.5 = 32, so the mean is 1: 0.5 rounds to even, 0.
  std::vector<float> w(32, 0);
  w[0] = 4;
  w[1] = -1;
  w[2] = 0.5f;
  w[31] = -26.5f;
  model.tensors["model.layers.0.self_attn.k_proj.weight"] = floats({4, 8}, w);
  const TempFolder temp;
  ThreadPool pool(2);
  const auto checkpoint = open_model(model, temp);
  const Matrix k = checkpoint->matrix(TensorRole::kK, 0, pool);
  EXPECT_EQ(ternary(k).scales()[0], 1.0f);
  EXPECT_EQ(row_of(k, 0), (std::vector<float>{1, -1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row_of(k, 3), (std::vector<float>{0, 0, 0, 0, 0, 0, 0, -1}));
  EXPECT_TRUE(is_dense_matrix(checkpoint->matrix(TensorRole::kEmbedding, 0, pool)));
  EXPECT_EQ(checkpoint->tensors().back().type.find("packed"), std::string::npos);
}

// What holds only {-s, 0, +s} keeps s; the mean would be s / 4 here.
TEST(HfCheckpoint, ExactlyTernaryFloatsAreNotQuantisedAgain) {
  std::vector<float> w(32, 0);
  for (std::size_t i = 0; i < 8; ++i) w[i] = i % 2 == 0 ? 0.75f : -0.75f;
  for (const bool declared : {false, true}) {
    HfModel model = llama_model();
    model.tensors["model.layers.0.self_attn.k_proj.weight"] = bf16({4, 8}, w);
    if (declared) {
      model.config["quantization_config"] = {{"quant_method", "bitnet"},
                                             {"quantization_mode", "online"}};
    }
    const TempFolder temp;
    ThreadPool pool(1);
    const auto checkpoint = open_model(model, temp);
    const Matrix k = checkpoint->matrix(TensorRole::kK, 0, pool);
    EXPECT_EQ(ternary(k).scales()[0], 0.75f);
    EXPECT_EQ(row_of(k, 0)[1], -0.75f);
    EXPECT_EQ(arch::activation_rule(checkpoint->config(), ternary(k).scale_kind()),
              arch::ActivationRule::kPerToken);
  }
}

// Declared floats stay floats and declared latent weights are quantised, even those of {-s, 0, +s}.
TEST(HfCheckpoint, DeclaredKindsDecideWhateverTheValues) {
  HfModel model = llama_model();
  std::vector<float> w(32, 0);
  for (std::size_t i = 0; i < 8; ++i) w[i] = 0.75f;
  model.tensors["model.layers.0.self_attn.k_proj.weight"] = bf16({4, 8}, w);
  ThreadPool pool(1);
  model.config["quantization_config"] = {{"quant_method", "tern"}, {"weights", "fp"}};
  {
    const TempFolder temp;
    const auto checkpoint = open_model(model, temp);
    EXPECT_TRUE(std::holds_alternative<DenseMatrix>(checkpoint->matrix(TensorRole::kK, 0, pool)));
    EXPECT_TRUE(checkpoint->config().declares_float);
  }
  model.config["quantization_config"] = {
      {"quant_method", "tern"}, {"weights", "b1"}, {"scale", "row"}};
  {
    const TempFolder temp;
    const auto checkpoint = open_model(model, temp);
    const Matrix k = checkpoint->matrix(TensorRole::kK, 0, pool);
    // Row 0 is its own mean: digits 0. The clamp is the scale of the rows of zeros.
    EXPECT_EQ(row_of(k, 0)[1], 0);
    EXPECT_EQ(ternary(k).scale_kind(), ScaleKind::kRow);
    EXPECT_EQ(ternary(k).scales()[0], 0.75f);
    EXPECT_EQ(ternary(k).scales()[3], 1e-5f);
  }
  model.config["quantization_config"]["modules_to_not_convert"] = {"k_proj"};
  const TempFolder temp;
  const auto checkpoint = open_model(model, temp);
  EXPECT_TRUE(std::holds_alternative<DenseMatrix>(checkpoint->matrix(TensorRole::kK, 0, pool)));
  EXPECT_TRUE(std::holds_alternative<TernaryMatrix>(checkpoint->matrix(TensorRole::kV, 0, pool)));
}

TEST(HfCheckpoint, The1bitLLMNamesAndLatentWeights) {
  HfModel model = llama_model();
  model.config["architectures"] = {"BitnetForCausalLM"};
  model.config["weight_bits"] = 1;
  model.config["input_bits"] = 8;
  model.config["tie_word_embeddings"] = true;
  model.tensors.erase("lm_head.weight");
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    model.tensors[at + "self_attn.inner_attn_ln.weight"] = counted({8}, 3);
    model.tensors[at + "mlp.ffn_layernorm.weight"] = counted({10}, 4);
    model.tensors[at + "self_attn.rotary_emb.inv_freq"] = counted({2});
  }
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  EXPECT_EQ(checkpoint->config().arch, ArchitectureId::kBitnet);
  EXPECT_EQ(checkpoint->config().activation, arch::GateActivation::kSilu);
  EXPECT_TRUE(checkpoint->config().tied_head);
  EXPECT_TRUE(checkpoint->config().declares_b158);
  EXPECT_EQ(checkpoint->vector(TensorRole::kAttnSubNorm, 0)[0], 3);
  EXPECT_TRUE(
      std::holds_alternative<TernaryMatrix>(checkpoint->matrix(TensorRole::kDown, 1, pool)));
  // The head of a tied model is the embedding.
  EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kHead, 0, pool), 0)[0], 1);
}

TEST(HfCheckpoint, Qwen3HasNormsPerHead) {
  HfModel model = llama_model();
  model.config["architectures"] = {"Qwen3ForCausalLM"};
  model.config["model_type"] = "qwen3";
  model.config["head_dim"] = 4;
  model.config["use_sliding_window"] = false;
  model.config["layer_types"] = {"full_attention", "full_attention"};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".self_attn.";
    model.tensors[at + "q_norm.weight"] = counted({4}, 5);
    model.tensors[at + "k_norm.weight"] = counted({4}, 6);
  }
  const TempFolder temp;
  const auto checkpoint = open_model(model, temp);
  EXPECT_TRUE(checkpoint->config().qk_norm);
  EXPECT_EQ(checkpoint->vector(TensorRole::kKNorm, 1)[3], 9);
}

TEST(HfCheckpoint, TiedHeads) {
  HfModel model = llama_model();
  model.config["tie_word_embeddings"] = true;
  expect_parts(refusal(model), {"lm_head.weight", "differs", "tie_word_embeddings"});
  model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
  EXPECT_EQ(refusal(model), "");
  model.tensors.erase("lm_head.weight");
  EXPECT_EQ(refusal(model), "");
  model.config["tie_word_embeddings"] = false;
  expect_parts(refusal(model), {"'lm_head.weight' is missing", "6x8"});
  model.config.erase("tie_word_embeddings");
  const TempFolder temp;
  EXPECT_TRUE(open_model(model, temp)->config().tied_head);
}

TEST(HfCheckpoint, Biases) {
  HfModel model = llama_model();
  model.config["attention_bias"] = true;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".self_attn.";
    model.tensors[at + "q_proj.bias"] = counted({8}, 1);
    model.tensors[at + "k_proj.bias"] = counted({4}, 2);
    model.tensors[at + "v_proj.bias"] = counted({4}, 3);
    if (layer == 0) model.tensors[at + "o_proj.bias"] = counted({8}, 4);
  }
  expect_parts(refusal(model), {"'model.layers.1.self_attn.o_proj.bias' is missing"});
  model.tensors["model.layers.1.self_attn.o_proj.bias"] = counted({8}, 4);
  {
    const TempFolder temp;
    EXPECT_EQ(open_model(model, temp)->vector(TensorRole::kKBias, 1)[0], 2);
  }
  model.config["attention_bias"] = false;
  expect_parts(refusal(model), {"unknown tensor", "proj.bias"});
}

TEST(HfCheckpoint, RefusesBrokenTensors) {
  const HfModel good = packed_2b4t();
  ASSERT_EQ(refusal(good), "");
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  const auto with = [&](auto spoil) {
    HfModel bad = good;
    spoil(bad);
    return refusal(bad);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  expect_parts(with([&](HfModel& m) { m.tensors.erase(q); }), {q, "is missing", "8x8"});
  expect_parts(with([&](HfModel& m) { m.tensors.erase(q + "_scale"); }),
               {"model.safetensors", q, "weight_scale is missing"});
  expect_parts(with([&](HfModel& m) { m.tensors[q + "_scale"] = floats({1}, {nan}); }),
               {"model.safetensors", q + "_scale", "nan", "finite"});
  expect_parts(with([&](HfModel& m) { m.tensors[q + "_scale"] = bf16({1}, {inf}); }),
               {q + "_scale", "inf", "finite"});
  expect_parts(with([&](HfModel& m) { m.tensors[q + "_scale"] = floats({3}, {1, 1, 1}); }),
               {q, "weight_scale has shape 3", "expected 1 or 8"});
  expect_parts(
      with([&](HfModel& m) { m.tensors[q] = packed({8, 8}, std::vector<std::uint8_t>(64)); }),
      {q, "8x8", "expected 2x8"});
  expect_parts(with([&](HfModel& m) { m.tensors[q] = counted({8, 8}); }),
               {q, "F32 and a weight_scale", "packed uint8"});
  expect_parts(with([](HfModel& m) { m.tensors["model.norm.weight"] = counted({9}); }),
               {"'model.norm.weight' has shape 9", "expected 8"});
  expect_parts(with([](HfModel& m) { m.tensors["model.layers.2.x.weight"] = counted({9}); }),
               {"unknown tensor 'model.layers.2.x.weight'", "2 layers"});
  expect_parts(with([](HfModel& m) { m.config["vocab_size"] = 7; }),
               {"model.embed_tokens.weight", "6x8", "expected 7x8"});
  expect_parts(with([](HfModel& m) { m.config.erase("quantization_config"); }),
               {"is packed", "quantization_config"});
  expect_parts(with([](HfModel& m) {
                 m.config["quantization_config"]["modules_to_not_convert"] = {"q_proj"};
               }),
               {q, "modules_to_not_convert"});
}

TEST(HfCheckpoint, ADividingScaleOfZeroIsRefused) {
  HfModel model = llama_model();
  pack(model, 2.0f);
  model.config["quantization_config"] = {{"quant_method", "bitnet"}};
  model.tensors["model.layers.1.mlp.up_proj.weight_scale"] = floats({1}, {0});
  expect_parts(refusal(model), {"model.layers.1.mlp.up_proj", "weight_scale is 0", "divide"});
}

TEST(HfCheckpoint, FloatsWherePackedWeightsWereDeclaredAreRefusedWhenRead) {
  HfModel model = packed_2b4t();
  const std::string name = "model.layers.0.self_attn.k_proj.weight";
  model.tensors.erase(name + "_scale");
  model.tensors[name] = counted({4, 8});
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  try {
    checkpoint->matrix(TensorRole::kK, 0, pool);
    FAIL();
  } catch (const Error& e) {
    expect_parts(e.what(), {"model.safetensors", name, "ternary already"});
  }
}

TEST(HfCheckpoint, ACodeThatIsNoDigitIsRefusedWhenRead) {
  HfModel model = packed_2b4t();
  const std::string name = "model.layers.0.self_attn.k_proj.weight";
  model.tensors[name] = packed({1, 8}, {0x86, 0x86, 0x86, 0x8e, 0x86, 0x86, 0x86, 0x86});
  const TempFolder temp;
  ThreadPool pool(1);
  const auto checkpoint = open_model(model, temp);
  try {
    checkpoint->matrix(TensorRole::kK, 0, pool);
    FAIL();
  } catch (const Error& e) {
    expect_parts(e.what(), {"model.safetensors", name, "row 1"});
  }
}

TEST(HfCheckpoint, RefusesBrokenFolders) {
  const TempFolder temp;
  const auto sentence = [&](const std::filesystem::path& path) -> std::string {
    try {
      open_checkpoint(path, {});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  expect_parts(sentence(temp.path()), {temp.path().string(), "config.json"});
  expect_parts(sentence(temp.path() / "nothing"), {"nothing", "expected"});
  llama_model().write(temp.path());
  write_text(temp.path() / "config.json", "{\"architectures\": [");
  expect_parts(sentence(temp.path()), {"config.json", "not valid JSON"});
  write_text(temp.path() / "config.json", "[]");
  expect_parts(sentence(temp.path()), {"config.json", "[]", "object"});
  write_text(temp.path() / "config.json", "");
  expect_parts(sentence(temp.path()), {"config.json", "not valid JSON"});
  write_text(temp.path() / "config.json", llama_model().config.dump());
  EXPECT_EQ(sentence(temp.path()), "");
  std::filesystem::remove(temp.path() / "model.safetensors");
  EXPECT_NE(sentence(temp.path()), "");
}

TEST(HfCheckpoint, ShardsAreReadAndATensorInTwoIsRefused) {
  const HfModel model = llama_model();
  const auto sentence = [&](const std::string& also_in_second) -> std::string {
    const TempFolder temp;
    write_text(temp.path() / "config.json", model.config.dump());
    const std::array<std::string, 2> files{"model-00001-of-00002.safetensors",
                                           "model-00002-of-00002.safetensors"};
    std::array<formats::SafetensorsWriter, 2> shards;
    Json index = {{"metadata", Json::object()}, {"weight_map", Json::object()}};
    for (const auto& [name, tensor] : model.tensors) {
      const std::size_t shard = name.find("layers.1") != std::string::npos ? 1 : 0;
      index["weight_map"][name] = files[shard];
      for (std::size_t i = 0; i < 2; ++i) {
        if (i != shard && name != also_in_second) continue;
        shards[i].add_tensor(name, tensor.type, tensor.shape, [&t = tensor] { return t.bytes; });
      }
    }
    for (std::size_t i = 0; i < 2; ++i) shards[i].write(temp.path() / files[i]);
    write_text(temp.path() / "model.safetensors.index.json", index.dump());
    try {
      ThreadPool pool(1);
      const auto checkpoint = open_checkpoint(temp.path(), {});
      EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kQ, 1, pool), 0)[0], 2000);
      EXPECT_EQ(row_of(checkpoint->matrix(TensorRole::kQ, 0, pool), 0)[0], 1000);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(sentence(""), "");
  expect_parts(sentence("model.norm.weight"), {"model.norm.weight", "model-00002-of-00002"});
}

TEST(HfCheckpoint, TheGenerationFileAndTheTemplate) {
  const TempFolder temp;
  const HfModel model = llama_model();
  write_text(temp.path() / "generation_config.json",
             R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 40})");
  write_text(temp.path() / "tokenizer_config.json",
             R"({"chat_template": [{"name": "tool_use", "template": "T"},
                                    {"name": "default", "template": "D"}]})");
  {
    const auto checkpoint = open_model(model, temp);
    EXPECT_EQ(checkpoint->generation().temperature, 0.6);
    EXPECT_EQ(checkpoint->generation().top_k, 40u);
    EXPECT_FALSE(checkpoint->generation().repetition_penalty);
    EXPECT_EQ(checkpoint->chat_template(), "D");
    EXPECT_EQ(checkpoint->tool_template(), "T");
  }
  write_text(temp.path() / "chat_template.jinja", "J");
  std::filesystem::create_directory(temp.path() / "additional_chat_templates");
  write_text(temp.path() / "additional_chat_templates" / "tool_use.jinja", "U");
  const auto checkpoint = open_model(model, temp);
  EXPECT_EQ(checkpoint->chat_template(), "J");
  EXPECT_EQ(checkpoint->tool_template(), "U");
}

TEST(HfCheckpoint, Stories260K) {
  const char* data = std::getenv("TERN_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
  const auto checkpoint =
      open_checkpoint(std::filesystem::path(data) / "models" / "stories260K", {});
  const arch::ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.arch, ArchitectureId::kLlama);
  EXPECT_EQ(config.layers, 5u);
  EXPECT_EQ(config.head_dim, 8u);
  EXPECT_TRUE(config.tied_head);
  EXPECT_EQ(config.name, "stories260K");
  ThreadPool pool(2);
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (const TensorRole role : {TensorRole::kQ, TensorRole::kK, TensorRole::kDown}) {
      EXPECT_TRUE(is_dense_matrix(checkpoint->matrix(role, layer, pool)));
    }
  }
  ASSERT_TRUE(checkpoint->tokenizer());
  EXPECT_EQ(checkpoint->tokenizer()->pieces.size(), 512u);
  EXPECT_EQ(checkpoint->tokenizer()->bos, 1u);
  ASSERT_FALSE(checkpoint->tokenizer()->end_ids.empty());
  EXPECT_EQ(checkpoint->tokenizer()->end_ids[0], 2u);
}

}  // namespace
}  // namespace tern::checkpoint
