// What PEFT's files may say, and the pairs of matrices in them.
#include "tern/checkpoint/lora_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/checkpoint/load_matrix.h"

namespace tern::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.";

// Keys that say how an adapter was made or is to be trained, but not what it computes; and those
// that read_lora_config() reads itself.
constexpr std::array<std::string_view, 25> kKnownKeys{"auto_mapping",
                                                      "base_model_name_or_path",
                                                      "corda_config",
                                                      "eva_config",
                                                      "inference_mode",
                                                      "lora_dropout",
                                                      "loftq_config",
                                                      "megatron_config",
                                                      "megatron_core",
                                                      "qalora_group_size",
                                                      "revision",
                                                      "peft_version",
                                                      "layers_pattern",
                                                      "ensure_weight_tying",
                                                      "peft_type",
                                                      "task_type",
                                                      "r",
                                                      "lora_alpha",
                                                      "use_rslora",
                                                      "bias",
                                                      "target_modules",
                                                      "exclude_modules",
                                                      "lora_ga_config",
                                                      "layers_to_transform",
                                                      "init_lora_weights"};

[[noreturn]] void refuse(const std::string& what, const std::string& sentence) {
  throw Error(ErrorCode::kUnsupported, what + ": " + sentence);
}

// null, false, "", [] and {}, as PEFT writes options that are not used.
bool is_off(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_object()) return std::ranges::all_of(value, is_off);
  return value.is_null() || (value.is_array() && value.empty());
}

bool given(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && !is_off(*found);
}

// A word that must be `expected` where it is given at all (`needed`: it must be).
void expect_word(const Json& json, const char* key, std::string_view expected, bool needed,
                 const std::string& what) {
  const auto word = json_string(json, key, what);
  if (word ? *word == expected : !needed) return;
  refuse(what, std::string("'") + key + "' " + (word ? "'" + *word + "' found" : "is missing") +
                   ", expected '" + std::string(expected) + "'");
}

// Ways to begin that leave the base as it is; others (PiSSA, OLoRA, CorDA, LoftQ) change it, and
// their adapters fit no other base.
void check_beginning(const Json& json, const std::string& what) {
  const auto found = json.find("init_lora_weights");
  if (found == json.end() || found->is_boolean() || found->is_null()) return;
  for (const char* word : {"gaussian", "eva", "orthogonal"}) {
    if (*found == word) return;
  }
  refuse(what, "'init_lora_weights' " + dump_json(*found) +
                   " found, expected an adapter that was begun without changing the base (true, "
                   "false, gaussian, eva or orthogonal)");
}

std::vector<std::string> read_targets(const Json& json, const std::string& what) {
  std::vector<std::string> targets;
  const auto found = json.find("target_modules");
  if (found == json.end() || found->is_null() || found->is_string()) return targets;
  const auto is_name = [](const Json& entry) {
    return entry.is_string() && !entry.get_ref<const std::string&>().empty();
  };
  if (!found->is_array() || found->empty() || !std::ranges::all_of(*found, is_name)) {
    refuse(what, "'target_modules' " + dump_json(*found).substr(0, 200) +
                     " found, expected a list of names, or a pattern");
  }
  for (const Json& entry : *found) targets.push_back(entry.get<std::string>());
  return targets;
}

// A linear layer of the base.
struct Place {
  const arch::TensorSpec* spec;
  std::size_t layer;
};

// By module name: "model.layers.0.self_attn.q_proj".
std::map<std::string, Place, std::less<>> places(const arch::ModelConfig& config) {
  std::map<std::string, Place, std::less<>> all;
  for (const arch::TensorSpec& spec : arch::architecture(config.arch).tensors) {
    if (!spec.linear || !arch::needed(spec, config)) continue;
    for (std::size_t layer = 0; layer < config.layers; ++layer) {
      const std::string name = arch::tensor_name(spec.hf, layer);
      all.emplace(name.substr(0, name.rfind('.')), Place{&spec, layer});
    }
  }
  return all;
}

// As PEFT matches target_modules: the whole name, or its end behind a dot.
bool is_target(std::string_view module, std::string_view target) {
  return module == target || (module.size() > target.size() && module.ends_with(target) &&
                              module[module.size() - target.size() - 1] == '.');
}

// "MODULE" and 'A' or 'B' of a tensor's name.
std::optional<std::pair<std::string_view, char>> parts_of(std::string_view name) {
  for (const char half : {'A', 'B'}) {
    const std::string end = std::string(".lora_") + half + ".weight";
    if (name.starts_with(kPrefix) && name.ends_with(end) &&
        name.size() > kPrefix.size() + end.size()) {
      name.remove_prefix(kPrefix.size());
      name.remove_suffix(end.size());
      return std::pair{name, half};
    }
  }
  return std::nullopt;
}

const Place& place_of(const TensorView& tensor, const std::string& file,
                      const std::map<std::string, Place, std::less<>>& known,
                      const arch::ModelConfig& config) {
  const auto parts = parts_of(tensor.name);
  if (!parts) {
    refuse(file, tensor_text(tensor) + " found, expected only " + std::string(kPrefix) +
                     "MODULE.lora_A.weight and lora_B.weight");
  }
  const auto place = known.find(parts->first);
  if (place == known.end()) {
    refuse(file, tensor_text(tensor) +
                     " is for a module that is none of the base's linear layers, "
                     "expected the projections of attention and feed-forward in "
                     "its " +
                     std::to_string(config.layers) + " layers");
  }
  return place->second;
}

// A pair's half as floats, its shape checked.
DenseMatrix read_half(const TensorView& tensor, std::size_t rows, std::size_t cols, double scale,
                      const std::string& file, std::size_t rank) {
  const std::vector<std::uint64_t> expected{rows, cols};
  if (tensor.shape != expected) {
    throw Error(ErrorCode::kCorruptFile,
                file + ": " + tensor_text(tensor) + " is " + shape_text(tensor.shape) +
                    ", expected " + shape_text(expected) + " by the base and the rank of " +
                    std::to_string(rank) + " in " + std::string(kLoraConfigName));
  }
  std::vector<float> values;
  try {
    values = read_floats(tensor);
  } catch (const Error& e) {
    throw with_context(file, e);
  }
  DenseMatrix m;
  m.type = DType::kF32;
  m.rows = rows;
  m.cols = cols;
  m.owned = AlignedBuffer(values.size() * sizeof(float));
  const std::span<float> out = m.owned.as<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = static_cast<float>(static_cast<double>(values[i]) * scale);
    if (!std::isfinite(out[i])) {
      throw Error(ErrorCode::kCorruptFile, file + ": " + tensor_text(tensor) + " times " +
                                               std::to_string(scale) +
                                               " is not finite, expected float32 numbers");
    }
  }
  m.bytes = {m.owned.data(), m.owned.size()};
  return m;
}

// Every layer that target_modules names has its tensors, and no other has any.
void check_targets(const LoraDescription& lora, const std::set<std::string>& found,
                   const std::map<std::string, Place, std::less<>>& known, const std::string& what,
                   const std::string& file) {
  if (lora.targets.empty()) return;
  for (const std::string& module : found) {
    if (std::ranges::none_of(lora.targets,
                             [&](const std::string& t) { return is_target(module, t); })) {
      refuse(what,
             "the tensors have module '" + module + "', expected one that 'target_modules' names");
    }
  }
  for (const std::string& target : lora.targets) {
    bool any = false;
    for (const auto& [module, place] : known) {
      if (!is_target(module, target)) continue;
      any = true;
      if (found.contains(module) || lora.some_layers) continue;
      throw Error(ErrorCode::kCorruptFile, file + ": tensor '" + lora_tensor_name(module, 'A') +
                                               "' is missing, expected it because "
                                               "'target_modules' names '" +
                                               target + "'");
    }
    if (!any) {
      refuse(what,
             "'target_modules' names '" + target + "', expected linear layers that the base has");
    }
  }
}

// One of the two files, both of which must be there.
fs::path file_in(const fs::path& folder, std::string_view name) {
  for (const std::string_view needed : {kLoraConfigName, kLoraWeightsName}) {
    if (fs::exists(folder / needed)) continue;
    throw Error(ErrorCode::kIo, folder.string() + ": no " + std::string(needed) +
                                    " found, expected an adapter's folder with " +
                                    std::string(kLoraConfigName) + " and " +
                                    std::string(kLoraWeightsName));
  }
  return folder / name;
}

Json read_json(const fs::path& path) {
  return parse_json(read_text_file(path, 1u << 24), path.string());
}

}  // namespace

double LoraDescription::scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

LoraDescription read_lora_config(const Json& json, const std::string& what) {
  if (!json.is_object()) {
    throw Error(ErrorCode::kCorruptFile, what + ": no object found, expected PEFT's keys");
  }
  expect_word(json, "peft_type", "LORA", true, what);
  expect_word(json, "task_type", "CAUSAL_LM", false, what);
  expect_word(json, "bias", "none", false, what);
  check_beginning(json, what);
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(kKnownKeys, key) != kKnownKeys.end() || is_off(value)) continue;
    refuse(what, "'" + key.substr(0, 100) + "' " + dump_json(value).substr(0, 200) +
                     " found, expected none: this program does not have that option of adapters");
  }
  LoraDescription lora;
  const std::uint64_t rank = json_uint(json, "r", what).value_or(0);
  if (rank == 0 || rank > kMaxLoraRank) {
    refuse(what, "'r' " + std::to_string(rank) + " found, expected a rank of 1 to " +
                     std::to_string(kMaxLoraRank));
  }
  lora.rank = static_cast<std::size_t>(rank);
  const auto alpha = json_number(json, "lora_alpha", what);
  if (!alpha || !(*alpha > 0) || !(*alpha <= 1e9)) {
    refuse(what, "'lora_alpha' " + (alpha ? std::to_string(*alpha) : std::string("missing")) +
                     " found, expected a number above 0 and up to 1e9");
  }
  lora.alpha = *alpha;
  lora.rank_stabilised = json_bool(json, "use_rslora", what).value_or(false);
  lora.targets = read_targets(json, what);
  lora.some_layers = given(json, "layers_to_transform") || given(json, "exclude_modules");
  return lora;
}

Json lora_config_json(const LoraDescription& lora, const std::string& base) {
  // A whole number where it is one, as PEFT has it.
  const bool whole = lora.alpha == std::floor(lora.alpha);
  const Json alpha = whole ? Json(static_cast<std::uint64_t>(lora.alpha)) : Json(lora.alpha);
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base},
          {"r", lora.rank},
          {"lora_alpha", alpha},
          {"target_modules", lora.targets},
          {"use_rslora", lora.rank_stabilised},
          {"alpha_pattern", Json::object()},
          {"auto_mapping", nullptr},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"layers_pattern", nullptr},
          {"layers_to_transform", nullptr},
          {"lora_dropout", 0.0},
          {"modules_to_save", nullptr},
          {"rank_pattern", Json::object()},
          {"revision", nullptr},
          {"use_dora", false}};
}

std::string lora_tensor_name(std::string_view module, char half) {
  return std::string(kPrefix) + std::string(module) + ".lora_" + half + ".weight";
}

LoraAdapter::LoraAdapter(const fs::path& folder, const arch::ModelConfig& config)
    : LoraAdapter(read_json(file_in(folder, kLoraConfigName)),
                  formats::SafetensorsFile(file_in(folder, kLoraWeightsName)), config,
                  folder.string()) {}

LoraAdapter::LoraAdapter(const Json& json, const formats::SafetensorsFile& weights,
                         const arch::ModelConfig& config, std::string name)
    : name_(std::move(name)) {
  const std::string what = (fs::path(name_) / kLoraConfigName).string();
  const std::string& file = weights.name();
  description_ = read_lora_config(json, what);
  const std::size_t rank = description_.rank;
  const auto known = places(config);
  std::set<std::string> modules;
  for (const TensorView& tensor : weights.tensors()) {
    const Place& place = place_of(tensor, file, known, config);
    const auto [module, half] = *parts_of(tensor.name);
    const auto shape = arch::tensor_shape(place.spec->shape, config);
    LowRank& pair = pairs_[{place.spec->role, place.layer}];
    if (half == 'A') {
      pair.a = read_half(tensor, rank, static_cast<std::size_t>(shape[1]), 1, file, rank);
    } else {
      pair.b = read_half(tensor, static_cast<std::size_t>(shape[0]), rank, description_.scale(),
                         file, rank);
    }
    modules.emplace(module);
  }
  for (const std::string& module : modules) {
    const Place& place = known.find(module)->second;
    const LowRank& pair = pairs_.at({place.spec->role, place.layer});
    if (pair.a.rows > 0 && pair.b.rows > 0) continue;
    throw Error(ErrorCode::kCorruptFile, file + ": tensor '" +
                                             lora_tensor_name(module, pair.a.rows > 0 ? 'B' : 'A') +
                                             "' is missing, expected both halves of the pair");
  }
  if (pairs_.empty()) {
    throw Error(
        ErrorCode::kCorruptFile,
        file + ": no tensors found, expected lora_A.weight and lora_B.weight of some layer");
  }
  check_targets(description_, modules, known, what, file);
}

const LowRank* LoraAdapter::find(arch::TensorRole role, std::size_t layer) const noexcept {
  const auto found = pairs_.find({role, layer});
  return found == pairs_.end() ? nullptr : &found->second;
}

}  // namespace tern::checkpoint
