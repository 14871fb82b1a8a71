// The fields that transformers and tern read.
#include "tern/convert/hf_config_out.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tern/arch/architecture.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/model/rope_frequencies.h"

namespace tern::convert {
namespace {

using arch::ModelConfig;

// The shortest number that is this float: 1e-05, not 9.999999747378752e-06.
double tidy(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

bool close(const std::vector<double>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, float y) {
    return std::abs(x - static_cast<double>(y)) <= 1e-6 * std::abs(x);
  });
}

// The rule of Llama 3.1 that makes the model's rope factors. A GGUF holds only the factors.
std::optional<arch::Llama3RopeScaling> llama3_scaling(const ModelConfig& config,
                                                      std::string_view what) {
  if (config.rope_llama3) return config.rope_llama3;
  const auto& factors = config.rope_factors;
  if (std::ranges::all_of(factors, [](float f) { return f == 1; })) return std::nullopt;
  ModelConfig guess = config;
  guess.rope_factors.clear();
  arch::Llama3RopeScaling scaling;
  scaling.factor = static_cast<double>(*std::ranges::max_element(factors));
  for (std::uint64_t context = 32; context <= std::uint64_t{1} << 20; context *= 2) {
    scaling.original_context = context;
    guess.rope_llama3 = scaling;
    if (close(model::rope_factors(guess), factors)) return scaling;
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: rope_freqs.weight holds factors that rope_type \"llama3\" does not "
                          "make, and config.json cannot hold others",
                          what));
}

void set_rope(Json& json, const ModelConfig& config, std::string_view what) {
  json["rope_theta"] = tidy(static_cast<float>(config.rope_theta));
  if (config.rope_linear_factor != 1) {
    json["rope_scaling"] = {{"rope_type", "linear"},
                            {"type", "linear"},
                            {"factor", tidy(static_cast<float>(config.rope_linear_factor))}};
  }
  if (const auto scaling = llama3_scaling(config, what)) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling->factor},
                            {"low_freq_factor", scaling->low_freq_factor},
                            {"high_freq_factor", scaling->high_freq_factor},
                            {"original_max_position_embeddings", scaling->original_context}};
  }
}

void set_ids(Json& json, const checkpoint::Checkpoint& in) {
  const auto& tokenizer = in.tokenizer();
  if (!tokenizer) return;
  if (tokenizer->bos) json["bos_token_id"] = *tokenizer->bos;
  if (tokenizer->eos) json["eos_token_id"] = *tokenizer->eos;
  if (tokenizer->pad) json["pad_token_id"] = *tokenizer->pad;
}

Json new_config(const checkpoint::Checkpoint& in) {
  const ModelConfig& c = in.config();
  const arch::Architecture& a = arch::architecture(c.arch);
  if (c.qkv_bias != c.o_bias) {
    throw Error(ErrorCode::kUnsupported,
                in.name() +
                    ": attention has biases in some products only, which config.json "
                    "cannot say (expected all four or none)");
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
  set_rope(json, c, in.name());
  set_ids(json, in);
  return json;
}

Json source_config(const checkpoint::Checkpoint& in) {
  const std::filesystem::path path = in.folder() / "config.json";
  Json json = parse_json(read_text_file(path), path.string());
  json["tie_word_embeddings"] = in.config().tied_head;
  json.erase("dtype");
  return json;
}

std::string torch_name(DType type) {
  return type == DType::kBF16 ? "bfloat16" : type == DType::kF16 ? "float16" : "float32";
}

}  // namespace

Json config_json(const checkpoint::Checkpoint& in, const HfBody& body) {
  Json json = in.folder().empty() ? new_config(in) : source_config(in);
  json["torch_dtype"] = torch_name(body.dtype);
  std::vector<std::string> apart{"lm_head"};
  if (const auto old = json.find("quantization_config"); old != json.end() && old->is_object()) {
    const auto list = old->find("modules_to_not_convert");
    if (list != old->end() && list->is_array()) {
      for (const Json& name : *list) apart.push_back(name.get<std::string>());
    }
  }
  json.erase("quantization_config");
  if (!body.packed) return json;
  apart.insert(apart.end(), body.not_packed.begin(), body.not_packed.end());
  std::ranges::sort(apart);
  apart.erase(std::unique(apart.begin(), apart.end()), apart.end());
  const bool divides = body.linear_class == LinearClass::kBitLinear;
  json["quantization_config"] = {{"quant_method", "bitnet"},
                                 {"linear_class", divides ? "bitlinear" : "autobitlinear"},
                                 {"quantization_mode", "offline"},
                                 {"modules_to_not_convert", apart}};
  return json;
}

Json generation_json(const checkpoint::Checkpoint& in) {
  Json json = Json::object();
  set_ids(json, in);
  if (const auto& tokenizer = in.tokenizer(); tokenizer && tokenizer->end_ids.size() > 1) {
    json["eos_token_id"] = tokenizer->end_ids;
  }
  const checkpoint::GenerationDefaults& defaults = in.generation();
  if (defaults.temperature) json["temperature"] = *defaults.temperature;
  if (defaults.top_p) json["top_p"] = *defaults.top_p;
  if (defaults.top_k) json["top_k"] = *defaults.top_k;
  if (defaults.repetition_penalty) json["repetition_penalty"] = *defaults.repetition_penalty;
  return json;
}

}  // namespace tern::convert
