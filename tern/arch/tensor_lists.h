// Rows that the architectures' tensor lists share. Internal to tern/arch.
#pragma once

#include <array>

#include "tern/arch/architecture.h"

namespace tern::arch {

// A list made of several parts.
template <std::size_t... Sizes>
constexpr auto join(const std::array<TensorSpec, Sizes>&... parts) {
  std::array<TensorSpec, (Sizes + ...)> all{};
  std::size_t n = 0;
  const auto append = [&](const auto& part) {
    for (const TensorSpec& spec : part) all[n++] = spec;
  };
  (append(parts), ...);
  return all;
}

// What every decoder of the Llama family has.
inline constexpr std::array kCommonTensors{
    TensorSpec{TensorRole::kEmbedding, "model.embed_tokens.weight", "token_embd.weight",
               TensorShape::kVocabByHidden},
    TensorSpec{TensorRole::kOutputNorm, "model.norm.weight", "output_norm.weight",
               TensorShape::kHidden},
    TensorSpec{TensorRole::kHead, "lm_head.weight", "output.weight", TensorShape::kVocabByHidden},
    TensorSpec{TensorRole::kRopeFactors, "", "rope_freqs.weight", TensorShape::kHalfHeadDim},
    TensorSpec{TensorRole::kAttnNorm, "model.layers.{}.input_layernorm.weight",
               "blk.{}.attn_norm.weight", TensorShape::kHidden},
    TensorSpec{TensorRole::kQ, "model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight",
               TensorShape::kQByHidden, true},
    TensorSpec{TensorRole::kK, "model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight",
               TensorShape::kKvByHidden, true},
    TensorSpec{TensorRole::kV, "model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight",
               TensorShape::kKvByHidden, true},
    TensorSpec{TensorRole::kO, "model.layers.{}.self_attn.o_proj.weight",
               "blk.{}.attn_output.weight", TensorShape::kHiddenByQ, true},
    TensorSpec{TensorRole::kFfnNorm, "model.layers.{}.post_attention_layernorm.weight",
               "blk.{}.ffn_norm.weight", TensorShape::kHidden},
    TensorSpec{TensorRole::kGate, "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight",
               TensorShape::kFfnByHidden, true},
    TensorSpec{TensorRole::kUp, "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight",
               TensorShape::kFfnByHidden, true},
    TensorSpec{TensorRole::kDown, "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight",
               TensorShape::kHiddenByFfn, true},
};

// Norms before each block's last product, by the names of 2B4T. A Llama or Qwen3 has them where
// training inserted them.
inline constexpr std::array kSubNorms{
    TensorSpec{TensorRole::kAttnSubNorm, "model.layers.{}.self_attn.attn_sub_norm.weight",
               "blk.{}.attn_sub_norm.weight", TensorShape::kQ},
    TensorSpec{TensorRole::kFfnSubNorm, "model.layers.{}.mlp.ffn_sub_norm.weight",
               "blk.{}.ffn_sub_norm.weight", TensorShape::kFfn},
};

inline constexpr std::array kAttentionBiases{
    TensorSpec{TensorRole::kQBias, "model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias",
               TensorShape::kQ},
    TensorSpec{TensorRole::kKBias, "model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias",
               TensorShape::kKv},
    TensorSpec{TensorRole::kVBias, "model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias",
               TensorShape::kKv},
    TensorSpec{TensorRole::kOBias, "model.layers.{}.self_attn.o_proj.bias",
               "blk.{}.attn_output.bias", TensorShape::kHidden},
};

inline constexpr std::array kMlpBiases{
    TensorSpec{TensorRole::kGateBias, "model.layers.{}.mlp.gate_proj.bias", "blk.{}.ffn_gate.bias",
               TensorShape::kFfn},
    TensorSpec{TensorRole::kUpBias, "model.layers.{}.mlp.up_proj.bias", "blk.{}.ffn_up.bias",
               TensorShape::kFfn},
    TensorSpec{TensorRole::kDownBias, "model.layers.{}.mlp.down_proj.bias", "blk.{}.ffn_down.bias",
               TensorShape::kHidden},
};

// One per file arch/<name>.cpp; kArchitectures lists them.
extern const Architecture kBitnetB158;
extern const Architecture kBitnet;
extern const Architecture kLlama;
extern const Architecture kQwen3;

}  // namespace tern::arch
