// Adapters as PEFT writes them: what is read, and what is refused in one sentence.
#include "tern/checkpoint/lora_adapter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tern/checkpoint/checkpoint_test_util.h"

namespace tern::checkpoint {
namespace {

using test::expect_parts;
using test::floats;
using test::TempFolder;
using test::TestTensor;

const std::string kAt = "base_model.model.model.layers.";

// An adapter of rank 2 for q_proj and down_proj of test::llama_model(): hidden 8, FFN 10.
struct AdapterFiles {
  Json config{{"peft_type", "LORA"},
              {"task_type", "CAUSAL_LM"},
              {"r", 2},
              {"lora_alpha", 6},
              {"target_modules", {"q_proj", "down_proj"}},
              // As PEFT 0.17 writes what is not used.
              {"alpha_pattern", Json::object()},
              {"auto_mapping", nullptr},
              {"bias", "none"},
              {"base_model_name_or_path", "somebody/base"},
              {"corda_config", nullptr},
              {"eva_config", nullptr},
              {"exclude_modules", nullptr},
              {"fan_in_fan_out", false},
              {"inference_mode", true},
              {"init_lora_weights", true},
              {"layer_replication", nullptr},
              {"layers_pattern", nullptr},
              {"layers_to_transform", nullptr},
              {"loftq_config", Json::object()},
              {"lora_bias", false},
              {"lora_dropout", 0.05},
              {"megatron_config", nullptr},
              {"megatron_core", "megatron.core"},
              {"modules_to_save", nullptr},
              {"peft_version", "0.17.0"},
              {"qalora_group_size", 16},
              {"rank_pattern", Json::object()},
              {"revision", nullptr},
              {"target_parameters", nullptr},
              {"trainable_token_indices", nullptr},
              {"use_dora", false},
              {"use_qalora", false},
              {"use_rslora", false}};
  std::map<std::string, TestTensor> tensors;

  AdapterFiles() {
    for (const char* layer : {"0", "1"}) {
      add(layer + std::string(".self_attn.q_proj"), 8, 8, 1);
      add(layer + std::string(".mlp.down_proj"), 8, 10, 100);
    }
  }
  void add(const std::string& module, std::uint64_t out, std::uint64_t in, float first) {
    tensors[kAt + module + ".lora_A.weight"] = test::counted({2, in}, first);
    tensors[kAt + module + ".lora_B.weight"] = test::counted({out, 2}, -first);
  }
  void write(const std::filesystem::path& folder) const {
    test::write_text(folder / "adapter_config.json", config.dump());
    formats::SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors) {
      writer.add_tensor(name, tensor.type, tensor.shape, [&t = tensor] { return t.bytes; });
    }
    writer.write(folder / "adapter_model.safetensors");
  }
};

arch::ModelConfig base_config() {
  const TempFolder temp;
  return test::open_model(test::llama_model(), temp)->config();
}

LoraAdapter read(const AdapterFiles& files) {
  const TempFolder temp;
  files.write(temp.path());
  return LoraAdapter(temp.path(), base_config());
}

std::string refusal(const AdapterFiles& files) {
  try {
    read(files);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string refusal(const char* key, const Json& value) {
  AdapterFiles files;
  files.config[key] = value;
  return refusal(files);
}

TEST(LoraAdapter, ReadsBothHalvesWithTheScaleInB) {
  const LoraAdapter adapter = read({});
  EXPECT_EQ(adapter.description().rank, 2u);
  EXPECT_EQ(adapter.layers(), 4u);
  const LowRank* down = adapter.find(arch::TensorRole::kDown, 1);
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(test::row_of(Matrix(DenseMatrix{DType::kF32, 2, 10, down->a.bytes, {}}), 1)[9], 119);
  EXPECT_EQ(down->b.rows, 8u);
  // B's first row is -100, -99, and alpha / r = 3.
  EXPECT_EQ(test::row_of(Matrix(DenseMatrix{DType::kF32, 8, 2, down->b.bytes, {}}), 0),
            (std::vector<float>{-300, -297}));
  EXPECT_NE(adapter.find(arch::TensorRole::kQ, 0), nullptr);
  EXPECT_EQ(adapter.find(arch::TensorRole::kK, 0), nullptr);
  EXPECT_EQ(adapter.find(arch::TensorRole::kQ, 2), nullptr);
}

TEST(LoraAdapter, RankStabilisedScaleIsAlphaOverTheRoot) {
  AdapterFiles files;
  files.config["use_rslora"] = true;
  const LoraAdapter adapter = read(files);
  EXPECT_NEAR(adapter.description().scale(), 6 / std::sqrt(2.0), 1e-12);
  const LowRank* q = adapter.find(arch::TensorRole::kQ, 0);
  EXPECT_EQ(q->b.owned.as<float>()[0], static_cast<float>(-6 / std::sqrt(2.0)));
}

TEST(LoraAdapter, HalfPrecisionAndPatternsAreRead) {
  AdapterFiles files;
  files.tensors[kAt + "0.self_attn.q_proj.lora_A.weight"] =
      test::bf16({2, 8}, std::vector<float>(16, 1.5f));
  files.config["target_modules"] = ".*(q_proj|down_proj)$";
  const LoraAdapter adapter = read(files);
  EXPECT_EQ(adapter.find(arch::TensorRole::kQ, 0)->a.owned.as<float>()[15], 1.5f);
  // A list may give whole names, and other keys may leave layers out.
  files.config["target_modules"] = {"model.layers.1.mlp.down_proj", "q_proj"};
  files.tensors.erase(kAt + "0.mlp.down_proj.lora_A.weight");
  files.tensors.erase(kAt + "0.mlp.down_proj.lora_B.weight");
  EXPECT_EQ(refusal(files), "");
  files.config["target_modules"] = {"down_proj", "q_proj"};
  expect_parts(refusal(files), {"0.mlp.down_proj.lora_A.weight' is missing"});
  files.config["layers_to_transform"] = {0, 1};
  EXPECT_EQ(refusal(files), "");
}

TEST(LoraAdapter, RefusesOptionsThatChangeTheFunction) {
  ASSERT_EQ(refusal({}), "");
  expect_parts(refusal("peft_type", "IA3"), {"adapter_config.json", "'IA3'", "'LORA'"});
  expect_parts(refusal("peft_type", nullptr), {"'peft_type' is missing"});
  expect_parts(refusal("task_type", "SEQ_CLS"), {"'SEQ_CLS'", "'CAUSAL_LM'"});
  expect_parts(refusal("bias", "all"), {"'bias'", "'all'", "'none'"});
  expect_parts(refusal("use_dora", true), {"'use_dora' true"});
  expect_parts(refusal("use_qalora", true), {"'use_qalora' true"});
  expect_parts(refusal("lora_bias", true), {"'lora_bias' true"});
  expect_parts(refusal("fan_in_fan_out", true), {"'fan_in_fan_out' true"});
  expect_parts(refusal("modules_to_save", {"lm_head"}), {"'modules_to_save' [\"lm_head\"]"});
  expect_parts(refusal("rank_pattern", {{"q_proj", 4}}), {"'rank_pattern'"});
  expect_parts(refusal("alpha_pattern", {{"q_proj", 4}}), {"'alpha_pattern'"});
  expect_parts(refusal("layer_replication", {{0, 1}, {0, 1}}), {"'layer_replication'"});
  expect_parts(refusal("trainable_token_indices", {3}), {"'trainable_token_indices'"});
  expect_parts(refusal("target_parameters", {"x"}), {"'target_parameters'"});
  expect_parts(refusal("init_lora_weights", "pissa_niter_4"), {"\"pissa_niter_4\"", "gaussian"});
  expect_parts(refusal("of_another_year", 1), {"'of_another_year' 1"});
  EXPECT_EQ(refusal("of_another_year", false), "");
  EXPECT_EQ(refusal("init_lora_weights", "gaussian"), "");
}

TEST(LoraAdapter, RefusesNumbersOutOfRange) {
  expect_parts(refusal("r", 0), {"'r' 0", "1 to 65536"});
  expect_parts(refusal("r", nullptr), {"'r' 0"});
  expect_parts(refusal("r", -2), {"'r'"});
  expect_parts(refusal("r", 2.5), {"'r'"});
  expect_parts(refusal("r", 1e18), {"'r'"});
  expect_parts(refusal("lora_alpha", 0), {"'lora_alpha' 0"});
  expect_parts(refusal("lora_alpha", 1e300), {"'lora_alpha'"});
  expect_parts(refusal("lora_alpha", nullptr), {"'lora_alpha' missing"});
  expect_parts(refusal("lora_alpha", "16"), {"lora_alpha"});
  expect_parts(refusal("use_rslora", "yes"), {"use_rslora"});
  expect_parts(refusal("target_modules", Json::array()), {"'target_modules' []"});
  expect_parts(refusal("target_modules", {1}), {"'target_modules' [1]"});
}

TEST(LoraAdapter, RefusesTensorsThatDoNotFit) {
  AdapterFiles other_rank;
  other_rank.config["r"] = 4;
  expect_parts(refusal(other_rank), {"adapter_model.safetensors", "lora_A.weight' is 2x10",
                                     "expected 4x10", "rank of 4"});
  AdapterFiles other_shape;
  other_shape.tensors[kAt + "1.self_attn.q_proj.lora_B.weight"] = test::counted({10, 2});
  expect_parts(refusal(other_shape), {"1.self_attn.q_proj.lora_B.weight' is 10x2", "8x2"});
  AdapterFiles half;
  half.tensors.erase(kAt + "1.self_attn.q_proj.lora_B.weight");
  expect_parts(refusal(half), {"1.self_attn.q_proj.lora_B.weight' is missing", "both halves"});
  AdapterFiles layer;
  layer.add("2.self_attn.q_proj", 8, 8, 1);
  expect_parts(refusal(layer), {"layers.2.self_attn.q_proj.lora_A", "2 layers"});
  AdapterFiles head;
  head.tensors["base_model.model.lm_head.lora_A.weight"] = test::counted({2, 8});
  expect_parts(refusal(head), {"lm_head.lora_A.weight", "none of the base's linear layers"});
  AdapterFiles magnitude;
  magnitude.tensors[kAt + "0.self_attn.q_proj.lora_magnitude_vector"] = test::counted({8});
  expect_parts(refusal(magnitude), {"lora_magnitude_vector", "expected only"});
  AdapterFiles saved;
  saved.tensors["base_model.model.lm_head.weight"] = test::counted({6, 8});
  expect_parts(refusal(saved), {"lm_head.weight", "expected only"});
  AdapterFiles unnamed;
  unnamed.add("0.self_attn.v_proj", 4, 8, 1);
  expect_parts(refusal(unnamed), {"'model.layers.0.self_attn.v_proj'", "'target_modules'"});
  AdapterFiles unknown;
  unknown.config["target_modules"] = {"q_proj", "down_proj", "dense_h_to_4h"};
  expect_parts(refusal(unknown), {"'dense_h_to_4h'", "that the base has"});
  AdapterFiles part_of_a_name;  // "proj" ends q_proj, but not behind a dot.
  part_of_a_name.config["target_modules"] = {"q_proj", "down_proj", "proj"};
  expect_parts(refusal(part_of_a_name), {"'proj'"});
  AdapterFiles type;
  type.tensors[kAt + "0.self_attn.q_proj.lora_A.weight"] =
      test::packed({2, 8}, std::vector<std::uint8_t>(16, 1));
  expect_parts(refusal(type), {"0.self_attn.q_proj.lora_A.weight", "type U8"});
  AdapterFiles infinite;
  infinite.tensors[kAt + "0.self_attn.q_proj.lora_A.weight"] =
      floats({2, 8}, std::vector<float>(16, INFINITY));
  expect_parts(refusal(infinite), {"0.self_attn.q_proj.lora_A.weight", "inf"});
  AdapterFiles too_large;
  too_large.tensors[kAt + "0.self_attn.q_proj.lora_B.weight"] =
      floats({8, 2}, std::vector<float>(16, 2e38f));
  expect_parts(refusal(too_large), {"0.self_attn.q_proj.lora_B.weight", "not finite"});
  AdapterFiles none;
  none.tensors.clear();
  EXPECT_NE(refusal(none), "");
}

TEST(LoraAdapter, RefusesFoldersWithoutAnAdapter) {
  const TempFolder temp;
  const auto said = [&] {
    try {
      LoraAdapter(temp.path(), base_config());
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  expect_parts(said(), {"no adapter_config.json found"});
  test::write_text(temp.path() / "adapter_config.json", "[]");
  expect_parts(said(), {"no adapter_model.safetensors found"});
  test::write_text(temp.path() / "adapter_model.safetensors", "");
  EXPECT_NE(said(), "");
  AdapterFiles().write(temp.path());
  EXPECT_EQ(said(), "");
  test::write_text(temp.path() / "adapter_config.json", "[]");
  expect_parts(said(), {"no object found"});
}

TEST(LoraAdapter, WhatIsWrittenReadsBack) {
  LoraDescription lora;
  lora.rank = 3;
  lora.alpha = 16.5;
  lora.targets = {"v_proj", "up_proj"};
  const Json json = lora_config_json(lora, "base");
  const LoraDescription back = read_lora_config(json, "x");
  EXPECT_EQ(back.rank, 3u);
  EXPECT_EQ(back.alpha, 16.5);
  EXPECT_EQ(back.targets, lora.targets);
  EXPECT_FALSE(back.rank_stabilised || back.some_layers);
  lora.alpha = 16;
  EXPECT_EQ(lora_config_json(lora, "base")["lora_alpha"].dump(), "16");
  EXPECT_EQ(lora_tensor_name("model.layers.0.self_attn.q_proj", 'A'),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
}

}  // namespace
}  // namespace tern::checkpoint
