// `tern train` and `tern tokenizer`: start the programs tern-train and tern-tokenizer, which alone
// need libtorch and SentencePiece.
#include <fmt/core.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/cli/command.h"

namespace tern::cli {
namespace {

// `name` stands beside tern: both are built and installed into one folder.
[[noreturn]] void become(const char* name, std::vector<std::string> words) {
  const std::filesystem::path program = std::filesystem::path(executable_folder()) / name;
  std::error_code error;
  if (!std::filesystem::exists(program, error)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("this tern was built without the trainer ({} is not there); build it "
                            "with -DTERN_TRAIN=ON",
                            program.string()));
  }
  become_program(program, words);
}

}  // namespace

int run_train(std::span<const std::string> args) {
  std::vector<std::string> words(args.begin(), args.end());
  if (words.empty() || words[0] != "report") words.insert(words.begin(), "train");
  become("tern-train", std::move(words));
}

int run_tokenizer(std::span<const std::string> args) {
  become("tern-tokenizer", {args.begin(), args.end()});
}

}  // namespace tern::cli
