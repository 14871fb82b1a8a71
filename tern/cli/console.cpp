// Commands, flags, sentences and exit statuses.
#include "tern/cli/console.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <exception>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/version.h"

namespace tern::cli {
namespace {

// What stands before every sentence; set once, by run_program().
std::string& program_name() {
  static std::string name = "tern";
  return name;
}

void print_usage(std::FILE* to, std::span<const Command> commands) {
  const std::string& program = program_name();
  fmt::print(to, "usage: {0} COMMAND [options]   ({0} COMMAND --help for its options)\n\n",
             program);
  for (const Command& c : commands) fmt::print(to, "  {:<11} {}\n", c.name, c.summary);
  fmt::print(to, "\n  {0} --version, {0} --help\n", program);
}

int dispatch(const std::vector<std::string>& words, std::span<const Command> commands) {
  if (words.empty()) {
    print_usage(stderr, commands);
    return 2;
  }
  if (words[0] == "--version" || words[0] == "version") {
    fmt::print("{}\n", version_text());
    return 0;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_usage(stdout, commands);
    return 0;
  }
  const auto command = std::ranges::find(commands, words[0], &Command::name);
  if (command == commands.end()) {
    std::string known;
    for (const Command& c : commands) known += " " + std::string(c.name);
    say(fmt::format("unknown command '{}', expected one of:{}", words[0], known));
    return 2;
  }
  return command->run(std::span(words).subspan(1));
}

std::string environment_name(std::string flag) {
  std::ranges::transform(flag, flag.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return "TERN_" + flag;
}

// "-n=5", which CLI11 would read as the value "=5".
bool is_short_with_equals(std::string_view word) {
  return word.size() > 2 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])) &&
         word[2] == '=';
}

// CLI11 knows single-letter short flags only.
constexpr std::array<std::array<std::string_view, 2>, 7> kSingleDashWords{{
    {"-ctk", "--cache-type-k"},
    {"-ctv", "--cache-type-v"},
    {"-hf", "--hf-repo"},
    {"-np", "--parallel"},
    {"-npl", "--n-parallel"},
    {"-sys", "--system-prompt"},
    {"-ub", "--ubatch-size"},
}};

}  // namespace

int run_program(int argc, char** argv, std::span<const Command> commands,
                std::string_view program) {
  program_name() = program;
  ignore_closed_pipes();
  try {
    const int status = dispatch({argv + 1, argv + argc}, commands);
    if (std::fflush(stdout) != 0) {
      say("cannot write the output");
      return 1;
    }
    return status;
  } catch (const CLI::CallForHelp&) {
    return 0;  // parse() has printed it.
  } catch (const CLI::ParseError& e) {
    say(e.what());
    return 2;
  } catch (const Error& e) {
    say(e.what());
    return e.code() == ErrorCode::kBadArgument ? 2 : 1;  // 2: wrong use.
  } catch (const std::exception& e) {
    say(e.what());
    return 1;
  }
}

void parse(CLI::App& app, std::span<const std::string> args) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames()[0] == "help") continue;
    option->envname(environment_name(option->get_lnames()[0]));
  }
  std::vector<std::string> words;
  for (const std::string& word : args) {
    std::string known = word;
    for (const auto& [from, to] : kSingleDashWords) {
      if (word == from) known = to;
      if (word.starts_with(from) && word.size() > from.size() && word[from.size()] == '=') {
        known = std::string(to) + word.substr(from.size());
      }
    }
    if (is_short_with_equals(known)) {
      words.push_back(known.substr(0, 2));
      known.erase(0, 3);
    }
    words.push_back(std::move(known));
  }
  std::ranges::reverse(words);  // As CLI11 wants them.
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    throw;
  }
}

void say(std::string_view sentence) {
  std::fflush(stdout);
  fmt::print(stderr, "{}: {}\n", program_name(), sentence);
}

Notice stderr_notice() {
  return [](std::string_view sentence) { say(sentence); };
}

Progress stderr_progress() {
  if (!stderr_is_terminal()) return {};
  return [](std::string_view step, double done) {
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(done * kWidth);
    const std::string bar(static_cast<std::size_t>(std::clamp(filled, 0, kWidth)), '#');
    fmt::print(stderr, "\r{:<20} [{:<24}] {:3.0f}%", step, bar, done * 100);
    if (done >= 1) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

}  // namespace tern::cli
