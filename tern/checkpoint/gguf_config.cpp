// Key by key.
#include "tern/checkpoint/gguf_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/load_matrix.h"

namespace tern::checkpoint {
namespace {

using arch::Architecture;
using arch::ModelConfig;
using formats::GgufFile;
using formats::GgufType;
using formats::GgufValue;

// Keys of the architecture "X." that are read here or change nothing for these architectures.
constexpr std::array<std::string_view, 19> kKnownKeys{
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scale_linear",
    "vocab_size",
    "tensor_data_layout",
};

// Keys that change the function; only the neutral value (booleans: 0 or 1) is accepted.
struct Neutral {
  std::string_view key;
  double value;
};
constexpr std::array kNeutral{
    Neutral{"expert_count", 0},
    Neutral{"expert_used_count", 0},
    Neutral{"expert_shared_count", 0},
    Neutral{"leading_dense_block_count", 0},
    Neutral{"use_parallel_residual", 0},
    Neutral{"logit_scale", 1},
    Neutral{"residual_scale", 1},
    Neutral{"embedding_scale", 1},
    Neutral{"attn_logit_softcapping", 0},
    Neutral{"final_logit_softcapping", 0},
    Neutral{"swin_norm", 0},
    Neutral{"pooling_type", 0},
    Neutral{"attention.causal", 1},
    Neutral{"attention.sliding_window", 0},
    Neutral{"attention.max_alibi_bias", 0},
    Neutral{"attention.clamp_kqv", 0},
    Neutral{"attention.scale", 0},
    Neutral{"rope.scaling.attn_factor", 1},
};

class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  [[noreturn]] void fail(std::string_view key, const std::string& found,
                         const std::string& expected,
                         ErrorCode code = ErrorCode::kCorruptFile) const {
    throw Error(code, file_.name() + ": key '" + prefix_ + std::string(key) + "' is " + found +
                          ", expected " + expected);
  }

  const GgufValue* find(std::string_view key) const {
    return file_.find(prefix_ + std::string(key));
  }

  std::optional<std::uint64_t> uint(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    const auto number = value->as_uint();
    if (!number) fail(key, "no single whole number", "one that holds for all layers");
    return number;
  }
  std::uint64_t needed_uint(std::string_view key) const {
    const auto number = uint(key);
    if (!number) fail(key, "missing", "a whole number");
    return *number;
  }
  std::optional<double> number(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    const auto found = value->as_number();
    if (!found || !std::isfinite(*found)) fail(key, "no finite number", "one");
    return found;
  }

  const std::string& prefix() const noexcept { return prefix_; }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

std::string text_of(const GgufValue& value) {
  if (const auto text = value.as_string()) return "'" + std::string(*text) + "'";
  if (const auto flag = value.as_bool()) return *flag ? "true" : "false";
  if (const auto number = value.as_number()) return std::to_string(*number);
  return "a list";
}

void refuse_unknown_functions(const GgufFile& file, const Keys& keys, const Notice& notice) {
  for (const formats::GgufEntry& entry : file.metadata()) {
    if (!entry.key.starts_with(keys.prefix())) continue;
    const std::string_view key = entry.key.substr(keys.prefix().size());
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end()) continue;
    const auto* neutral = std::find_if(kNeutral.begin(), kNeutral.end(),
                                       [&](const Neutral& n) { return n.key == key; });
    if (neutral == kNeutral.end()) {
      notify(notice, file.name() + ": key '" + std::string(entry.key) + "' (" +
                         text_of(entry.value) + ") is not known to tern and was ignored.");
      continue;
    }
    const auto flag = entry.value.as_bool();
    const auto number = flag ? std::optional<double>(*flag ? 1 : 0) : entry.value.as_number();
    if (number != neutral->value) {
      keys.fail(key, text_of(entry.value),
                flag ? (neutral->value != 0 ? "true" : "false") : std::to_string(neutral->value),
                ErrorCode::kUnsupported);
    }
  }
}

void read_sizes(const GgufFile& file, const Keys& keys, ModelConfig& model) {
  model.hidden = keys.needed_uint("embedding_length");
  model.ffn = keys.needed_uint("feed_forward_length");
  model.layers = keys.needed_uint("block_count");
  model.heads = keys.needed_uint("attention.head_count");
  model.kv_heads = keys.uint("attention.head_count_kv").value_or(model.heads);
  model.context = keys.needed_uint("context_length");
  if (const auto length = keys.uint("attention.key_length")) {
    model.head_dim = *length;
  } else if (model.heads != 0 && model.hidden % model.heads == 0) {
    model.head_dim = model.hidden / model.heads;
  } else {
    keys.fail("embedding_length", std::to_string(model.hidden),
              "a multiple of the " + std::to_string(model.heads) + " attention heads");
  }
  const auto value_length = keys.uint("attention.value_length");
  if (value_length && *value_length != model.head_dim) {
    keys.fail("attention.value_length", std::to_string(*value_length),
              "the head size of " + std::to_string(model.head_dim), ErrorCode::kUnsupported);
  }
  if (const auto vocab = keys.uint("vocab_size")) {
    model.vocab = *vocab;
  } else if (const TensorView* embedding = file.tensor("token_embd.weight")) {
    model.vocab = static_cast<std::size_t>(embedding->rows());
  } else if (const GgufValue* tokens = file.find("tokenizer.ggml.tokens")) {
    model.vocab = static_cast<std::size_t>(tokens->count);
  }
  const auto eps = keys.number("attention.layer_norm_rms_epsilon");
  if (!eps) keys.fail("attention.layer_norm_rms_epsilon", "missing", "a small number");
  if (!(*eps > 0 && *eps <= 1)) {
    keys.fail("attention.layer_norm_rms_epsilon", std::to_string(*eps),
              "more than 0 and at most 1");
  }
  model.rms_eps = static_cast<float>(*eps);
}

void read_rope(const GgufFile& file, const Keys& keys, ModelConfig& model) {
  model.rope_theta = keys.number("rope.freq_base").value_or(10000.0);
  const auto dimensions = keys.uint("rope.dimension_count");
  if (dimensions && *dimensions != model.head_dim) {
    keys.fail("rope.dimension_count", std::to_string(*dimensions),
              "the head size of " + std::to_string(model.head_dim), ErrorCode::kUnsupported);
  }
  std::string type = "linear";
  if (const GgufValue* value = keys.find("rope.scaling.type")) {
    const auto text = value->as_string();
    if (!text) keys.fail("rope.scaling.type", text_of(*value), "a name");
    type = *text;
  }
  if (type != "none" && type != "linear") {
    keys.fail("rope.scaling.type", "'" + type + "'", "'none' or 'linear'", ErrorCode::kUnsupported);
  }
  auto factor = keys.number("rope.scaling.factor");
  if (!factor) factor = keys.number("rope.scale_linear");
  if (type == "linear" && factor && *factor != 0) model.rope_linear_factor = *factor;
  if (const TensorView* factors = file.tensor("rope_freqs.weight")) {
    try {
      model.rope_factors = read_floats(*factors);
    } catch (const Error& e) {
      throw with_context(file.name(), e);
    }
  }
}

// The head is tied where there is none, where the architecture never looks for one, and where it is
// the embedding stored twice.
bool head_is_tied(const GgufFile& file, const Architecture& a) {
  const TensorView* head = file.tensor("output.weight");
  const TensorView* embedding = file.tensor("token_embd.weight");
  if (head == nullptr || a.gguf_always_tied) return true;
  if (embedding == nullptr || head->type != embedding->type || head->shape != embedding->shape ||
      !std::equal(head->bytes.begin(), head->bytes.end(), embedding->bytes.begin(),
                  embedding->bytes.end())) {
    return false;
  }
  drop_pages(head->bytes);
  return true;
}

// What tern's own key says of linear layers where neither architecture nor tensor types tell
// (docs/formats/gguf.md). Other programs do not know it.
void read_activations_key(const GgufFile& file, ModelConfig& model) {
  const GgufValue* value = file.find(kActivationsKey);
  if (value == nullptr) return;
  const auto word = value->as_string();
  if (word != "token" && word != "float") {
    throw Error(ErrorCode::kUnsupported, file.name() + ": key '" + std::string(kActivationsKey) +
                                             "' is " + text_of(*value) +
                                             ", expected 'token' or 'float'");
  }
  model.declares_b158 = word == "token";
  model.declares_float = word == "float";
  model.activation_rule_source = "key " + std::string(kActivationsKey);
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file, const Notice& notice) {
  const GgufValue* name = file.find("general.architecture");
  const auto text = name != nullptr ? name->as_string() : std::nullopt;
  if (!text) {
    throw Error(ErrorCode::kCorruptFile,
                file.name() + ": key 'general.architecture' is missing, expected a name");
  }
  const Architecture* a = arch::architecture_by_gguf_name(*text);
  if (a == nullptr) {
    throw Error(ErrorCode::kUnsupported, file.name() + ": architecture '" + std::string(*text) +
                                             "' found, expected one of " +
                                             arch::architecture_names());
  }
  const Keys keys(file, *text);
  ModelConfig model;
  model.arch = a->id;
  if (const GgufValue* value = file.find("general.name")) {
    model.name = value->as_string().value_or("");
  }
  refuse_unknown_functions(file, keys, notice);
  read_sizes(file, keys, model);
  read_rope(file, keys, model);
  model.activation = a->gguf_activation;
  model.activation_source = "architecture table (GGUF has no key for it)";
  model.tied_head = head_is_tied(file, *a);
  model.qk_norm = a->qk_norm;
  const auto has = [&](arch::TensorRole role) {
    const arch::TensorSpec* spec = arch::find_spec(*a, role);
    return spec != nullptr && file.tensor(arch::tensor_name(spec->gguf, 0)) != nullptr;
  };
  using arch::TensorRole;
  model.sub_norms = a->sub_norms || has(TensorRole::kAttnSubNorm);
  model.qkv_bias = has(TensorRole::kQBias) || has(TensorRole::kKBias) || has(TensorRole::kVBias);
  model.o_bias = has(TensorRole::kOBias);
  model.mlp_bias =
      has(TensorRole::kGateBias) || has(TensorRole::kUpBias) || has(TensorRole::kDownBias);
  model.declares_b158 = a->declares_b158;
  model.activation_rule_source =
      a->declares_b158 ? "architecture " + std::string(*text) : "the weights (nothing declared)";
  read_activations_key(file, model);
  arch::validate(model, file.name());
  return model;
}

}  // namespace tern::checkpoint
