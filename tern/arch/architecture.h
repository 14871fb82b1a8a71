// Architectures as data: how each is spelt in config.json and GGUF, which tensors it has, of which
// shapes, and the oddities of its files. A new one is arch/<name>.cpp and a row in kArchitectures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/arch/model_config.h"

namespace tern::arch {

// What a tensor is for. One name for both file formats, tools and traces.
enum class TensorRole : std::uint8_t {
  kEmbedding,
  kOutputNorm,
  kHead,
  kRopeFactors,  // Once per model.
  kAttnNorm,
  kQ,
  kK,
  kV,
  kQBias,
  kKBias,
  kVBias,
  kQNorm,
  kKNorm,
  kAttnSubNorm,
  kO,
  kOBias,
  kFfnNorm,
  kGate,
  kUp,
  kGateBias,
  kUpBias,
  kFfnSubNorm,
  kDown,
  kDownBias,  // Once per layer.
};

enum class TensorShape : std::uint8_t {
  kVocabByHidden,
  kHidden,
  kHeadDim,
  kHalfHeadDim,
  kQByHidden,
  kKvByHidden,
  kHiddenByQ,
  kFfnByHidden,
  kHiddenByFfn,
  kQ,
  kKv,
  kFfn,
};

struct TensorSpec {
  TensorRole role;
  std::string_view
      hf;  // "model.layers.{}.self_attn.q_proj.weight"; "{}" is the layer. Empty: none.
  std::string_view gguf;  // "blk.{}.attn_q.weight".
  TensorShape shape;
  bool linear = false;  // A product of the body: ternary in a b1.58 model.

  constexpr bool per_layer() const noexcept { return role >= TensorRole::kAttnNorm; }
  constexpr bool is_matrix() const noexcept {
    return linear || role == TensorRole::kEmbedding || role == TensorRole::kHead;
  }
};

struct Architecture {
  ArchitectureId id;
  std::string_view name;                         // For people.
  std::span<const std::string_view> gguf_names;  // general.architecture; the first is written.
  // config.json: entries of `architectures`, which decide, and the `model_type`s that may stand
  // beside them (1bitLLM's is "llama").
  std::span<const std::string_view> hf_classes;
  std::span<const std::string_view> hf_model_types;
  bool hf_only_by_class;                // Its model_types are another architecture's.
  std::span<const TensorSpec> tensors;  // Every tensor it can have.
  GateActivation gguf_activation;       // GGUF has no key for it; this table decides.
  bool gguf_interleaved_rope;           // q and k rows are permuted when written to GGUF.
  bool gguf_scale_tensors;  // A projection may have a one-element ".scale" beside ".weight".
  bool gguf_always_tied;    // output.weight is never looked for.
  bool sub_norms;  // Every model of it has them; others may have them inserted (ModelConfig).
  bool qk_norm, declares_b158;
  // What the Hub's own code takes where config.json is silent; no activation: refused.
  struct HfDefaults {
    std::optional<GateActivation> activation;
    double rms_eps, rope_theta;
    std::size_t context;
    std::size_t head_dim;  // 0: hidden / heads.
  } hf_defaults;
};

std::span<const Architecture* const> all_architectures() noexcept;
const Architecture& architecture(ArchitectureId id) noexcept;
const Architecture* architecture_by_gguf_name(std::string_view name) noexcept;
// By the class, or by the model_type where config.json names no class (`hf_class` empty). Nullptr
// where nothing fits, or class and model_type contradict each other.
const Architecture* architecture_by_hf(std::string_view hf_class,
                                       std::string_view model_type) noexcept;
// "bitnet-b1.58, bitnet, ...": what there is, for messages.
std::string architecture_names();

const TensorSpec* find_spec(const Architecture& architecture, TensorRole role) noexcept;

// The tensor's name in a file, with the layer put in.
std::string tensor_name(std::string_view pattern, std::size_t layer);
std::vector<std::uint64_t> tensor_shape(TensorShape shape, const ModelConfig& config);
// Whether a model with this config has the tensor: it must be there where this says so, and one
// for which it does not is refused (but for a second copy of a tied head, and rope factors).
bool needed(const TensorSpec& spec, const ModelConfig& config) noexcept;

// Row `r` of GGUF's interleaved order is row interleaved_source(r, head_dim) of HF's rotate-half
// order, within a head: HF rows i and i + head_dim / 2 become GGUF rows 2 i and 2 i + 1.
constexpr std::size_t interleaved_source(std::size_t r, std::size_t head_dim) noexcept {
  const std::size_t in_head = r % head_dim;
  return r - in_head + in_head / 2 + (in_head % 2) * (head_dim / 2);
}

// The published shapes that `tern synth`, `bench` and `cost` know by name (bitnet-2b4t, ...).
std::optional<ModelConfig> named_shape(std::string_view name);
std::vector<std::string_view> shape_names();

}  // namespace tern::arch
