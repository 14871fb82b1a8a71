// The tokenizer files of an HF folder, its chat template and its recommended sampling.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tern/base/notice.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// tokenizer.json, else tokenizer.model, else vocab.json and merges.txt (or GPT-2's encoder.json and
// vocab.bpe), with the files beside them that say more; nullopt where a folder has none of them.
std::optional<tokenizer::TokenizerData> read_folder_tokenizer(const std::filesystem::path& folder,
                                                              const Notice& notice);

// A tokenizer.json or tokenizer.model given itself; what stands in its folder is used too.
tokenizer::TokenizerData read_tokenizer_file(const std::filesystem::path& file,
                                             const Notice& notice);

// Empty where there is none.
struct ChatTemplates {
  std::string plain;
  std::string with_tools;
};

// chat_template.jinja, else the template of tokenizer_config.json (of several named ones,
// "default"); with tools, additional_chat_templates/tool_use.jinja, else the one named "tool_use".
ChatTemplates read_chat_templates(const std::filesystem::path& folder);

// Of generation_config.json; nothing where that is missing or says do_sample: false.
GenerationDefaults read_generation_defaults(const std::filesystem::path& folder);

}  // namespace tern::checkpoint
