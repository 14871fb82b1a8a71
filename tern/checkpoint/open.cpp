// What a path is: a GGUF file or an HF folder.
#include <cstring>
#include <system_error>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/gguf_checkpoint.h"
#include "tern/checkpoint/hf_checkpoint.h"
#include "tern/checkpoint/hf_tokenizer.h"
#include "tern/checkpoint/tokenizer_gguf.h"

namespace tern::checkpoint {
namespace {

bool begins_with_gguf(const std::filesystem::path& path) {
  const MappedFile file(path);
  return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
}

}  // namespace

void Checkpoint::check_tokenizer_size() const {
  if (!tokenizer_ || tokenizer_->pieces.size() <= config_.vocab) return;
  throw Error(ErrorCode::kCorruptFile,
              name_ + ": the tokenizer has " + std::to_string(tokenizer_->pieces.size()) +
                  " pieces, expected at most the " + std::to_string(config_.vocab) +
                  " rows of the embedding");
}

std::unique_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                                  const OpenOptions& options, bool with_tokenizer) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    if (!std::filesystem::exists(path / "config.json", ignored)) {
      throw Error(ErrorCode::kIo, path.string() +
                                      ": a folder without config.json found, expected one with "
                                      "config.json and *.safetensors, or a .gguf file");
    }
    return std::make_unique<HfCheckpoint>(path, options, with_tokenizer);
  }
  if (!std::filesystem::exists(path, ignored)) {
    throw Error(ErrorCode::kIo, path.string() +
                                    ": nothing found there, expected a .gguf file or a folder "
                                    "with config.json and *.safetensors");
  }
  return std::make_unique<GgufCheckpoint>(path, options, with_tokenizer);
}

tokenizer::TokenizerData open_tokenizer(const std::filesystem::path& path,
                                        const OpenOptions& options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    if (auto data = read_folder_tokenizer(path, options.notice)) return std::move(*data);
    throw Error(ErrorCode::kIo, path.string() +
                                    ": no tokenizer found, expected tokenizer.json, "
                                    "tokenizer.model, or vocab.json and merges.txt");
  }
  if (!std::filesystem::exists(path, ignored)) {
    throw Error(ErrorCode::kIo, path.string() +
                                    ": nothing found there, expected a folder, a .gguf file, "
                                    "tokenizer.json or tokenizer.model");
  }
  if (!begins_with_gguf(path)) return read_tokenizer_file(path, options.notice);
  const formats::GgufFile file(path, formats::GgufOptions{options.i2s});
  return read_tokenizer_gguf(file, options.pre, options.notice);
}

std::string open_chat_template(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return read_chat_templates(path).plain;
  if (!begins_with_gguf(path)) {
    const std::filesystem::path parent = path.parent_path();
    return read_chat_templates(parent.empty() ? "." : parent).plain;
  }
  const formats::GgufFile file(path);
  const formats::GgufValue* text = file.find("tokenizer.chat_template");
  return text == nullptr ? std::string() : std::string(text->as_string().value_or(""));
}

tokenizer::Tokenizer make_tokenizer(tokenizer::TokenizerData data, const std::string& file) {
  try {
    return tokenizer::Tokenizer(std::move(data));
  } catch (const Error& e) {
    throw with_context(file, e);
  }
}

}  // namespace tern::checkpoint
