// `tern train` and `tern tokenizer train`: start the program tern-train, which alone needs
// libtorch.
#include <fmt/core.h>

#include <filesystem>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/cli/command.h"

namespace tern::cli {
namespace {

// tern-train stands beside tern: both are built and installed into one folder.
[[noreturn]] void become_trainer(std::string_view command, std::span<const std::string> args) {
  const std::filesystem::path program = std::filesystem::path(executable_folder()) / "tern-train";
  std::error_code error;
  if (!std::filesystem::exists(program, error)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("this tern was built without the trainer ({} is not there); build it "
                            "with -DTERN_TRAIN=ON",
                            program.string()));
  }
  std::vector<std::string> words{std::string(command)};
  words.insert(words.end(), args.begin(), args.end());
  become_program(program, words);
}

bool is_help(const std::string& word) { return word == "--help" || word == "-h"; }

}  // namespace

int run_train(std::span<const std::string> args) {
  if (!args.empty() && args[0] == "report") become_trainer("report", args.subspan(1));
  become_trainer("train", args);
}

int run_tokenizer(std::span<const std::string> args) {
  if (!args.empty() && is_help(args[0])) become_trainer("tokenizer", args);
  if (args.empty() || args[0] != "train") {
    say(fmt::format("tokenizer {}, expected: tokenizer train FILES --size N --out DIR",
                    args.empty() ? "alone found" : "'" + args[0] + "' found"));
    return 2;
  }
  become_trainer("tokenizer", args.subspan(1));
}

}  // namespace tern::cli
