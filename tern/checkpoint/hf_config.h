// config.json of an HF folder -> ModelConfig, and what it says of how weights are stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/arch/model_config.h"
#include "tern/base/json.h"
#include "tern/quant/float_codec.h"

namespace tern::checkpoint {

// How the linear layers of a folder are stored and what they mean.
enum class HfStorage {
  kPlain,     // Nothing declared: what stands there is what is multiplied.
  kMultiply,  // Packed, weight = digit * weight_scale (linear_class "autobitlinear").
  kDivide,    // Packed, weight = digit / weight_scale (linear_class "bitlinear").
  kLatent,    // Full-precision weights that b1.58 quantises on load.
  kTrained,   // The same, of the kind that HfConfig::latent names and whatever their values: what
              // tern's trainer writes (quant_method "tern").
  kFloat,     // Declared to be floats: nothing is quantised (quant_method "tern", weights "fp").
};

struct HfConfig {
  arch::ModelConfig model;  // tied_head is provisional where `tied` says nothing.
  HfStorage storage = HfStorage::kPlain;
  quant::LatentQuantization latent;        // Of kTrained.
  std::vector<std::string> not_converted;  // quantization_config.modules_to_not_convert.
  std::optional<bool> tied;                // tie_word_embeddings.
  std::optional<std::uint64_t> bos;
  std::vector<std::uint64_t> eos;
};

// Reads and validates. Whatever changes the function and is not understood is refused. Throws Error
// naming `what`, the field, what was found and what was expected.
HfConfig read_hf_config(const Json& json, std::string_view what);

// Whether modules_to_not_convert names the module that holds `tensor`: an entry stands for itself,
// for all below it and for a part of a path ("lm_head", "model.layers.0", "mlp.down_proj").
bool is_not_converted(const std::vector<std::string>& entries, std::string_view tensor);

// "b1.58 per tensor", "b1 per group of 128": for people.
std::string latent_text(const quant::LatentQuantization& latent);

// A token id or a list of them, as eos_token_id is written; empty where the field is missing.
std::vector<std::uint64_t> read_ids(const Json& json, const char* key, std::string_view what);

}  // namespace tern::checkpoint
