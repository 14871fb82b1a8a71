// Qwen3 (dense): a Llama whose queries and keys are normed per head before RoPE.
#include <string_view>

#include "tern/arch/tensor_lists.h"

namespace tern::arch {
namespace {

constexpr std::array<std::string_view, 1> kGguf{"qwen3"};
constexpr std::array<std::string_view, 1> kClasses{"Qwen3ForCausalLM"};
constexpr std::array<std::string_view, 1> kModelTypes{"qwen3"};

constexpr std::array kHeadNorms{
    TensorSpec{TensorRole::kQNorm, "model.layers.{}.self_attn.q_norm.weight",
               "blk.{}.attn_q_norm.weight", TensorShape::kHeadDim},
    TensorSpec{TensorRole::kKNorm, "model.layers.{}.self_attn.k_norm.weight",
               "blk.{}.attn_k_norm.weight", TensorShape::kHeadDim},
};
constexpr auto kTensors = join(kCommonTensors, kAttentionBiases, kHeadNorms, kSubNorms);

}  // namespace

constinit const Architecture kQwen3{
    .id = ArchitectureId::kQwen3,
    .name = "Qwen3",
    .gguf_names = kGguf,
    .hf_classes = kClasses,
    .hf_model_types = kModelTypes,
    .hf_only_by_class = false,
    .tensors = kTensors,
    .gguf_activation = GateActivation::kSilu,
    .gguf_interleaved_rope = false,
    .gguf_scale_tensors = false,
    .gguf_always_tied = false,
    .sub_norms = false,
    .qk_norm = true,
    .declares_b158 = false,
    .hf_defaults = {.activation = GateActivation::kSilu,
                    .rms_eps = 1e-6,
                    .rope_theta = 10000,
                    .context = 32768,
                    .head_dim = 128},
};

}  // namespace tern::arch
