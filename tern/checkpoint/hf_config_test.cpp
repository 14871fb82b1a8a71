// config.json: every field that changes the function, right and wrong.
#include "tern/checkpoint/hf_config.h"

#include <gtest/gtest.h>

#include "tern/checkpoint/checkpoint_test_util.h"
#include "tern/checkpoint/hf_config_out.h"

namespace tern::checkpoint {
namespace {

using namespace test;

// As from a file: literals of a test would be signed numbers, which no JSON text gives.
Json reread(const Json& json) { return parse_json(json.dump(), "x"); }
Json llama() { return reread(llama_model().config); }

// The sentence with which the config is refused; "" where it is read.
template <typename Spoil>
std::string with(Spoil spoil) {
  Json json = llama();
  spoil(json);
  try {
    read_hf_config(reread(json), "config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(HfConfig, TheReleased2B4T) {
  const HfConfig config = read_hf_config(parse_json(R"({
    "architectures": ["BitNetForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_bitnet.BitNetConfig"},
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "relu2", "hidden_size": 2560,
    "initializer_range": 0.02, "intermediate_size": 6912, "max_position_embeddings": 4096,
    "model_type": "bitnet", "rms_norm_eps": 1e-05, "num_attention_heads": 20,
    "num_hidden_layers": 30, "num_key_value_heads": 5, "rope_theta": 500000.0,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
    "vocab_size": 128256,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                            "quantization_mode": "offline"}})",
                                                    "x"),
                                         "x");
  EXPECT_EQ(config.model.arch, arch::ArchitectureId::kBitnetB158);
  EXPECT_EQ(config.model.head_dim, 128u);
  EXPECT_EQ(config.model.q_width(), 2560u);
  EXPECT_EQ(config.model.kv_width(), 640u);
  EXPECT_EQ(config.model.rope_theta, 500000);
  EXPECT_EQ(config.model.activation, arch::GateActivation::kReluSquared);
  EXPECT_EQ(config.storage, HfStorage::kMultiply);
  EXPECT_EQ(config.tied, true);
  EXPECT_EQ(config.bos, 128000u);
  EXPECT_EQ(config.eos, (std::vector<std::uint64_t>{128001}));
}

// quant_method "tern", with the fields given.
HfConfig trained(const char* fields, Json config = llama()) {
  config["quantization_config"] =
      parse_json(std::string(R"({"quant_method": "tern", )") + fields + "}", "x");
  return read_hf_config(config, "config.json");
}

std::string trained_refusal(const char* fields) {
  try {
    trained(fields);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(HfConfig, KindsOfWeightsThatAreTrained) {
  const HfConfig row = trained(R"("weights": "b1", "scale": "row", "group_size": 128,
                                  "modules_to_not_convert": ["lm_head"])");
  EXPECT_EQ(row.storage, HfStorage::kTrained);
  EXPECT_EQ(latent_text(row.latent), "b1 per row");
  EXPECT_TRUE(row.model.declares_b158);
  EXPECT_FALSE(row.model.declares_float);
  EXPECT_EQ(row.not_converted, std::vector<std::string>{"lm_head"});
  const HfConfig group = trained(R"("weights": "b1.58", "scale": "group", "group_size": 192)");
  EXPECT_EQ(latent_text(group.latent), "b1.58 per group of 192");
  EXPECT_EQ(arch::activation_rule(group.model, ScaleKind::kGroup), arch::ActivationRule::kPerToken);
  EXPECT_EQ(latent_text(trained(R"("weights": "b1.58", "scale": "tensor")").latent),
            "b1.58 per tensor");
  Json bitnet = reread(packed_2b4t().config);
  const HfConfig fp = trained(R"("weights": "fp")", bitnet);
  EXPECT_EQ(fp.storage, HfStorage::kFloat);
  EXPECT_TRUE(fp.model.declares_float);
  EXPECT_FALSE(fp.model.declares_b158);
}

TEST(HfConfig, RefusesOtherKindsOfWeights) {
  const auto refused = [](const char* fields, const std::vector<std::string>& parts) {
    expect_parts(trained_refusal(fields), parts);
    expect_parts(trained_refusal(fields), {"config.json: quantization_config"});
  };
  refused(R"("scale": "row")", {"'weights' is missing", "'b1.58', 'b1' or 'fp'"});
  refused(R"("weights": "b2", "scale": "row")", {"'b2'", "'b1.58', 'b1' or 'fp'"});
  refused(R"("weights": 1, "scale": "row")", {"weights"});
  refused(R"("weights": "b1")", {"'scale' is missing", "'tensor', 'row' or 'group'"});
  refused(R"("weights": "b1", "scale": "column")", {"'column'", "'tensor', 'row' or 'group'"});
  refused(R"("weights": "b1", "scale": "group")", {"'group_size' is missing"});
  for (const char* size : {"0", "100", "32", "2097152"}) {
    const std::string fields =
        std::string(R"("weights": "b1", "scale": "group", "group_size": )") + size;
    refused(fields.c_str(), {"group_size of", size, "multiple of 64"});
  }
  refused(R"("weights": "b1", "scale": "group", "group_size": -64)", {"group_size"});
  refused(R"("weights": "fp", "modules_to_not_convert": "lm_head")", {"modules_to_not_convert"});
}

TEST(HfConfig, Activations) {
  EXPECT_EQ(with([](Json& j) { j["hidden_act"] = "swish"; }), "");
  EXPECT_EQ(with([](Json& j) { j.erase("hidden_act"); }), "");  // Llama's class says silu.
  expect_parts(with([](Json& j) { j["hidden_act"] = "gelu"; }),
               {"config.json", "'gelu'", "hidden_act", "relu2 or silu"});
  Json bitnet = reread(packed_2b4t().config);
  bitnet.erase("hidden_act");
  EXPECT_THROW(read_hf_config(bitnet, "x"), Error);
  bitnet["hidden_act"] = "silu";  // The file decides, not the architecture.
  EXPECT_EQ(read_hf_config(bitnet, "x").model.activation, arch::GateActivation::kSilu);
}

TEST(HfConfig, RopeScaling) {
  Json json = llama();
  json["rope_scaling"] = {{"factor", 32.0},
                          {"high_freq_factor", 4.0},
                          {"low_freq_factor", 1.0},
                          {"original_max_position_embeddings", 8192},
                          {"rope_type", "llama3"}};
  const auto llama3 = read_hf_config(reread(json), "x").model.rope_llama3;
  ASSERT_TRUE(llama3);
  EXPECT_EQ(llama3->factor, 32);
  EXPECT_EQ(llama3->original_context, 8192u);

  json["rope_scaling"] = {{"type", "linear"}, {"factor", 2.5}};
  EXPECT_EQ(read_hf_config(reread(json), "x").model.rope_linear_factor, 2.5);

  json.erase("rope_scaling");
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 77.0}};
  EXPECT_EQ(read_hf_config(reread(json), "x").model.rope_theta, 77);

  expect_parts(with([](Json& j) { j["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}}; }),
               {"config.json", "'yarn'", "default, linear or llama3"});
  expect_parts(with([](Json& j) { j["rope_scaling"] = {{"type", "dynamic"}, {"factor", 4.0}}; }),
               {"'dynamic'"});
  expect_parts(with([](Json& j) { j["rope_scaling"] = {{"type", "linear"}}; }), {"factor"});
  expect_parts(with([](Json& j) { j["rope_scaling"] = "linear"; }), {"\"linear\"", "object"});
  expect_parts(with([](Json& j) {
                 j["rope_scaling"] = {{"rope_type", "llama3"},
                                      {"factor", 8.0},
                                      {"low_freq_factor", 1.0},
                                      {"high_freq_factor", 4.0}};
               }),
               {"original_max_position_embeddings"});
  expect_parts(with([](Json& j) {
                 j["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}}}};
               }),
               {"full_attention", "one set"});
}

TEST(HfConfig, Quantization) {
  const auto quantized = [](Json fields) {
    return with([&](Json& j) {
      j["quantization_config"] = {{"quant_method", "bitnet"}};
      j["quantization_config"].update(fields);
    });
  };
  EXPECT_EQ(quantized({{"linear_class", "bitlinear"}}), "");
  expect_parts(quantized({{"quant_method", "gptq"}}), {"config.json", "'gptq'", "bitnet"});
  expect_parts(quantized({{"linear_class", "other"}}), {"'other'", "autobitlinear"});
  expect_parts(quantized({{"quantization_mode", "half"}}), {"'half'", "offline"});
  expect_parts(quantized({{"use_rms_norm", true}}), {"use_rms_norm"});
  expect_parts(quantized({{"modules_to_not_convert", "lm_head"}}), {"modules_to_not_convert"});
  Json json = llama();
  json["quantization_config"] = {{"quant_method", "bitnet"}};
  EXPECT_EQ(read_hf_config(reread(json), "x").storage, HfStorage::kDivide);
  json["quantization_config"]["quantization_mode"] = "online";
  EXPECT_EQ(read_hf_config(reread(json), "x").storage, HfStorage::kLatent);
  json.erase("quantization_config");
  EXPECT_EQ(read_hf_config(reread(json), "x").storage, HfStorage::kPlain);
}

TEST(HfConfig, WhatChangesTheFunctionIsRefused) {
  expect_parts(with([](Json& j) { j["partial_rotary_factor"] = 0.5; }),
               {"partial_rotary_factor", "0.5", "expected 1"});
  expect_parts(with([](Json& j) { j["use_sliding_window"] = true; }), {"use_sliding_window"});
  expect_parts(with([](Json& j) { j["num_experts"] = 8; }), {"num_experts", "8"});
  expect_parts(with([](Json& j) { j["final_logit_softcapping"] = 30.0; }), {"softcapping"});
  expect_parts(with([](Json& j) { j["weight_bits"] = 2; }), {"weight_bits"});
  expect_parts(with([](Json& j) { j["layer_types"] = {"sliding_attention"}; }),
               {"sliding_attention", "full_attention"});
  EXPECT_EQ(with([](Json& j) {
              j["partial_rotary_factor"] = 1.0;
              j["final_logit_softcapping"] = nullptr;
              j["sliding_window"] = nullptr;
              j["pretraining_tp"] = 1;
              j["attention_dropout"] = 0.0;
            }),
            "");
}

TEST(HfConfig, Architectures) {
  expect_parts(with([](Json& j) { j["architectures"] = {"MistralForCausalLM"}; }),
               {"MistralForCausalLM", "BitNetForCausalLM", "LlamaForCausalLM"});
  expect_parts(with([](Json& j) { j["model_type"] = "mistral"; }), {"mistral"});
  expect_parts(with([](Json& j) { j["architectures"] = 3; }), {"architectures", "3"});
  EXPECT_EQ(with([](Json& j) { j.erase("architectures"); }), "");
  EXPECT_EQ(with([](Json& j) { j.erase("model_type"); }), "");
}

TEST(HfConfig, Sizes) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    expect_parts(with([&](Json& j) { j.erase(key); }), {"config.json", key, "missing"});
    expect_parts(with([&](Json& j) { j[key] = 0; }), {"config.json", "0", "expected"});
    expect_parts(with([&](Json& j) { j[key] = std::uint64_t{1} << 63; }),
                 {"config.json", "9223372036854775808", "expected"});
    expect_parts(with([&](Json& j) { j[key] = -1; }), {"config.json", key, "-1"});
    expect_parts(with([&](Json& j) { j[key] = "8"; }), {"config.json", key, "\"8\""});
  }
  expect_parts(with([](Json& j) { j["num_key_value_heads"] = 0; }), {"key-value heads of 0"});
  expect_parts(with([](Json& j) { j["num_attention_heads"] = 3; }), {"8", "3 attention heads"});
  expect_parts(with([](Json& j) { j["head_dim"] = 3; }), {"head size of 3", "even"});
  expect_parts(with([](Json& j) { j["rms_norm_eps"] = 0; }), {"rms_norm_eps"});
  expect_parts(with([](Json& j) { j["rope_theta"] = -5; }), {"RoPE base"});
  expect_parts(with([](Json& j) { j["eos_token_id"] = "end"; }), {"eos_token_id", "\"end\""});
  expect_parts(with([](Json& j) { j["tie_word_embeddings"] = 1; }), {"tie_word_embeddings"});
}

TEST(HfConfig, ModulesThatAreNotConverted) {
  const std::vector<std::string> entries{"lm_head", "model.layers.3", "mlp.down_proj"};
  EXPECT_TRUE(is_not_converted(entries, "lm_head.weight"));
  EXPECT_TRUE(is_not_converted(entries, "model.layers.3.self_attn.q_proj.weight"));
  EXPECT_TRUE(is_not_converted(entries, "model.layers.0.mlp.down_proj.weight"));
  EXPECT_FALSE(is_not_converted(entries, "model.layers.30.self_attn.q_proj.weight"));
  EXPECT_FALSE(is_not_converted(entries, "model.layers.0.mlp.up_proj.weight"));
  EXPECT_FALSE(is_not_converted({""}, "lm_head.weight"));
}

TEST(HfConfigOut, SaysWhatTheConfigHolds) {
  arch::ModelConfig config = read_hf_config(llama(), "x").model;
  config.rms_eps = 1e-5f;
  config.rope_llama3 = arch::Llama3RopeScaling{
      .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 64};
  tokenizer::TokenizerData ids;
  ids.bos = 1;
  ids.eos = 2;
  ids.end_ids = {2, 5};
  const Json json = hf_config(config, &ids, "x");
  EXPECT_EQ(json["rms_norm_eps"].dump(), "1e-05");
  EXPECT_EQ(json["hidden_size"], llama()["hidden_size"]);
  EXPECT_EQ(json["bos_token_id"], 1);
  EXPECT_EQ(json["eos_token_id"], 2);
  EXPECT_FALSE(json.contains("pad_token_id"));
  EXPECT_EQ(json["rope_scaling"]["original_max_position_embeddings"], 64);
  EXPECT_EQ(hf_generation_config(&ids).dump(), R"({"bos_token_id":1,"eos_token_id":[2,5]})");
  EXPECT_FALSE(hf_config(config, nullptr, "x").contains("bos_token_id"));
  EXPECT_EQ(hf_generation_config(nullptr), Json::object());
}

TEST(HfConfigOut, RefusesWhatAConfigCannotSay) {
  const auto refusal = [](const arch::ModelConfig& config) -> std::string {
    try {
      (void)hf_config(config, nullptr, "my model");
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  arch::ModelConfig config = read_hf_config(llama(), "x").model;
  EXPECT_EQ(refusal(config), "accepted");
  config.qkv_bias = !config.o_bias;
  EXPECT_EQ(refusal(config),
            "my model: attention has biases in some products only, which config.json cannot say "
            "(expected all four or none)");
  config.qkv_bias = config.o_bias;
  config.rope_factors.assign(config.head_dim / 2, 2.0f);
  EXPECT_EQ(
      refusal(config),
      "my model: its rope factors come without a rule that makes them, and config.json cannot "
      "hold factors");
}

}  // namespace
}  // namespace tern::checkpoint
