// Low-rank adapters (LoRA, arXiv 2106.09685) in the form that PEFT writes: a folder of
// adapter_config.json and adapter_model.safetensors, beside a base model that stays as it is.
//
//   y = W x + bias + scale * B (A x)     scale = alpha / r, or alpha / sqrt(r) with use_rslora
//
// x is the layer's input in floats, before any quantisation. A is (r, in), B is (out, r); the
// tensors are base_model.model.MODULE.lora_A.weight and .lora_B.weight, MODULE as Hugging Face has
// it ("model.layers.0.self_attn.q_proj"), rows in its rotate-half order.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/arch/model_config.h"
#include "tern/base/json.h"
#include "tern/formats/safetensors.h"
#include "tern/tensor/dense_matrix.h"

namespace tern::checkpoint {

inline constexpr std::string_view kLoraConfigName = "adapter_config.json";
inline constexpr std::string_view kLoraWeightsName = "adapter_model.safetensors";
inline constexpr std::size_t kMaxLoraRank = 65536;

// What adapter_config.json says that matters here.
struct LoraDescription {
  std::size_t rank = 0;
  double alpha = 0;
  bool rank_stabilised = false;      // use_rslora.
  std::vector<std::string> targets;  // target_modules; empty: a pattern, the tensors decide.
  bool some_layers = false;          // Layers or modules are left out by other keys.
  double scale() const;
};

// Reads and checks. Options of PEFT that would change the function (DoRA, biases, modules_to_save,
// ranks by pattern, ...) are refused, and so is any other key that is neither known nor off. Throws
// Error naming `what`, the key, what was found and what was expected.
LoraDescription read_lora_config(const Json& json, const std::string& what);

// The other way: every key that PEFT needs to load the adapter, `base` as base_model_name_or_path.
Json lora_config_json(const LoraDescription& lora, const std::string& base);

// "base_model.model.MODULE.lora_A.weight"; `half` is 'A' or 'B'.
std::string lora_tensor_name(std::string_view module, char half);

// One layer's A and B, both F32 in memory of their own; B holds the scale, each product rounded to
// float32 once.
struct LowRank {
  DenseMatrix a;  // (r, in)
  DenseMatrix b;  // (out, r)
};

// Const after construction, shared by threads.
class LoraAdapter {
 public:
  // `config`: of the base. Throws Error naming file, thing, found and expected: no adapter in the
  // folder, an option that is not understood, a tensor that is missing, unknown or of another shape
  // than the base and `r` say, a number that is not finite.
  LoraAdapter(const std::filesystem::path& folder, const arch::ModelConfig& config);
  // From the two files' contents; `name` stands in messages.
  LoraAdapter(const Json& json, const formats::SafetensorsFile& weights,
              const arch::ModelConfig& config, std::string name);

  const std::string& name() const noexcept { return name_; }
  const LoraDescription& description() const noexcept { return description_; }
  // Of a linear layer's weight; nullptr: that layer has none.
  const LowRank* find(arch::TensorRole role, std::size_t layer) const noexcept;
  std::size_t layers() const noexcept { return pairs_.size(); }  // That have one.

 private:
  std::string name_;
  LoraDescription description_;
  std::map<std::pair<arch::TensorRole, std::size_t>, LowRank> pairs_;
};

}  // namespace tern::checkpoint
