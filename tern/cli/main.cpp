// The program `tern`: finds the command, turns errors into sentences and exit statuses.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/version.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"

namespace tern::cli {
namespace {

constexpr auto kCommands = std::to_array<Command>({
    {"run", "write text with a model", run_run},
    {"score", "log-probability of every token of a text", run_score},
    {"tokenize", "text to token ids, and back", run_tokenize},
    {"inspect", "architecture, tensors, types and ternary shares of a model", run_inspect},
    {"convert", "any readable model to GGUF or a Hugging Face folder", run_convert},
    {"verify", "check a model and every kernel of this CPU against each other", run_verify},
    {"synth", "a model of a known shape with random ternary weights", run_synth},
    {"bench", "prompt and generation speed beside this machine's ceilings", run_bench},
    {"cpu", "what this machine is and which kernels it will use", run_cpu},
    {"completion", "shell completion for bash, zsh or fish", run_completion},
});

void print_usage(std::FILE* to) {
  fmt::print(to, "usage: tern COMMAND [options]   (tern COMMAND --help for its options)\n\n");
  for (const Command& c : kCommands) fmt::print(to, "  {:<11} {}\n", c.name, c.summary);
  fmt::print(to, "\n  tern --version, tern --help\n");
}

int dispatch(const std::vector<std::string>& words) {
  if (words.empty()) {
    print_usage(stderr);
    return 2;
  }
  if (words[0] == "--version" || words[0] == "version") {
    fmt::print("{}\n", version_text());
    return 0;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_usage(stdout);
    return 0;
  }
  const auto command = std::ranges::find(kCommands, words[0], &Command::name);
  if (command == kCommands.end()) {
    fmt::print(stderr, "tern: unknown command '{}', expected one of:", words[0]);
    for (const Command& c : kCommands) fmt::print(stderr, " {}", c.name);
    fmt::print(stderr, "\n");
    return 2;
  }
  return command->run(std::span(words).subspan(1));
}

}  // namespace

std::span<const Command> all_commands() noexcept { return kCommands; }

}  // namespace tern::cli

int main(int argc, char** argv) {
  tern::ignore_closed_pipes();
  try {
    const int status = tern::cli::dispatch({argv + 1, argv + argc});
    if (std::fflush(stdout) != 0) {
      fmt::print(stderr, "tern: cannot write the output\n");
      return 1;
    }
    return status;
  } catch (const CLI::CallForHelp&) {
    return 0;  // parse() has printed it.
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "tern: {}\n", e.what());
    return 2;
  } catch (const tern::Error& e) {
    std::fflush(stdout);
    fmt::print(stderr, "tern: {}\n", e.what());
    return e.code() == tern::ErrorCode::kBadArgument ? 2 : 1;  // 2: wrong use.
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "tern: {}\n", e.what());
    return 1;
  }
}
