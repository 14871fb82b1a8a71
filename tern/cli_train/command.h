// The commands of the programs tern-train and tern-tokenizer, which `tern train` and `tern
// tokenizer` start: the only ones that load libtorch and SentencePiece.
#pragma once

#include <span>
#include <string>

namespace tern::cli {

// As Command::run of tern/cli/command.h.
int run_train(std::span<const std::string> args);
int run_train_bench(std::span<const std::string> args);
int run_report(std::span<const std::string> args);
int run_tokenizer_train(std::span<const std::string> args);

}  // namespace tern::cli
