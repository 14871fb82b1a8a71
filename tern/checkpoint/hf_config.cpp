// Field by field, with the defaults of the Hub's own classes where a field is missing.
#include "tern/checkpoint/hf_config.h"

#include <array>
#include <limits>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"

namespace tern::checkpoint {
namespace {

using arch::Architecture;
using arch::ArchitectureId;
using arch::ModelConfig;

[[noreturn]] void refuse(ErrorCode code, std::string_view what, const std::string& sentence) {
  throw Error(code, std::string(what) + ": " + sentence);
}

std::string shown(const Json& value) {
  std::string text = dump_json(value);
  return text.size() > 80 ? text.substr(0, 77) + "..." : text;
}

std::size_t size_field(const Json& json, const char* key, std::string_view what) {
  const auto value = json_uint(json, key, what);
  if (!value) {
    refuse(ErrorCode::kCorruptFile, what,
           "field '" + std::string(key) + "' is missing, expected a whole number");
  }
  return static_cast<std::size_t>(*value);
}

const Architecture& read_architecture(const Json& json, std::string_view what) {
  const std::string model_type = json_string(json, "model_type", what).value_or("");
  std::string hf_class;
  if (const auto it = json.find("architectures"); it != json.end() && !it->is_null()) {
    if (!it->is_array() || it->size() != 1 || !it->front().is_string()) {
      refuse(ErrorCode::kUnsupported, what,
             "field 'architectures' is " + shown(*it) + ", expected a list of one class");
    }
    hf_class = it->front().get<std::string>();
  }
  const Architecture* found = arch::architecture_by_hf(hf_class, model_type);
  if (found != nullptr) return *found;
  std::string known;
  for (const Architecture* a : arch::all_architectures()) {
    for (const std::string_view name : a->hf_classes) {
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
  }
  refuse(ErrorCode::kUnsupported, what,
         "architecture '" + hf_class + "' with model_type '" + model_type +
             "' found, expected one of " + known);
}

// Fields that change the function. Only the neutral value is accepted; null is neutral for all.
struct Neutral {
  const char* key;
  double value;  // As a number; false is 0, true is 1.
};
constexpr std::array kNeutral{
    Neutral{"partial_rotary_factor", 1},
    Neutral{"rotary_pct", 1},
    Neutral{"use_sliding_window", 0},
    Neutral{"attention_multiplier", 1},
    Neutral{"embedding_multiplier", 1},
    Neutral{"residual_multiplier", 1},
    Neutral{"key_multiplier", 1},
    Neutral{"lm_head_multiplier", 1},
    Neutral{"logits_scaling", 1},
    Neutral{"logit_scale", 1},
    Neutral{"scale_emb", 1},
    Neutral{"attn_logit_softcapping", 0},
    Neutral{"final_logit_softcapping", 0},
    Neutral{"num_experts", 0},
    Neutral{"num_local_experts", 0},
    Neutral{"n_routed_experts", 0},
    Neutral{"clip_qkv", 0},
    Neutral{"alibi", 0},
    Neutral{"parallel_attn", 0},
    Neutral{"use_parallel_residual", 0},
    Neutral{"is_encoder_decoder", 0},
    Neutral{"add_cross_attention", 0},
    Neutral{"weight_bits", 1},
    Neutral{"input_bits", 8},
};

void refuse_unknown_functions(const Json& json, const Architecture& a, std::string_view what) {
  for (const Neutral& neutral : kNeutral) {
    const auto it = json.find(neutral.key);
    if (it == json.end() || it->is_null()) continue;
    const bool right = it->is_boolean()  ? it->get<bool>() == (neutral.value != 0)
                       : it->is_number() ? it->get<double>() == neutral.value
                                         : false;
    if (!right) {
      refuse(ErrorCode::kUnsupported, what,
             "field '" + std::string(neutral.key) + "' is " + shown(*it) +
                 ", which tern does not compute (expected " +
                 (it->is_boolean() ? (neutral.value != 0 ? "true" : "false")
                                   : shown(Json(neutral.value))) +
                 " or none)");
    }
  }
  for (const char* key : {"qk_layernorm", "use_qk_norm", "qk_norm"}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_boolean()) continue;
    if (found->get<bool>() != a.qk_norm) {
      refuse(ErrorCode::kUnsupported, what,
             "field '" + std::string(key) + "' is " + shown(*found) +
                 ", which an architecture of '" + std::string(a.hf_classes.front()) +
                 "' does not have");
    }
  }
  if (const auto it = json.find("layer_types"); it != json.end() && !it->is_null()) {
    if (!it->is_array()) {
      refuse(ErrorCode::kCorruptFile, what,
             "field 'layer_types' is " + shown(*it) + ", expected a list");
    }
    for (const Json& type : *it) {
      if (type != "full_attention") {
        refuse(ErrorCode::kUnsupported, what,
               "layer_types has " + shown(type) + ", expected only \"full_attention\"");
      }
    }
  }
}

void read_activation(const Json& json, const Architecture& a, std::string_view what,
                     ModelConfig& model) {
  const auto name = json_string(json, "hidden_act", what);
  if (!name) {
    if (!a.hf_defaults.activation) {
      refuse(ErrorCode::kCorruptFile, what,
             "field 'hidden_act' is missing, expected \"relu2\" or \"silu\"");
    }
    model.activation = *a.hf_defaults.activation;
    model.activation_source = "default of " + std::string(a.hf_classes.front());
    return;
  }
  if (*name == "silu" || *name == "swish") {
    model.activation = arch::GateActivation::kSilu;
  } else if (*name == "relu2" || *name == "relu_squared") {
    model.activation = arch::GateActivation::kReluSquared;
  } else {
    refuse(ErrorCode::kUnsupported, what,
           "activation '" + *name + "' found in field 'hidden_act', expected relu2 or silu");
  }
  model.activation_source = "config.json: hidden_act";
}

double scaling_number(const Json& scaling, const char* key, std::string_view what) {
  const auto value = json_number(scaling, key, what);
  if (!value) {
    refuse(ErrorCode::kCorruptFile, what,
           "RoPE scaling " + shown(scaling) + " lacks '" + key + "', expected a number");
  }
  return *value;
}

// One of rope_scaling (old) and rope_parameters (new, holds the base too).
void read_rope_object(const Json& scaling, std::string_view what, ModelConfig& model) {
  if (!scaling.is_object()) {
    refuse(ErrorCode::kCorruptFile, what,
           "RoPE scaling is " + shown(scaling) + ", expected an object");
  }
  for (const auto& [key, value] : scaling.items()) {
    if (value.is_object()) {
      refuse(ErrorCode::kUnsupported, what,
             "RoPE parameters for '" + key + "' alone found, expected one set for all layers");
    }
  }
  if (const auto base = json_number(scaling, "rope_theta", what)) model.rope_theta = *base;
  if (const auto part = json_number(scaling, "partial_rotary_factor", what); part && *part != 1) {
    refuse(ErrorCode::kUnsupported, what,
           "partial_rotary_factor of " + std::to_string(*part) + " found, expected 1");
  }
  auto type = json_string(scaling, "rope_type", what);
  if (!type) type = json_string(scaling, "type", what);
  if (!type || *type == "default" || *type == "none") return;
  if (*type == "linear") {
    model.rope_linear_factor = scaling_number(scaling, "factor", what);
  } else if (*type == "llama3") {
    arch::Llama3RopeScaling llama3;
    llama3.factor = scaling_number(scaling, "factor", what);
    llama3.low_freq_factor = scaling_number(scaling, "low_freq_factor", what);
    llama3.high_freq_factor = scaling_number(scaling, "high_freq_factor", what);
    llama3.original_context = size_field(scaling, "original_max_position_embeddings", what);
    model.rope_llama3 = llama3;
  } else {
    refuse(ErrorCode::kUnsupported, what,
           "RoPE scaling of type '" + *type + "' found, expected default, linear or llama3");
  }
}

void read_rope(const Json& json, const Architecture& a, std::string_view what, ModelConfig& model) {
  model.rope_theta = json_number(json, "rope_theta", what).value_or(a.hf_defaults.rope_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto it = json.find(key);
    if (it != json.end() && !it->is_null()) read_rope_object(*it, what, model);
  }
}

void read_sizes(const Json& json, const Architecture& a, std::string_view what,
                ModelConfig& model) {
  model.hidden = size_field(json, "hidden_size", what);
  model.ffn = size_field(json, "intermediate_size", what);
  model.layers = size_field(json, "num_hidden_layers", what);
  model.heads = size_field(json, "num_attention_heads", what);
  model.vocab = size_field(json, "vocab_size", what);
  model.kv_heads = json_uint(json, "num_key_value_heads", what).value_or(model.heads);
  model.context = json_uint(json, "max_position_embeddings", what).value_or(a.hf_defaults.context);
  model.head_dim = json_uint(json, "head_dim", what).value_or(a.hf_defaults.head_dim);
  if (model.head_dim == 0) {
    if (model.heads == 0 || model.hidden % model.heads != 0) {
      refuse(ErrorCode::kCorruptFile, what,
             "hidden_size of " + std::to_string(model.hidden) + " found with " +
                 std::to_string(model.heads) + " attention heads, expected a multiple");
    }
    model.head_dim = model.hidden / model.heads;
  }
  const double eps = json_number(json, "rms_norm_eps", what).value_or(a.hf_defaults.rms_eps);
  if (!(eps > 0 && eps <= 1)) {
    refuse(ErrorCode::kCorruptFile, what,
           "field 'rms_norm_eps' is " + std::to_string(eps) + ", expected more than 0, at most 1");
  }
  model.rms_eps = static_cast<float>(eps);
}

void read_not_converted(const Json& json, std::string_view where, HfConfig& out) {
  const auto list = json.find("modules_to_not_convert");
  if (list == json.end() || list->is_null()) return;
  if (!list->is_array()) {
    refuse(ErrorCode::kCorruptFile, where,
           "modules_to_not_convert is " + shown(*list) + ", expected a list of names");
  }
  for (const Json& entry : *list) {
    if (!entry.is_string()) {
      refuse(ErrorCode::kCorruptFile, where,
             "modules_to_not_convert holds " + shown(entry) + ", expected a name");
    }
    out.not_converted.push_back(entry.get<std::string>());
  }
}

// quant_method "bitnet": the Hub's.
void read_bitnet_quantization(const Json& json, std::string_view where, HfConfig& out) {
  const std::string linear = json_string(json, "linear_class", where).value_or("bitlinear");
  if (linear != "bitlinear" && linear != "autobitlinear") {
    refuse(ErrorCode::kUnsupported, where,
           "linear_class '" + linear + "' found, expected 'bitlinear' or 'autobitlinear'");
  }
  const std::string mode = json_string(json, "quantization_mode", where).value_or("offline");
  if (mode != "offline" && mode != "online") {
    refuse(ErrorCode::kUnsupported, where,
           "quantization_mode '" + mode + "' found, expected 'offline' or 'online'");
  }
  if (json_bool(json, "use_rms_norm", where).value_or(false)) {
    refuse(ErrorCode::kUnsupported, where,
           "use_rms_norm is true, but tern has no norm inside linear layers (expected false)");
  }
  out.storage = mode == "online"        ? HfStorage::kLatent
                : linear == "bitlinear" ? HfStorage::kDivide
                                        : HfStorage::kMultiply;
}

// A string field that must be there.
std::string needed_word(const Json& json, const char* key, std::string_view where,
                        const char* expected) {
  const auto word = json_string(json, key, where);
  if (!word) {
    refuse(ErrorCode::kCorruptFile, where,
           "field '" + std::string(key) + "' is missing, expected " + expected);
  }
  return *word;
}

// quant_method "tern": what the trainer writes where the Hub has no word for it.
void read_tern_quantization(const Json& json, std::string_view where, HfConfig& out) {
  constexpr const char* kWeights = "'b1.58', 'b1' or 'fp'";
  const std::string weights = needed_word(json, "weights", where, kWeights);
  if (json_bool(json, "sub_norms", where).value_or(false)) out.model.sub_norms = true;
  if (weights == "fp") {
    out.storage = HfStorage::kFloat;
    return;
  }
  if (weights != "b1.58" && weights != "b1") {
    refuse(ErrorCode::kUnsupported, where,
           "weights '" + weights + "' found, expected " + std::string(kWeights));
  }
  out.storage = HfStorage::kTrained;
  out.latent.kind = weights == "b1" ? quant::LatentKind::kBinary : quant::LatentKind::kTernary;
  constexpr const char* kScales = "'tensor', 'row' or 'group'";
  const std::string scale = needed_word(json, "scale", where, kScales);
  if (scale == "row") out.latent.scales = ScaleKind::kRow;
  if (scale == "tensor" || scale == "row") return;
  if (scale != "group") {
    refuse(ErrorCode::kUnsupported, where,
           "scale '" + scale + "' found, expected " + std::string(kScales));
  }
  out.latent.scales = ScaleKind::kGroup;
  out.latent.group = size_field(json, "group_size", where);
  constexpr std::size_t kWidest = std::size_t{1} << 20;  // No row is longer.
  if (out.latent.group == 0 || out.latent.group % kTernaryField != 0 ||
      out.latent.group > kWidest) {
    refuse(ErrorCode::kUnsupported, where,
           "group_size of " + std::to_string(out.latent.group) + " found, expected a multiple of " +
               std::to_string(kTernaryField) + " columns, at most " + std::to_string(kWidest));
  }
}

void read_quantization(const Json& json, const Architecture& a, std::string_view what,
                       HfConfig& out) {
  ModelConfig& model = out.model;
  model.declares_b158 = a.declares_b158;
  model.activation_rule_source =
      a.declares_b158 ? "architecture " + std::string(a.name) : "the weights (nothing declared)";
  if (a.declares_b158) out.storage = HfStorage::kLatent;

  const auto it = json.find("quantization_config");
  if (it == json.end() || it->is_null()) return;
  const std::string where = std::string(what) + ": quantization_config";
  const std::string method = json_string(*it, "quant_method", where).value_or("");
  if (method == "bitnet") {
    read_bitnet_quantization(*it, where, out);
  } else if (method == "tern") {
    read_tern_quantization(*it, where, out);
  } else {
    refuse(ErrorCode::kUnsupported, where,
           "quant_method '" + method + "' found, expected 'bitnet' or 'tern'");
  }
  read_not_converted(*it, where, out);
  model.declares_float = out.storage == HfStorage::kFloat;
  model.declares_b158 = !model.declares_float;
  model.activation_rule_source = "config.json: quantization_config";
}

}  // namespace

HfConfig read_hf_config(const Json& json, std::string_view what) {
  if (!json.is_object()) {
    refuse(ErrorCode::kCorruptFile, what, shown(json) + " found, expected an object");
  }
  HfConfig out;
  ModelConfig& model = out.model;
  const Architecture& a = read_architecture(json, what);
  model.arch = a.id;
  model.sub_norms = a.sub_norms;
  model.qk_norm = a.qk_norm;
  read_sizes(json, a, what, model);
  refuse_unknown_functions(json, a, what);
  read_activation(json, a, what, model);
  read_rope(json, a, what, model);
  model.qkv_bias = json_bool(json, "attention_bias", what).value_or(false);
  model.o_bias = model.qkv_bias;
  model.mlp_bias = json_bool(json, "mlp_bias", what).value_or(false);
  if (model.mlp_bias && arch::find_spec(a, arch::TensorRole::kGateBias) == nullptr) {
    refuse(ErrorCode::kUnsupported, what,
           "field 'mlp_bias' is true, which '" + std::string(a.hf_classes.front()) +
               "' does not have");
  }
  out.tied = json_bool(json, "tie_word_embeddings", what);
  model.tied_head = out.tied.value_or(false);
  read_quantization(json, a, what, out);
  const auto bos = read_ids(json, "bos_token_id", what);
  if (!bos.empty()) out.bos = bos.front();
  out.eos = read_ids(json, "eos_token_id", what);
  arch::validate(model, what);
  return out;
}

bool is_not_converted(const std::vector<std::string>& entries, std::string_view tensor) {
  const std::string path = "." + std::string(tensor.substr(0, tensor.rfind('.'))) + ".";
  for (const std::string& entry : entries) {
    if (!entry.empty() && path.find("." + entry + ".") != std::string::npos) return true;
  }
  return false;
}

std::string latent_text(const quant::LatentQuantization& latent) {
  std::string text = latent.kind == quant::LatentKind::kBinary ? "b1" : "b1.58";
  switch (latent.scales) {
    case ScaleKind::kTensor:
      return text + " per tensor";
    case ScaleKind::kRow:
      return text + " per row";
    case ScaleKind::kGroup:
      return text + " per group of " + std::to_string(latent.group);
  }
  return text;
}

std::vector<std::uint64_t> read_ids(const Json& json, const char* key, std::string_view what) {
  std::vector<std::uint64_t> ids;
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return ids;
  const auto add = [&](const Json& id) {
    if (!id.is_number_unsigned() ||
        id.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      refuse(ErrorCode::kCorruptFile, what,
             "field '" + std::string(key) + "' is " + shown(*it) +
                 ", expected a token id or a list of them");
    }
    ids.push_back(id.get<std::uint64_t>());
  };
  if (it->is_array()) {
    for (const Json& id : *it) add(id);
  } else {
    add(*it);
  }
  return ids;
}

}  // namespace tern::checkpoint
