// `tern train` and `tern tokenizer`: start the programs tern-train and tern-tokenizer, which alone
// need libtorch and SentencePiece.
#include <string>
#include <vector>

#include "tern/cli/command.h"
#include "tern/cli/side_program.h"

namespace tern::cli {
namespace {

constexpr const char* kPart = "the trainer";
constexpr const char* kOption = "-DTERN_TRAIN=ON";

}  // namespace

int run_train(std::span<const std::string> args) {
  std::vector<std::string> words(args.begin(), args.end());
  if (words.empty() || (words[0] != "report" && words[0] != "bench"))
    words.insert(words.begin(), "train");
  become_side_program("tern-train", words, kPart, kOption);
}

int run_tokenizer(std::span<const std::string> args) {
  become_side_program("tern-tokenizer", args, kPart, kOption);
}

}  // namespace tern::cli
