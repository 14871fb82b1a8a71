// What a path is: a GGUF file or an HF folder.
#include <system_error>

#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/gguf_checkpoint.h"
#include "tern/checkpoint/hf_checkpoint.h"

namespace tern::checkpoint {

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

}  // namespace tern::checkpoint
