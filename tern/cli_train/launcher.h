// `tern train --nproc N`: the processes of a run on this machine, started and ended together.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tern::cli {

// In the environment of every process that launch() starts: what one says, the others need not.
inline constexpr const char* kLaunchedVariable = "TERN_TRAIN_LAUNCHED";

// Starts `count` copies of tern-train with the words `args`, which find each other by RANK,
// WORLD_SIZE, MASTER_ADDR and MASTER_PORT on the loopback interface, and waits for all. Ctrl-C and
// SIGTERM reach all of them. Where one fails, the others get the time to say why and to end; then
// they are killed. Returns 0 where all did, else 1.
int launch(std::size_t count, std::span<const std::string> args);

}  // namespace tern::cli
