// Llama: ternary (Llama3-8B-1.58, Falcon3-1.58bit, Falcon-E) and in full precision.
#include <string_view>

#include "tern/arch/tensor_lists.h"

namespace tern::arch {
namespace {

constexpr std::array<std::string_view, 1> kGguf{"llama"};
constexpr std::array<std::string_view, 1> kClasses{"LlamaForCausalLM"};
constexpr std::array<std::string_view, 1> kModelTypes{"llama"};
constexpr auto kTensors = join(kCommonTensors, kAttentionBiases, kMlpBiases, kSubNorms);

}  // namespace

constinit const Architecture kLlama{
    .id = ArchitectureId::kLlama,
    .name = "Llama",
    .gguf_names = kGguf,
    .hf_classes = kClasses,
    .hf_model_types = kModelTypes,
    .hf_only_by_class = false,
    .tensors = kTensors,
    .gguf_activation = GateActivation::kSilu,
    .gguf_interleaved_rope = true,
    .gguf_scale_tensors = false,
    .gguf_always_tied = false,
    .sub_norms = false,
    .qk_norm = false,
    .declares_b158 = false,
    .hf_defaults = {.activation = GateActivation::kSilu,
                    .rms_eps = 1e-6,
                    .rope_theta = 10000,
                    .context = 2048,
                    .head_dim = 0},
};

}  // namespace tern::arch
