// Which of how many processes this one is, and where they meet: what torchrun, Slurm and
// `tern train --nproc` say in the environment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tern::train {

struct World {
  int rank = 0, size = 1;      // Rank 0 writes; where it runs, the processes meet.
  std::size_t local_size = 1;  // Processes on this machine, as far as they say.
  std::string address;         // Where they meet.
  std::uint16_t port = 29500;
  // Who started this process listens at that address itself (torchrun of PyTorch 2), and this is
  // its `attempt`-th start.
  bool agent_listens = false;
  std::string attempt = "0";

  bool many() const noexcept { return size > 1; }
};

// From an environment: RANK and WORLD_SIZE, or else Slurm's SLURM_PROCID and SLURM_NTASKS;
// MASTER_ADDR and MASTER_PORT; LOCAL_WORLD_SIZE. One process where there is none of these, or where
// they say so. Throws Error(kBadArgument), naming the variable, for one that is missing beside
// another, is no number, or contradicts another.
using Environment = std::function<std::optional<std::string>(const char* name)>;
World world_of(const Environment& environment);

}  // namespace tern::train
