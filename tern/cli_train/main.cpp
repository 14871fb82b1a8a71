// The program `tern-train`.
#include <array>

#include "tern/cli/console.h"
#include "tern/cli_train/command.h"

namespace {

constexpr auto kCommands = std::to_array<tern::cli::Command>({
    {"train", "train a model as a TOML file says", tern::cli::run_train},
    {"bench", "the time of a training step, ternary beside full precision",
     tern::cli::run_train_bench},
    {"report", "one HTML page about one run or several", tern::cli::run_report},
});

}  // namespace

int main(int argc, char** argv) {
  return tern::cli::run_program(argc, argv, kCommands, "tern-train");
}
