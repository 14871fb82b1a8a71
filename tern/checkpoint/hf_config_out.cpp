// Writes what hf_config.cpp reads.
#include "tern/checkpoint/hf_config_out.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"

namespace tern::checkpoint {
namespace {

using arch::ModelConfig;

// The shortest number that is this float: 1e-05, not 9.999999747378752e-06.
double tidy(float value) {
  std::array<char, 32> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  double out = 0;
  std::from_chars(digits.data(), end, out);
  return out;
}

void set_rope(Json& json, const ModelConfig& config, std::string_view what) {
  json["rope_theta"] = tidy(static_cast<float>(config.rope_theta));
  if (config.rope_linear_factor != 1) {
    json["rope_scaling"] = {{"rope_type", "linear"},
                            {"type", "linear"},
                            {"factor", tidy(static_cast<float>(config.rope_linear_factor))}};
  }
  if (const auto& scaling = config.rope_llama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling->factor},
                            {"low_freq_factor", scaling->low_freq_factor},
                            {"high_freq_factor", scaling->high_freq_factor},
                            {"original_max_position_embeddings", scaling->original_context}};
  } else if (std::ranges::any_of(config.rope_factors, [](float f) { return f != 1; })) {
    throw Error(ErrorCode::kUnsupported,
                std::string(what) +
                    ": its rope factors come without a rule that makes them, and "
                    "config.json cannot hold factors");
  }
}

void set_ids(Json& json, const tokenizer::TokenizerData* tokenizer) {
  if (tokenizer == nullptr) return;
  if (tokenizer->bos) json["bos_token_id"] = *tokenizer->bos;
  if (tokenizer->eos) json["eos_token_id"] = *tokenizer->eos;
  if (tokenizer->pad) json["pad_token_id"] = *tokenizer->pad;
}

}  // namespace

Json hf_config(const ModelConfig& c, const tokenizer::TokenizerData* tokenizer,
               std::string_view what) {
  const arch::Architecture& a = arch::architecture(c.arch);
  if (c.qkv_bias != c.o_bias) {
    throw Error(ErrorCode::kUnsupported, std::string(what) +
                                             ": attention has biases in some products only, which "
                                             "config.json cannot say (expected all four or none)");
  }
  Json json = {{"architectures", {std::string(a.hf_classes.front())}},
               {"model_type", std::string(a.hf_model_types.front())},
               {"vocab_size", c.vocab},
               {"hidden_size", c.hidden},
               {"intermediate_size", c.ffn},
               {"num_hidden_layers", c.layers},
               {"num_attention_heads", c.heads},
               {"num_key_value_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"max_position_embeddings", c.context},
               {"rms_norm_eps", tidy(c.rms_eps)},
               {"hidden_act", std::string(arch::activation_name(c.activation))},
               {"tie_word_embeddings", c.tied_head},
               {"attention_bias", c.qkv_bias},
               {"attention_dropout", 0.0},
               {"initializer_range", 0.02},
               {"use_cache", true}};
  if (c.arch == arch::ArchitectureId::kLlama) json["mlp_bias"] = c.mlp_bias;
  if (c.arch == arch::ArchitectureId::kBitnet) {
    json["weight_bits"] = 1;
    json["input_bits"] = 8;
  }
  set_rope(json, c, what);
  set_ids(json, tokenizer);
  return json;
}

Json hf_generation_config(const tokenizer::TokenizerData* tokenizer) {
  Json json = Json::object();
  set_ids(json, tokenizer);
  if (tokenizer != nullptr && tokenizer->end_ids.size() > 1) {
    json["eos_token_id"] = tokenizer->end_ids;
  }
  return json;
}

}  // namespace tern::checkpoint
