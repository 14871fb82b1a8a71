// A tokenizer as Hugging Face's files: the counterpart of hf_tokenizer.h.
#pragma once

#include <filesystem>
#include <string_view>

#include "tern/base/json.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// tokenizer.json of the `tokenizers` library. Unused pieces at the end ("[PADn]") are left out.
Json tokenizer_json(const tokenizer::TokenizerData& data);
// tokenizer_config.json: special tokens, BOS and EOS rules, chat template.
Json tokenizer_config_json(const tokenizer::TokenizerData& data, std::string_view chat_template,
                           std::size_t context);

// Copies what an HF folder has of tokenizer files, chat template and generation_config.json.
void copy_tokenizer_files(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace tern::checkpoint
