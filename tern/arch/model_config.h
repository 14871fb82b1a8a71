// What a model is, in numbers: one form for every architecture and file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tensor/ternary_matrix.h"

namespace tern::arch {

enum class ArchitectureId { kBitnetB158, kBitnet, kLlama, kQwen3 };
enum class GateActivation { kSilu, kReluSquared };

// How activations are brought to int8 before a ternary product.
enum class ActivationRule {
  kPerToken,  // The model declares b1.58 quantisation: absmax over the whole row.
  kPerGroup,  // Weight-only ternary models with group scales: absmax per group of the weight's
              // size.
};

struct Llama3RopeScaling {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  std::uint64_t original_context = 8192;
};

struct ModelConfig {
  ArchitectureId arch = ArchitectureId::kLlama;
  std::string name;  // Of the model, where the file has one.
  std::size_t hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  std::size_t context = 0;  // Positions that the model was made for.
  float rms_eps = 1e-5f;
  double rope_theta = 10000;
  double rope_linear_factor = 1;                 // Positions are divided by it.
  std::optional<Llama3RopeScaling> rope_llama3;  // From config.json.
  std::vector<float> rope_factors;  // From rope_freqs.weight: divide the frequencies. head_dim / 2.
  GateActivation activation = GateActivation::kSilu;
  std::string activation_source;  // "config.json: hidden_act" or "architecture table"; for inspect.
  bool tied_head = false;
  // attn_sub_norm and ffn_sub_norm: the architecture's, or inserted by training into one that has
  // none (config.json: quantization_config.sub_norms; GGUF: the tensors are there).
  bool sub_norms = false;
  bool qk_norm = false;  // Per head, before RoPE.
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  // The files say that linear layers are b1.58, or the architecture is. Where they do not, each
  // ternary matrix decides for itself: see activation_rule().
  bool declares_b158 = false;
  // The files say that linear layers are floats, whatever their values and the architecture's name:
  // nothing is quantised. Never together with declares_b158.
  bool declares_float = false;
  std::string activation_rule_source;  // What said so; for inspect.

  std::size_t q_width() const noexcept { return heads * head_dim; }
  std::size_t kv_width() const noexcept { return kv_heads * head_dim; }
};

// The rule for products with a ternary matrix whose scales are `scales`. A model that declares
// b1.58 quantises whole rows, whatever the storage type. Where nothing declares it, the weights
// tell: group scales were made by weight-only quantisation, one scale per tensor or row by b1.58's.
constexpr ActivationRule activation_rule(const ModelConfig& config, ScaleKind scales) noexcept {
  return !config.declares_b158 && scales == ScaleKind::kGroup ? ActivationRule::kPerGroup
                                                              : ActivationRule::kPerToken;
}

// Throws Error(kCorruptFile) where numbers contradict each other or exceed what any model has
// (zero sizes, heads no multiple of kv_heads, odd head_dim, over 2^20 layers ...), naming `what`.
void validate(const ModelConfig& config, std::string_view what);

std::string_view activation_name(GateActivation activation) noexcept;  // "silu", "relu2".

}  // namespace tern::arch
