// What the golden runs do not see: names, causality, bf16, guards of the model.
#include "tern/train/transformer.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/train/objective.h"

namespace tern::train {
namespace {

using torch::Tensor;

TransformerOptions tiny(arch::ArchitectureId id) {
  const arch::Architecture& a = arch::architecture(id);
  TransformerOptions o;
  o.config.arch = id;
  o.config.hidden = 32;
  o.config.ffn = 48;
  o.config.layers = 2;
  o.config.heads = 4;
  o.config.kv_heads = 2;
  o.config.head_dim = 8;
  o.config.vocab = 50;
  o.config.context = 64;
  o.config.sub_norms = a.sub_norms;
  o.config.qk_norm = a.qk_norm;
  o.config.activation = a.gguf_activation;
  o.config.tied_head = id != arch::ArchitectureId::kLlama;
  return o;
}

class Architectures : public testing::TestWithParam<arch::ArchitectureId> {};

// The names and shapes that the engine will look for, from its own table.
TEST_P(Architectures, ParametersAreTheTensorsOfTheFolder) {
  const TransformerOptions o = tiny(GetParam());
  Transformer model(o, 0.02);
  std::set<std::string> expected;
  for (const arch::TensorSpec& spec : arch::architecture(GetParam()).tensors) {
    if (!arch::needed(spec, o.config)) continue;
    for (std::size_t layer = 0; layer < (spec.per_layer() ? o.config.layers : 1); ++layer) {
      const std::string name = arch::tensor_name(spec.hf, layer);
      expected.insert(name);
      const Tensor* found = model->named_parameters().find(name);
      ASSERT_NE(found, nullptr) << name;
      std::vector<std::uint64_t> shape(found->sizes().begin(), found->sizes().end());
      EXPECT_EQ(shape, arch::tensor_shape(spec.shape, o.config)) << name;
    }
  }
  EXPECT_EQ(model->named_parameters().size(), expected.size());
}

TEST_P(Architectures, NoTokenSeesALaterOne) {
  torch::manual_seed(1);
  Transformer model(tiny(GetParam()), 0.05);
  const Tensor tokens = torch::randint(0, 50, {2, 12});
  const Tensor before = model(tokens);
  const Tensor changed = tokens.clone();
  changed.select(1, 7).fill_(3);
  const Tensor after = model(changed);
  EXPECT_TRUE(torch::equal(before.slice(1, 0, 7), after.slice(1, 0, 7)));
  EXPECT_FALSE(torch::equal(before.slice(1, 7), after.slice(1, 7)));
}

TEST_P(Architectures, BFloat16IsNear) {
  torch::manual_seed(2);
  TransformerOptions o = tiny(GetParam());
  Transformer model(o, 0.05);
  o.product_type = torch::kBFloat16;
  Transformer half(o, 0.05);
  const torch::NoGradGuard no_grad;
  for (const auto& p : model->named_parameters())
    half->named_parameters()[p.key()].copy_(p.value());
  const Tensor tokens = torch::randint(0, 50, {2, 12});
  const double a = mean_loss(model, {tokens, tokens, {}, {}}).item<double>();
  const double b = mean_loss(half, {tokens, tokens, {}, {}}).item<double>();
  EXPECT_NEAR(b, a, 0.02 * a);
  EXPECT_NE(a, b);
  half->set_product_type(torch::kFloat32);
  EXPECT_EQ(mean_loss(half, {tokens, tokens, {}, {}}).item<double>(), a);
}

TEST_P(Architectures, TheFirstBrokenLayerIsNamed) {
  Transformer model(tiny(GetParam()), 0.02);
  const Tensor tokens = torch::randint(0, 50, {1, 5});
  EXPECT_EQ(model->first_non_finite(tokens), "");
  const torch::NoGradGuard no_grad;
  model->named_parameters()["model.layers.1.input_layernorm.weight"][3] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(model->first_non_finite(tokens), "model.layers.1");
}

INSTANTIATE_TEST_SUITE_P(All, Architectures,
                         testing::Values(arch::ArchitectureId::kBitnetB158,
                                         arch::ArchitectureId::kBitnet,
                                         arch::ArchitectureId::kLlama,
                                         arch::ArchitectureId::kQwen3),
                         [](const auto& test) {
                           std::string name(arch::architecture(test.param).gguf_names.front());
                           for (char& c : name) {
                             if (c == '-' || c == '.') c = '_';
                           }
                           return name;
                         });

TEST(Transformer, WhatCannotBeTrainedIsRefused) {
  TransformerOptions o = tiny(arch::ArchitectureId::kLlama);
  o.config.qkv_bias = true;
  EXPECT_THROW(Transformer(o, 0.02), Error);
  o = tiny(arch::ArchitectureId::kLlama);
  o.format.scale = ScaleKind::kGroup;
  o.format.group = 20;
  EXPECT_THROW(Transformer(o, 0.02), Error);
}

TEST(Transformer, LambdaReachesEveryLayer) {
  torch::manual_seed(6);
  Transformer model(tiny(arch::ArchitectureId::kBitnetB158), 0.05);
  EXPECT_EQ(model->bit_linears().size(), 14u);
  const Tensor tokens = torch::randint(0, 50, {1, 6});
  model->set_lambda(0);
  const Tensor plain = model(tokens);
  TransformerOptions o = tiny(arch::ArchitectureId::kBitnetB158);
  o.format.kind = WeightKind::kFullPrecision;
  Transformer twin(o, 0.05);
  const torch::NoGradGuard no_grad;
  for (const auto& p : model->named_parameters())
    twin->named_parameters()[p.key()].copy_(p.value());
  EXPECT_TRUE(torch::allclose(twin(tokens), plain, 1e-5, 1e-6));
  model->set_lambda(1);
  EXPECT_FALSE(torch::allclose(model(tokens), plain, 1e-3, 1e-4));
}

}  // namespace
}  // namespace tern::train
