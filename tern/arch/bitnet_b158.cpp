// BitNet b1.58 2B4T: squared-ReLU gate, a norm before each block's last product.
#include <string_view>

#include "tern/arch/tensor_lists.h"

namespace tern::arch {
namespace {

constexpr std::array<std::string_view, 2> kGguf{"bitnet-b1.58", "bitnet-25"};
constexpr std::array<std::string_view, 1> kClasses{"BitNetForCausalLM"};
constexpr std::array<std::string_view, 1> kModelTypes{"bitnet"};

constexpr auto kTensors = join(kCommonTensors, kAttentionBiases, kSubNorms);

}  // namespace

constinit const Architecture kBitnetB158{
    .id = ArchitectureId::kBitnetB158,
    .name = "BitNet b1.58 (2B4T)",
    .gguf_names = kGguf,
    .hf_classes = kClasses,
    .hf_model_types = kModelTypes,
    .hf_only_by_class = false,
    .tensors = kTensors,
    .gguf_activation = GateActivation::kReluSquared,
    .gguf_interleaved_rope = false,
    .gguf_scale_tensors = false,
    .gguf_always_tied = false,
    .sub_norms = true,
    .qk_norm = false,
    .declares_b158 = true,
    .hf_defaults = {.activation = std::nullopt,
                    .rms_eps = 1e-5,
                    .rope_theta = 500000,
                    .context = 2048,
                    .head_dim = 0},
};

}  // namespace tern::arch
