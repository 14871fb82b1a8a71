// `tern <command> [options]`: one file and one table row (main.cpp) per command.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tern::cli {

// `args` are the words after the command. Returns the exit status: 0 right, 1 failed, 2 wrong use.
// Throws tern::Error (exit 1); CLI11's parse errors are main's (exit 2).
struct Command {
  std::string_view name;
  std::string_view summary;  // One line, shown by `tern help`.
  int (*run)(std::span<const std::string> args);
};

std::span<const Command> all_commands() noexcept;  // main.cpp

int run_bench(std::span<const std::string> args);
int run_completion(std::span<const std::string> args);
int run_convert(std::span<const std::string> args);
int run_cpu(std::span<const std::string> args);
int run_inspect(std::span<const std::string> args);
int run_run(std::span<const std::string> args);
int run_score(std::span<const std::string> args);
int run_synth(std::span<const std::string> args);
int run_tokenize(std::span<const std::string> args);
int run_verify(std::span<const std::string> args);

}  // namespace tern::cli
