// GGUF by name, by tag, or the checkpoint.
#include "tern/hub/choose.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "tern/base/error.h"

namespace tern::hub {
namespace {

constexpr std::string_view kGguf = ".gguf";

constexpr auto kCheckpointFiles = std::to_array<std::string_view>({
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "chat_template.jinja",
});

bool is_there(std::span<const std::string> files, std::string_view name) {
  return std::ranges::find(files, name) != files.end();
}

bool is_weights(std::string_view path) {
  return path.ends_with(".safetensors") && path.find('/') == std::string_view::npos;
}

bool has_checkpoint(std::span<const std::string> files) {
  return is_there(files, "config.json") && std::ranges::any_of(files, is_weights);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool is_boundary(char c) { return std::string_view("-._/").find(c) != std::string_view::npos; }

// Whether `tag` stands in `path` as a part of its own: "Q4_0" is not in "x-IQ4_0.gguf".
bool holds_tag(std::string_view path, std::string_view tag) {
  const std::string text = lower(path), wanted = lower(tag);
  for (auto at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) {
    const std::size_t end = at + wanted.size();
    if ((at == 0 || is_boundary(text[at - 1])) && end < text.size() && is_boundary(text[end])) {
      return true;
    }
  }
  return false;
}

// "x-00001-of-00003.gguf", as llama-gguf-split names its pieces.
bool is_split_part(std::string_view path) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (path.size() < kShape.size()) return false;
  const std::string_view end = path.substr(path.size() - kShape.size());
  return std::ranges::equal(end, kShape, [](char found, char shape) {
    return shape == '0' ? found >= '0' && found <= '9' : found == shape;
  });
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 40;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMost) text += " and " + std::to_string(names.size() - kMost) + " more";
  return text;
}

[[noreturn]] void nothing_to_read(std::span<const std::string> files, std::string_view where) {
  const bool pickles = std::ranges::any_of(
      files, [](std::string_view f) { return f.ends_with(".bin") || f.ends_with(".pt"); });
  throw Error(
      ErrorCode::kUnsupported,
      std::string(where) +
          (pickles ? ": weights as pickles (*.bin) found, which tern does not read; expected "
                   : ": no model found, expected ") +
          "config.json with *.safetensors, or a .gguf file");
}

}  // namespace

std::vector<std::string> models_in(std::span<const std::string> files) {
  std::vector<std::string> models;
  std::ranges::copy_if(files, std::back_inserter(models),
                       [](const std::string& f) { return f.ends_with(kGguf); });
  if (has_checkpoint(files)) models.emplace_back(kCheckpoint);
  return models;
}

Choice choose_model(std::span<const std::string> files, const ModelName& name,
                    std::string_view where) {
  const std::vector<std::string> models = models_in(files);
  if (models.empty()) nothing_to_read(files, where);
  std::vector<std::string> fitting;
  for (const std::string& model : models) {
    const bool fits =
        name.file.empty() || model == name.file ||
        (!name.file.ends_with(kGguf) && model != kCheckpoint && holds_tag(model, name.file));
    if (fits) fitting.push_back(model);
  }
  const std::string said(where);
  if (fitting.size() == 1) {
    if (is_split_part(fitting[0])) {
      throw Error(ErrorCode::kUnsupported, said + ": " + fitting[0] +
                                               " is one part of several, which tern does not "
                                               "read; expected a GGUF in one file");
    }
    return {fitting[0] == kCheckpoint ? "" : fitting[0]};
  }
  if (fitting.empty()) {
    throw Error(ErrorCode::kBadArgument,
                said + ": no model '" + name.file + "' found, expected one of: " + list_of(models));
  }
  throw Error(ErrorCode::kBadArgument, said + ": " + std::to_string(fitting.size()) +
                                           " models found, expected a name for one of them (" +
                                           name.text() + ":NAME): " + list_of(fitting));
}

std::vector<std::string> checkpoint_files(std::span<const std::string> files) {
  std::vector<std::string> found;
  for (const std::string_view name : kCheckpointFiles) {
    if (is_there(files, name)) found.emplace_back(name);
  }
  if (!is_there(files, "model.safetensors") && is_there(files, kWeightIndex)) {
    found.emplace_back(kWeightIndex);
  }
  return found;
}

std::string single_weights(std::span<const std::string> files, std::string_view where) {
  if (is_there(files, "model.safetensors")) return "model.safetensors";
  if (is_there(files, kWeightIndex)) return "";
  std::vector<std::string> weights;
  std::ranges::copy_if(files, std::back_inserter(weights), is_weights);
  if (weights.size() == 1) return weights[0];
  throw Error(ErrorCode::kUnsupported,
              std::string(where) + ": " + std::to_string(weights.size()) +
                  " *.safetensors files and no " + std::string(kWeightIndex) +
                  " found, expected model.safetensors, one file, or an index");
}

}  // namespace tern::hub
