// The program `tern`: the table of its commands.
#include <array>
#include <span>

#include "tern/cli/command.h"

namespace tern::cli {
namespace {

constexpr auto kCommands = std::to_array<Command>({
    {"run", "write text with a model", run_run},
    {"serve", "an OpenAI-compatible server with a page", run_serve},
    {"score", "log-probability of every token of a text", run_score},
    {"tokenize", "text to token ids, and back", run_tokenize},
    {"inspect", "architecture, tensors, types and ternary shares of a model", run_inspect},
    {"convert", "any readable model to GGUF or a Hugging Face folder", run_convert},
    {"verify", "check a model and every kernel of this CPU against each other", run_verify},
    {"synth", "a model of a known shape with random ternary weights", run_synth},
    {"pull", "a model of the Hugging Face Hub into the cache", run_pull},
    {"list", "the Hub models in the cache", run_list},
    {"train", "train a ternary model; train report RUN... shows runs side by side", run_train},
    {"tokenizer", "tokenizer train: a vocabulary from text", run_tokenizer},
    {"bench", "prompt and generation speed beside this machine's ceilings", run_bench},
    {"cpu", "what this machine is and which kernels it will use", run_cpu},
    {"completion", "shell completion for bash, zsh or fish", run_completion},
});

}  // namespace

std::span<const Command> all_commands() noexcept { return kCommands; }

}  // namespace tern::cli

int main(int argc, char** argv) {
  return tern::cli::run_program(argc, argv, tern::cli::all_commands(), "tern");
}
