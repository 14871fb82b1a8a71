// What launchers put into the environment, and what nobody should.
#include "tern/train/world.h"

#include <gtest/gtest.h>

#include <map>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using Variables = std::map<std::string, std::string>;

World world(const Variables& variables) {
  return world_of([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

std::string refusal(const Variables& variables) {
  try {
    world(variables);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kBadArgument);
    return e.what();
  }
  return "nothing was refused";
}

TEST(World, OneProcessWithoutVariables) {
  EXPECT_FALSE(world({}).many());
  EXPECT_FALSE(world({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).many());
  // The shell of a batch job is no step of it.
  EXPECT_FALSE(world({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}).many());
  EXPECT_FALSE(world({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "nonsense"}}).many());
}

TEST(World, Torchrun) {
  const World w = world({{"RANK", "2"},
                         {"WORLD_SIZE", "3"},
                         {"MASTER_ADDR", "10.0.0.1"},
                         {"MASTER_PORT", "65535"},
                         {"LOCAL_WORLD_SIZE", "3"},
                         {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                         {"TORCHELASTIC_RESTART_COUNT", "2"},
                         {"SLURM_STEP_ID", "0"},
                         {"SLURM_PROCID", "7"}});
  EXPECT_EQ(w.rank, 2);
  EXPECT_EQ(w.size, 3);
  EXPECT_EQ(w.local_size, 3u);
  EXPECT_EQ(w.address, "10.0.0.1");
  EXPECT_EQ(w.port, 65535);
  EXPECT_TRUE(w.agent_listens);
  EXPECT_EQ(w.attempt, "2");
}

TEST(World, Slurm) {
  Variables step{{"SLURM_STEP_ID", "0"},
                 {"SLURM_PROCID", "1"},
                 {"SLURM_NTASKS", "2"},
                 {"MASTER_ADDR", "node-1"}};
  World w = world(step);
  EXPECT_EQ(w.rank, 1);
  EXPECT_EQ(w.size, 2);
  EXPECT_EQ(w.port, 29500);
  EXPECT_EQ(w.local_size, 1u);
  EXPECT_FALSE(w.agent_listens);
  step["SLURM_STEP_NUM_TASKS"] = "5";  // srun -n 5 within the job.
  EXPECT_EQ(world(step).size, 5);
}

TEST(World, Refusals) {
  const Variables good{
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}};
  EXPECT_EQ(world(good).rank, 1);
  const auto with = [&](const char* name, const char* value) {
    Variables changed = good;
    changed[name] = value;
    return refusal(changed);
  };
  const auto without = [&](const char* name) {
    Variables changed = good;
    changed.erase(name);
    return refusal(changed);
  };
  EXPECT_EQ(with("RANK", "2"),
            "RANK=2 found in the environment where WORLD_SIZE=2, expected a rank from 0 to 1");
  for (const char* value : {"-1", "one", "", "1 ", "0x1", "1.0", "99999999999"}) {
    EXPECT_TRUE(with("RANK", value).starts_with("RANK=" + std::string(value) + " found")) << value;
  }
  EXPECT_TRUE(with("WORLD_SIZE", "0").starts_with("WORLD_SIZE=0 found"));
  EXPECT_TRUE(with("MASTER_PORT", "65536").starts_with("MASTER_PORT=65536 found"));
  EXPECT_TRUE(with("MASTER_PORT", "0").starts_with("MASTER_PORT=0 found"));
  EXPECT_TRUE(with("LOCAL_WORLD_SIZE", "3").starts_with("LOCAL_WORLD_SIZE=3 found"));
  EXPECT_TRUE(without("RANK").starts_with("WORLD_SIZE found in the environment without RANK"));
  EXPECT_TRUE(
      without("WORLD_SIZE").starts_with("RANK found in the environment without WORLD_SIZE"));
  EXPECT_TRUE(without("MASTER_ADDR").find("without MASTER_ADDR") != std::string::npos);
  EXPECT_TRUE(with("MASTER_ADDR", "").find("without MASTER_ADDR") != std::string::npos);
}

}  // namespace
}  // namespace tern::train
