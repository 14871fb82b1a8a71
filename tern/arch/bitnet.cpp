// 1bitLLM's reproduction of BitNet b1.58 (700M, 1.3B, 3B): a Llama with a norm before each block's
// last product. Its repositories hold full-precision weights, to be quantised on load.
#include <string_view>

#include "tern/arch/tensor_lists.h"

namespace tern::arch {
namespace {

constexpr std::array<std::string_view, 1> kGguf{"bitnet"};
constexpr std::array<std::string_view, 1> kClasses{"BitnetForCausalLM"};
constexpr std::array<std::string_view, 2> kModelTypes{"llama", "bitnet"};

constexpr std::array kLayerNorms{
    TensorSpec{TensorRole::kAttnSubNorm, "model.layers.{}.self_attn.inner_attn_ln.weight",
               "blk.{}.attn_sub_norm.weight", TensorShape::kQ},
    TensorSpec{TensorRole::kFfnSubNorm, "model.layers.{}.mlp.ffn_layernorm.weight",
               "blk.{}.ffn_sub_norm.weight", TensorShape::kFfn},
};
constexpr auto kTensors = join(kCommonTensors, kAttentionBiases, kLayerNorms);

}  // namespace

constinit const Architecture kBitnet{
    .id = ArchitectureId::kBitnet,
    .name = "BitNet b1.58 (1bitLLM)",
    .gguf_names = kGguf,
    .hf_classes = kClasses,
    .hf_model_types = kModelTypes,
    .hf_only_by_class = true,
    .tensors = kTensors,
    .gguf_activation = GateActivation::kSilu,
    .gguf_interleaved_rope = false,
    .gguf_scale_tensors = true,
    .gguf_always_tied = true,
    .sub_norms = true,
    .qk_norm = false,
    .declares_b158 = true,
    .hf_defaults = {.activation = std::nullopt,
                    .rms_eps = 1e-6,
                    .rope_theta = 10000,
                    .context = 2048,
                    .head_dim = 0},
};

}  // namespace tern::arch
