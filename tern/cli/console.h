// What the programs of this project share: a table of commands, their flags, what they say on
// stderr, and how errors become exit statuses. Knows no other room than base.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>

#include "tern/base/notice.h"

namespace tern::cli {

// `tern COMMAND [options]`. `args` are the words after the command. Returns the exit status: 0
// right, 1 failed, 2 wrong use. Throws tern::Error (exit 1; kBadArgument: 2) and CLI11's parse
// errors (exit 2).
struct Command {
  std::string_view name;
  std::string_view summary;  // One line, shown by `tern help`.
  int (*run)(std::span<const std::string> args);
};

// The whole of a main(): finds the command that argv names, runs it, and turns what it throws into
// one sentence on stderr and an exit status; --help and --version too. `program` is what stands
// before say()'s sentences from now on ("tern: ...").
int run_program(int argc, char** argv, std::span<const Command> commands, std::string_view program);

// Gives every flag its environment variable (--top-k: TERN_TOP_K), then parses. Throws
// CLI::ParseError, which run_program() turns into exit 2 (and --help into exit 0). llama.cpp's
// single-dash words (-ctk, -ctv, -hf, -npl, -sys) are accepted.
void parse(CLI::App& app, std::span<const std::string> args);

// Writes a sentence to stderr, "tern: ...".
void say(std::string_view sentence);
// A Notice that calls say().
Notice stderr_notice();
// A Progress that draws one line on stderr where that is a terminal; else empty.
Progress stderr_progress();

}  // namespace tern::cli
