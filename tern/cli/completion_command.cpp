// `tern completion bash|zsh|fish`: a script that the shell evaluates; it completes the commands and
// asks `tern COMMAND --help` for a command's flags, so that it never falls behind.
#include <fmt/core.h>

#include "tern/cli/command.h"
#include "tern/cli/options.h"

namespace tern::cli {
namespace {

constexpr std::string_view kBash = R"sh(_tern() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{0}" -- "$word"))
  elif [ "${{word#-}}" != "$word" ]; then
    COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" "${{COMP_WORDS[1]}}" --help 2>/dev/null |
      grep -oE -- '--[a-z0-9-]+' | sort -u)" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
    [ "$COMP_CWORD" -ne 2 ] || case ${{COMP_WORDS[1]}} in
      tokenizer) COMPREPLY=($(compgen -W train -- "$word")) ;;
      train) COMPREPLY+=($(compgen -W report -- "$word")) ;;
    esac
  fi
}}
complete -o filenames -F _tern tern
)sh";

constexpr std::string_view kZsh = R"sh(#compdef tern
_tern() {{
  if (( CURRENT == 2 )); then
    compadd {0}
  elif [[ "$words[CURRENT]" == -* ]]; then
    compadd -- $("$words[1]" "$words[2]" --help 2>/dev/null | grep -oE -- '--[a-z0-9-]+' | sort -u)
  else
    if (( CURRENT == 3 )); then
      case $words[2] in
        tokenizer) compadd train; return ;;
        train) compadd report ;;
      esac
    fi
    _files
  fi
}}
if [ "$funcstack[1]" = _tern ]; then _tern "$@"; else compdef _tern tern; fi
)sh";

constexpr std::string_view kFish = R"sh(complete -c tern -n '__fish_use_subcommand' -f -a '{0}'
complete -c tern -n 'not __fish_use_subcommand' -a '(set -l w (commandline -opc); tern $w[2] --help 2>/dev/null | string match -rag -- "(--[a-z0-9-]+)" | sort -u)'
complete -c tern -n '__fish_seen_subcommand_from tokenizer' -f -a train
complete -c tern -n '__fish_seen_subcommand_from train' -a report
)sh";

}  // namespace

int run_completion(std::span<const std::string> args) {
  std::string shell;
  CLI::App app("Prints a completion script: source <(tern completion bash)", "tern completion");
  app.add_option("SHELL", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  parse(app, args);
  std::string names;
  for (const Command& c : all_commands()) names += (names.empty() ? "" : " ") + std::string(c.name);
  fmt::print(fmt::runtime(shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish), names);
  return 0;
}

}  // namespace tern::cli
