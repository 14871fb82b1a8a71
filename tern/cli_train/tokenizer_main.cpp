// The program `tern-tokenizer`, apart from tern-train because SentencePiece and libtorch cannot
// live in one process (tern/corpus/CMakeLists.txt).
#include <array>

#include "tern/cli/console.h"
#include "tern/cli_train/command.h"

namespace {

constexpr auto kCommands = std::to_array<tern::cli::Command>({
    {"train", "make a vocabulary from text", tern::cli::run_tokenizer_train},
});

}  // namespace

int main(int argc, char** argv) {
  return tern::cli::run_program(argc, argv, kCommands, "tern-tokenizer");
}
