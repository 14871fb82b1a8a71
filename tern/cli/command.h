// The commands of `tern`: one file and one table row (main.cpp) each.
#pragma once

#include <span>
#include <string>

#include "tern/cli/console.h"

namespace tern::cli {

std::span<const Command> all_commands() noexcept;  // main.cpp

int run_bench(std::span<const std::string> args);
int run_completion(std::span<const std::string> args);
int run_convert(std::span<const std::string> args);
int run_cpu(std::span<const std::string> args);
int run_inspect(std::span<const std::string> args);
int run_list(std::span<const std::string> args);
int run_pull(std::span<const std::string> args);
int run_run(std::span<const std::string> args);
int run_score(std::span<const std::string> args);
int run_serve(std::span<const std::string> args);
int run_synth(std::span<const std::string> args);
int run_tokenize(std::span<const std::string> args);
int run_tokenizer(std::span<const std::string> args);
int run_train(std::span<const std::string> args);
int run_verify(std::span<const std::string> args);

}  // namespace tern::cli
