// File, then overrides, then what follows from both; checked as a whole at the end.
#include "tern/train/config.h"

#include <algorithm>
#include <limits>
#include <set>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/train/config_keys.h"
#include "tern/train/toml_file.h"

namespace tern::train {
namespace {

[[noreturn]] void fail(const std::string& sentence) {
  throw Error(ErrorCode::kBadArgument, sentence);
}

// Levenshtein's distance: letters put in, taken out or changed.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }
std::string_view leaf_of(std::string_view key) { return key.substr(key.rfind('.') + 1); }

// A right name in the wrong section is nearer than any misspelling.
std::string_view nearest_key(std::string_view key) {
  std::string_view best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  for (const ConfigKey& known : config_keys()) {
    const std::size_t far = leaf_of(known.name) == leaf_of(key) ? 0 : 1000;
    const std::size_t d = far + distance(key, known.name);
    if (d < best_distance) {
      best_distance = d;
      best = known.name;
    }
  }
  return best;
}

bool is_section(std::string_view name) {
  return std::any_of(config_keys().begin(), config_keys().end(),
                     [&](const ConfigKey& key) { return section_of(key.name) == name; });
}

const ConfigKey& find_key(std::string_view name, const std::string& where) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == name) return key;
  }
  fail(where + ": unknown key " + std::string(name) + " found; the nearest that exists is " +
       std::string(nearest_key(name)));
}

void apply_override(const std::string& text, TrainConfig& config) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail("--set " + text +
         ": no value found, expected key=value, as in schedule.learning_rate=2e-3");
  }
  const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  const ConfigKey& key = find_key(name, "--set");
  // What is no TOML value is a bare word; and where a string is expected, so is 2024 or true.
  const std::optional<Json> parsed = parse_toml_value(value);
  key.read({"--set " + name, parsed.value_or(Json(value)), value, std::filesystem::current_path()},
           key.range, config);
  config.given.insert(name);
}

void apply_file(const std::filesystem::path& file, TrainConfig& config) {
  const std::filesystem::path base = std::filesystem::absolute(file).parent_path();
  for (const TomlValue& value : read_toml(file)) {
    const std::string where = file.string() + ": line " + std::to_string(value.line);
    if (is_section(value.key)) {
      if (value.value.is_object()) continue;  // A section without keys.
      fail(where + ": " + value.key + " = " + toml_literal(value.value) +
           " found, expected a section [" + value.key + "] with keys");
    }
    const ConfigKey& key = find_key(value.key, where);
    key.read({where + ": " + value.key, value.value, "", base}, key.range, config);
    config.given.insert(value.key);
  }
}

void complete_model(TrainConfig& config, const std::string& file) {
  arch::ModelConfig& model = config.model;
  const auto& architecture = arch::architecture(model.arch);
  model.sub_norms = architecture.sub_norms;
  model.qk_norm = architecture.qk_norm;
  // What is trained quantised is so per token, whatever its architecture's other models are.
  model.declares_float = config.weights == WeightKind::kFullPrecision;
  model.declares_b158 = !model.declares_float;
  model.activation_rule_source = "model.weights";
  model.activation = architecture.gguf_activation;
  model.activation_source = "architecture table";
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.context == 0) model.context = config.sequence;
  if (model.head_dim == 0) {
    if (model.hidden % model.heads != 0) {
      fail(file + ": model.hidden of " + std::to_string(model.hidden) + " and model.heads of " +
           std::to_string(model.heads) +
           " found, expected the first to be a multiple of the second, or a model.head_dim");
    }
    model.head_dim = model.hidden / model.heads;
  }
  if (architecture.gguf_always_tied && !model.tied_head) {
    fail(file + ": model.tied = false found, expected true: a " +
         std::string(architecture.gguf_names.front()) + " model has no head of its own");
  }
  try {
    arch::ModelConfig checked = model;
    checked.vocab = 1;  // The tokenizer's to say.
    arch::validate(checked, file + ": [model]");
  } catch (const Error& e) {
    fail(e.what());
  }
}

void check(const TrainConfig& c, const std::string& file) {
  if (c.model.context > 0 && c.sequence > c.model.context) {
    fail(file + ": training.sequence of " + std::to_string(c.sequence) +
         " found, expected at most the model.context of " + std::to_string(c.model.context));
  }
  if (c.tokens == 0 && c.minutes == 0) {
    fail(file + ": no budget found, expected training.tokens or training.minutes");
  }
  if (c.tokens != 0 && c.tokens < c.tokens_per_step()) {
    fail(file + ": training.tokens of " + std::to_string(c.tokens) +
         " found, expected at least one step of " + std::to_string(c.tokens_per_step()) +
         " (sequence * batch * accumulate)");
  }
  if (c.start.model.empty()) {
    const char* key = c.start.sub_norms ? "start.sub_norms = true"
                      : c.start.random  ? "start.random = true"
                      : c.lora.rank > 0 ? "lora.rank"
                                        : nullptr;
    if (key != nullptr) fail(file + ": " + key + " found without a start.model, expected one");
  }
  if (c.train_text.paths.empty()) fail(file + ": data.train = [] found, expected paths of text");
}

}  // namespace

TrainConfig load_config(const std::filesystem::path& file,
                        const std::vector<std::string>& overrides) {
  TrainConfig config;
  apply_file(file, config);
  for (const std::string& text : overrides) apply_override(text, config);
  const bool started = !config.start.model.empty();
  if (started && !config.given.contains("tokenizer.path")) config.tokenizer = config.start.model;
  for (const ConfigKey& key : config_keys()) {
    // A model to start from brings its shape and its tokenizer.
    if (started && (section_of(key.name) == "model" || section_of(key.name) == "tokenizer"))
      continue;
    if (key.required() && !config.given.contains(key.name)) {
      fail(file.string() + ": no " + std::string(key.name) + " found, expected one (" +
           std::string(key.meaning.substr(0, key.meaning.size() - 1)) + ")");
    }
  }
  if (config.messages && !config.given.contains("data.field")) {
    config.train_text.json_field = config.held_out_text.json_field = "messages";
  }
  // What a trained model is given must not silence its blocks.
  if (started && !config.start.random && !config.given.contains("model.sub_norm_init")) {
    config.sub_norm_init = 1;
  }
  // What is said of a model to start from need not be all of it.
  if (config.model.hidden > 0 && !started) complete_model(config, file.string());
  check(config, file.string());
  return config;
}

std::string to_toml(const TrainConfig& config) {
  std::string out;
  std::string_view section;
  for (const ConfigKey& key : config_keys()) {
    if (section_of(key.name) != section) {
      section = section_of(key.name);
      out += (out.empty() ? "[" : "\n[") + std::string(section) + "]\n";
    }
    out += std::string(leaf_of(key.name)) + " = " + toml_literal(key.write(config)) + "\n";
  }
  return out;
}

Json to_json(const TrainConfig& config) {
  Json out = Json::object();
  for (const ConfigKey& key : config_keys()) {
    out[std::string(section_of(key.name))][std::string(leaf_of(key.name))] = key.write(config);
  }
  return out;
}

}  // namespace tern::train
