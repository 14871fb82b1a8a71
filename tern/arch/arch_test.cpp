// Names, shapes and limits of the architectures, against the published models.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"

namespace tern::arch {
namespace {

const TensorSpec& spec_of(ArchitectureId id, TensorRole role) {
  const TensorSpec* spec = find_spec(architecture(id), role);
  EXPECT_NE(spec, nullptr);
  return *spec;
}

std::string failure(const ModelConfig& config) {
  try {
    validate(config, "x.gguf");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptFile);
    return e.what();
  }
  return "";
}

TEST(Architecture, GgufNamesOfTheReleasedFiles) {
  EXPECT_EQ(architecture_by_gguf_name("bitnet-b1.58")->id, ArchitectureId::kBitnetB158);
  EXPECT_EQ(architecture_by_gguf_name("bitnet-25")->id, ArchitectureId::kBitnetB158);
  EXPECT_EQ(architecture_by_gguf_name("bitnet")->id, ArchitectureId::kBitnet);
  EXPECT_EQ(architecture_by_gguf_name("llama")->id, ArchitectureId::kLlama);
  EXPECT_EQ(architecture_by_gguf_name("qwen3")->id, ArchitectureId::kQwen3);
  EXPECT_EQ(architecture_by_gguf_name("bert"), nullptr);
  EXPECT_EQ(architecture_names(), "bitnet-b1.58, bitnet-25, bitnet, llama, qwen3");
}

TEST(Architecture, TheClassDecidesAndTheModelTypeMustAgree) {
  EXPECT_EQ(architecture_by_hf("BitNetForCausalLM", "bitnet")->id, ArchitectureId::kBitnetB158);
  EXPECT_EQ(architecture_by_hf("BitnetForCausalLM", "llama")->id, ArchitectureId::kBitnet);
  EXPECT_EQ(architecture_by_hf("LlamaForCausalLM", "llama")->id, ArchitectureId::kLlama);
  EXPECT_EQ(architecture_by_hf("Qwen3ForCausalLM", "qwen3")->id, ArchitectureId::kQwen3);
  EXPECT_EQ(architecture_by_hf("", "llama")->id, ArchitectureId::kLlama);
  EXPECT_EQ(architecture_by_hf("", "bitnet")->id, ArchitectureId::kBitnetB158);
  EXPECT_EQ(architecture_by_hf("LlamaForCausalLM", "mistral"), nullptr);
  EXPECT_EQ(architecture_by_hf("MistralForCausalLM", "llama"), nullptr);
  EXPECT_EQ(architecture_by_hf("", ""), nullptr);
}

TEST(Architecture, SubNormsAreSpeltDifferentlyInTheTwoBitnets) {
  EXPECT_EQ(tensor_name(spec_of(ArchitectureId::kBitnetB158, TensorRole::kAttnSubNorm).hf, 29),
            "model.layers.29.self_attn.attn_sub_norm.weight");
  EXPECT_EQ(tensor_name(spec_of(ArchitectureId::kBitnet, TensorRole::kAttnSubNorm).hf, 3),
            "model.layers.3.self_attn.inner_attn_ln.weight");
  EXPECT_EQ(tensor_name(spec_of(ArchitectureId::kBitnet, TensorRole::kFfnSubNorm).hf, 3),
            "model.layers.3.mlp.ffn_layernorm.weight");
}

TEST(Architecture, ALlamaHasSubNormsOnlyWhereTheyWereInserted) {
  for (const ArchitectureId id : {ArchitectureId::kLlama, ArchitectureId::kQwen3}) {
    const TensorSpec& spec = spec_of(id, TensorRole::kFfnSubNorm);
    EXPECT_EQ(spec.hf, "model.layers.{}.mlp.ffn_sub_norm.weight");
    ModelConfig config;
    EXPECT_FALSE(needed(spec, config));
    config.sub_norms = true;
    EXPECT_TRUE(needed(spec, config));
  }
}

TEST(Architecture, NoNameStandsTwice) {
  for (const Architecture* a : all_architectures()) {
    std::set<std::string_view> hf, gguf;
    std::set<TensorRole> roles;
    for (const TensorSpec& spec : a->tensors) {
      EXPECT_TRUE(spec.hf.empty() || hf.insert(spec.hf).second) << spec.hf;
      EXPECT_TRUE(gguf.insert(spec.gguf).second) << spec.gguf;
      EXPECT_TRUE(roles.insert(spec.role).second) << spec.gguf;
      EXPECT_EQ(spec.per_layer(), spec.gguf.find("{}") != std::string_view::npos) << spec.gguf;
    }
  }
}

// The released 2B4T file has 332 tensors: 30 layers of 11, the embedding and the output norm.
TEST(Architecture, TensorsOf2B4TAsReleased) {
  const ModelConfig config = *named_shape("bitnet-2b4t");
  std::size_t count = 0;
  std::uint64_t ternary = 0;
  for (const TensorSpec& spec : architecture(config.arch).tensors) {
    if (!needed(spec, config)) continue;
    count += spec.per_layer() ? config.layers : 1;
    const auto shape = tensor_shape(spec.shape, config);
    if (spec.linear) ternary += config.layers * shape[0] * shape[1];
  }
  EXPECT_EQ(count, 332u);
  EXPECT_EQ(ternary, 2'084'044'800u);
  const auto k = tensor_shape(spec_of(config.arch, TensorRole::kK).shape, config);
  EXPECT_EQ(k, (std::vector<std::uint64_t>{640, 2560}));
  const auto down = tensor_shape(spec_of(config.arch, TensorRole::kDown).shape, config);
  EXPECT_EQ(down, (std::vector<std::uint64_t>{2560, 6912}));
}

TEST(Architecture, InterleavedRows) {
  // Two heads of 6: GGUF's rows 0..5 are HF's 0, 3, 1, 4, 2, 5.
  const std::vector<std::size_t> expected{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
  for (std::size_t r = 0; r < expected.size(); ++r) {
    EXPECT_EQ(interleaved_source(r, 6), expected[r]) << r;
  }
}

TEST(Shapes, AllAreValidAndKnown) {
  EXPECT_EQ(shape_names().size(), 8u);
  for (const std::string_view name : shape_names()) {
    EXPECT_EQ(failure(*named_shape(name)), "") << name;
  }
  EXPECT_FALSE(named_shape("bitnet"));
  EXPECT_EQ(named_shape("bitnet-3b")->head_dim, 100u);
  EXPECT_EQ(named_shape("bitnet-2b4t")->activation, GateActivation::kReluSquared);
  EXPECT_EQ(named_shape("llama3-8b")->activation, GateActivation::kSilu);
}

TEST(Validate, RefusesWhatNoModelHas) {
  const ModelConfig good = *named_shape("tiny");
  const auto with = [&](auto change) {
    ModelConfig bad = good;
    change(bad);
    return failure(bad);
  };
  EXPECT_EQ(with([](ModelConfig& c) { c.hidden = 0; }),
            "x.gguf: a hidden size of 0 found, expected 1 to 1048576");
  EXPECT_NE(with([](ModelConfig& c) { c.layers = std::size_t{1} << 63; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.heads = 3; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.head_dim = 127; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rms_eps = 0; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rms_eps = std::numeric_limits<float>::quiet_NaN(); }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rope_theta = -1; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.vocab = 0; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rope_factors = {1, 2, 3}; }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rope_factors.assign(64, 0); }), "");
  EXPECT_NE(with([](ModelConfig& c) { c.rope_llama3 = Llama3RopeScaling{8, 4, 1, 8192}; }), "");
}

TEST(ActivationRule, GroupScalesCountOnlyWhereNothingIsDeclared) {
  ModelConfig config;
  EXPECT_EQ(activation_rule(config, ScaleKind::kGroup), ActivationRule::kPerGroup);
  EXPECT_EQ(activation_rule(config, ScaleKind::kRow), ActivationRule::kPerToken);
  EXPECT_EQ(activation_rule(config, ScaleKind::kTensor), ActivationRule::kPerToken);
  config.declares_b158 = true;
  EXPECT_EQ(activation_rule(config, ScaleKind::kGroup), ActivationRule::kPerToken);
}

}  // namespace
}  // namespace tern::arch
