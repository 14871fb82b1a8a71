// Variables of the environment, read strictly: a process with a wrong rank harms all others.
#include "tern/train/world.h"

#include <charconv>
#include <limits>

#include "tern/base/error.h"

namespace tern::train {
namespace {

constexpr int kMostProcesses = 1 << 16;

[[noreturn]] void fail(const std::string& sentence) {
  throw Error(ErrorCode::kBadArgument, sentence);
}

int number(const std::string& name, const std::string& text, int least, int most) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most) {
    fail(name + "=" + text + " found in the environment, expected a whole number from " +
         std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

// Names of the two variables that say rank and number of processes, and what they hold.
struct Places {
  const char* rank_name;
  const char* size_name;
  std::optional<std::string> rank, size;
};

Places places_in(const Environment& environment) {
  Places plain{"RANK", "WORLD_SIZE", environment("RANK"), environment("WORLD_SIZE")};
  if (plain.rank || plain.size) return plain;
  // A job's first shell has the job's variables as well; a step has an id, or is told an address.
  if (!environment("SLURM_STEP_ID") && !environment("MASTER_ADDR")) return plain;
  Places slurm{"SLURM_PROCID", "SLURM_NTASKS", environment("SLURM_PROCID"),
               environment("SLURM_NTASKS")};
  if (auto step = environment("SLURM_STEP_NUM_TASKS")) {
    slurm.size_name = "SLURM_STEP_NUM_TASKS";
    slurm.size = std::move(step);
  }
  return slurm;
}

}  // namespace

World world_of(const Environment& environment) {
  World world;
  const Places places = places_in(environment);
  if (!places.rank && !places.size) return world;
  if (!places.rank || !places.size) {
    const char* const there = places.rank ? places.rank_name : places.size_name;
    const char* const missing = places.rank ? places.size_name : places.rank_name;
    fail(std::string(there) + " found in the environment without " + missing +
         ", expected both or none (--nproc 1 trains with one process, whatever it says)");
  }
  world.size = number(places.size_name, *places.size, 1, kMostProcesses);
  world.rank = number(places.rank_name, *places.rank, 0, kMostProcesses);
  if (world.rank >= world.size) {
    fail(std::string(places.rank_name) + "=" + *places.rank + " found in the environment where " +
         places.size_name + "=" + *places.size + ", expected a rank from 0 to " +
         std::to_string(world.size - 1));
  }
  if (const auto local = environment("LOCAL_WORLD_SIZE")) {
    world.local_size = static_cast<std::size_t>(number("LOCAL_WORLD_SIZE", *local, 1, world.size));
  }
  if (!world.many()) return world;
  const auto address = environment("MASTER_ADDR");
  if (!address || address->empty()) {
    fail(std::string(places.size_name) + "=" + *places.size +
         " found in the environment without MASTER_ADDR, expected the address of the machine of "
         "rank 0");
  }
  world.address = *address;
  if (const auto port = environment("MASTER_PORT")) {
    world.port = static_cast<std::uint16_t>(
        number("MASTER_PORT", *port, 1, std::numeric_limits<std::uint16_t>::max()));
  }
  world.agent_listens = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  world.attempt = environment("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return world;
}

}  // namespace tern::train
