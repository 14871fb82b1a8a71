// Which file of a folder says what about its tokenizer.
#include "tern/checkpoint/hf_tokenizer.h"

#include <system_error>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/tokenizer_json.h"
#include "tern/checkpoint/tokenizer_model.h"

namespace tern::checkpoint {
namespace {

using tokenizer::TokenizerData;

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::optional<Json> read_json_file(const std::filesystem::path& path) {
  if (!is_there(path)) return std::nullopt;
  Json json = parse_json(read_text_file(path), path.string());
  if (!json.is_object()) {
    throw Error(ErrorCode::kCorruptFile,
                path.string() + ": found " + json.type_name() + " where an object was expected");
  }
  return json;
}

// Owns what TokenizerSidecars points to.
struct Sidecars {
  explicit Sidecars(const std::filesystem::path& folder)
      : tokenizer_config(read_json_file(folder / "tokenizer_config.json")),
        special_tokens_map(read_json_file(folder / "special_tokens_map.json")),
        added_tokens(read_json_file(folder / "added_tokens.json")),
        generation_config(read_json_file(folder / "generation_config.json")),
        config(read_json_file(folder / "config.json")) {}

  TokenizerSidecars view() const {
    const auto at = [](const std::optional<Json>& json) { return json ? &*json : nullptr; };
    return {at(tokenizer_config), at(special_tokens_map), at(added_tokens), at(generation_config),
            at(config)};
  }

  std::optional<Json> tokenizer_config, special_tokens_map, added_tokens, generation_config, config;
};

TokenizerData read_json_tokenizer(const std::filesystem::path& path, const Sidecars& beside,
                                  const Notice& notice) {
  const Json json = parse_json(read_text_file(path), path.string());
  return read_tokenizer_json(json, beside.view(), path.string(), notice);
}

TokenizerData read_model_tokenizer(const std::filesystem::path& path, const Sidecars& beside,
                                   const Notice& notice) {
  const MappedFile file(path);
  return read_tokenizer_model(file.bytes(), beside.view(), path.string(), notice);
}

ChatTemplates templates_of_config(const std::filesystem::path& path) {
  const std::optional<Json> config = read_json_file(path);
  if (!config) return {};
  const auto field = config->find("chat_template");
  if (field == config->end() || field->is_null()) return {};
  if (field->is_string()) return {field->get<std::string>(), ""};
  if (!field->is_array()) {
    throw Error(ErrorCode::kCorruptFile, path.string() + ": field 'chat_template' is a " +
                                             field->type_name() +
                                             ", expected a string or a list of named ones");
  }
  ChatTemplates found;
  std::string first;
  for (const Json& entry : *field) {
    const auto text = json_string(entry, "template", path.string());
    if (!text) continue;
    const auto name = json_string(entry, "name", path.string());
    if (first.empty()) first = *text;
    if (name == "default") found.plain = *text;
    if (name == "tool_use") found.with_tools = *text;
  }
  if (found.plain.empty()) found.plain = first;
  return found;
}

}  // namespace

std::optional<TokenizerData> read_folder_tokenizer(const std::filesystem::path& folder,
                                                   const Notice& notice) {
  const std::filesystem::path json = folder / "tokenizer.json";
  if (is_there(json)) return read_json_tokenizer(json, Sidecars(folder), notice);
  const std::filesystem::path model = folder / "tokenizer.model";
  if (is_there(model)) return read_model_tokenizer(model, Sidecars(folder), notice);
  struct Pair {
    const char* vocab;
    const char* merges;
  };
  for (const Pair& pair : {Pair{"vocab.json", "merges.txt"}, Pair{"encoder.json", "vocab.bpe"}}) {
    const std::filesystem::path vocab = folder / pair.vocab;
    const std::filesystem::path merges = folder / pair.merges;
    if (!is_there(vocab) || !is_there(merges)) continue;
    return read_vocab_and_merges(parse_json(read_text_file(vocab), vocab.string()),
                                 read_text_file(merges), Sidecars(folder).view(), vocab.string(),
                                 notice);
  }
  return std::nullopt;
}

TokenizerData read_tokenizer_file(const std::filesystem::path& file, const Notice& notice) {
  const std::filesystem::path parent = file.parent_path();
  const Sidecars beside(parent.empty() ? "." : parent);
  return file.extension() == ".json" ? read_json_tokenizer(file, beside, notice)
                                     : read_model_tokenizer(file, beside, notice);
}

ChatTemplates read_chat_templates(const std::filesystem::path& folder) {
  ChatTemplates found = templates_of_config(folder / "tokenizer_config.json");
  const std::filesystem::path jinja = folder / "chat_template.jinja";
  if (is_there(jinja)) found.plain = read_text_file(jinja);
  const std::filesystem::path tools = folder / "additional_chat_templates" / "tool_use.jinja";
  if (is_there(tools)) found.with_tools = read_text_file(tools);
  return found;
}

GenerationDefaults read_generation_defaults(const std::filesystem::path& folder) {
  GenerationDefaults defaults;
  const std::filesystem::path path = folder / "generation_config.json";
  const std::string what = path.string();
  const std::optional<Json> json = read_json_file(path);
  if (!json || json_bool(*json, "do_sample", what) == false) return defaults;
  defaults.temperature = json_number(*json, "temperature", what);
  defaults.top_p = json_number(*json, "top_p", what);
  defaults.repetition_penalty = json_number(*json, "repetition_penalty", what);
  defaults.top_k = json_uint(*json, "top_k", what);
  return defaults;
}

}  // namespace tern::checkpoint
