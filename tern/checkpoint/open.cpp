// What a path is: a GGUF file or an HF folder.
#include <system_error>

#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/hf_checkpoint.h"

namespace tern::checkpoint {

std::unique_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                                  const OpenOptions& options, bool with_tokenizer) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw Error(ErrorCode::kIo, path.string() +
                                    ": nothing there, expected a .gguf file or a folder with "
                                    "config.json");
  }
  return std::make_unique<HfCheckpoint>(path, options, with_tokenizer);
}

}  // namespace tern::checkpoint
