// The commands of the program `tern-train`, which `tern train` and `tern tokenizer` start: the only
// program that loads libtorch.
#pragma once

#include <span>
#include <string>

namespace tern::cli {

// As Command::run of tern/cli/command.h.
int run_train(std::span<const std::string> args);
int run_report(std::span<const std::string> args);
int run_tokenizer(std::span<const std::string> args);

}  // namespace tern::cli
